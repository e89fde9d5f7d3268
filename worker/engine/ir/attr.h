/* Attributes of an operator: a plain struct, described by a table, so that dump, defaults and (with
 * the ONNX names) import and export need no code for each operator. */
#ifndef WORKER_ENGINE_IR_ATTR_H
#define WORKER_ENGINE_IR_ATTR_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"

enum attr_kind {
    ATTR_INT,
    ATTR_INTS,
    ATTR_FLOAT
};

struct attr_spec {
    const char *name; /* as in ONNX where the operator is from there */
    enum attr_kind kind;
    size_t offset; /* in the struct: int64_t, int64_t[count], double */
    int count;
    double fallback; /* the default, of every element */
};

#define ATTR_I(name, type, member, value)                \
    {                                                    \
        name, ATTR_INT, offsetof(type, member), 1, value \
    }
#define ATTR_IS(name, type, member, count, value)             \
    {                                                         \
        name, ATTR_INTS, offsetof(type, member), count, value \
    }
#define ATTR_F(name, type, member, value)                  \
    {                                                      \
        name, ATTR_FLOAT, offsetof(type, member), 1, value \
    }
#define ATTR_END                \
    {                           \
        NULL, ATTR_INT, 0, 0, 0 \
    }

/* Fills the struct with its defaults. */
void attr_defaults(const struct attr_spec *specs, void *attr);
/* Appends " {strides=[2,2] group=1}" with what differs from the defaults; nothing when nothing does. */
void attr_dump(const struct attr_spec *specs, const void *attr, struct buf *out);

#endif
