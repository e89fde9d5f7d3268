/* Python's pickle as data: a program for a stack machine is read, and nothing of it is executed. Names of
 * functions and classes are taken only from a list that the caller gives; what "calling" one of them
 * means is that the call is written down, or an empty dict is made. Whatever else the program asks for is
 * refused by name. ERR_DATA says at which byte. Limits: bytes, values, size of the memo. */
#ifndef WORKER_CKPT_PICKLE_H
#define WORKER_CKPT_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/base/vec.h"

enum pickle_kind {
    PICKLE_NONE,
    PICKLE_INT, /* booleans too */
    PICKLE_REAL,
    PICKLE_TEXT, /* bytes too */
    PICKLE_TUPLE,
    PICKLE_LIST,
    PICKLE_DICT,   /* items: key, value, key, value, ... */
    PICKLE_GLOBAL, /* a function or class of the list; text is "module.name" */
    PICKLE_CALL,   /* items: the global, its arguments (a tuple) */
    PICKLE_EXTERN, /* items: what the program calls the persistent id of something outside */
    PICKLE_KIND_COUNT
};

/* Values may contain themselves: walk them to a fixed depth only. */
struct pickle_value {
    enum pickle_kind kind;
    int64_t i;
    double real;
    char *text; /* NUL behind len bytes */
    size_t len;
    VEC(const struct pickle_value *) items;
    const struct pickle_global *global;
};

struct pickle_global {
    const char *name; /* "module.name" */
    enum {
        PICKLE_NAMED,     /* stands as an argument, is not called */
        PICKLE_CALLED,    /* a call makes a PICKLE_CALL */
        PICKLE_MAKES_DICT /* a call without arguments makes an empty PICKLE_DICT */
    } use;
};

struct pickle;
/* The bytes are not needed afterwards. NULL with err. */
struct pickle *pickle_read(const void *data, size_t len, const struct pickle_global *allowed,
                           size_t n_allowed, struct error *err);
void pickle_free(struct pickle *p); /* NULL is fine */
const struct pickle_value *pickle_root(const struct pickle *p);

const char *pickle_kind_name(enum pickle_kind kind);
/* The value under a key of a dict (the last one, as in Python), or NULL; also NULL when v is no dict. */
const struct pickle_value *pickle_get(const struct pickle_value *v, const char *key);
/* The i-th item of a tuple or list, or NULL. */
const struct pickle_value *pickle_item(const struct pickle_value *v, size_t i);
/* Whether v is a text without NUL bytes. */
bool pickle_is_text(const struct pickle_value *v);

#endif
