/* JSON text written straight into a buffer, for answers that are many or large: no values are made in between. The
 * caller sees to it that what was begun is ended. A key is NULL for an element of an array and for the outermost
 * value. */
#ifndef PROTO_BASE_JW_H
#define PROTO_BASE_JW_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"

struct jw {
    struct buf *out;
    bool more; /* a comma is due before the next member */
};

struct jw jw_new(struct buf *out);

void jw_begin_object(struct jw *w, const char *key);
void jw_end_object(struct jw *w);
void jw_begin_array(struct jw *w, const char *key);
void jw_end_array(struct jw *w);

/* A key that needs escapes; the value follows, with key NULL. */
void jw_member(struct jw *w, const char *key);

void jw_null(struct jw *w, const char *key);
void jw_bool(struct jw *w, const char *key, bool v);
void jw_int(struct jw *w, const char *key, int64_t v);
void jw_real(struct jw *w, const char *key, double v);        /* not finite: null */
void jw_string(struct jw *w, const char *key, const char *v); /* NULL: null; not UTF-8: '?' */
void jw_json(struct jw *w, const char *key,
             const char *json); /* compact JSON text, as it is; NULL: null */

#endif
