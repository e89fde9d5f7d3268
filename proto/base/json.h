/* JSON values. Reading is strict and limited: RFC 8259, UTF-8, no duplicate keys, no trailing bytes,
 * a maximum of bytes and of nesting. Values are reference counted by the library behind (jansson,
 * which owns the prefix json_, so ours is js_);
 * here a value has one owner: what is put into an object or array belongs to it. */
#ifndef PROTO_BASE_JSON_H
#define PROTO_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/error.h"

enum {
    JS_MAX_DEPTH = 32
};

enum js_kind {
    JS_NULL,
    JS_BOOL,
    JS_INT,
    JS_REAL,
    JS_STRING,
    JS_ARRAY,
    JS_OBJECT
};

struct json;

/* NULL with ERR_INVALID that names line and column. Release with js_free. */
struct json *js_parse(const char *text, size_t len, struct error *err);
/* Reads a file of at most max bytes. */
struct json *js_read_file(const char *path, size_t max, struct error *err);
void js_free(struct json *j);               /* NULL is fine */
struct json *js_copy(const struct json *j); /* deep */

enum js_kind js_kind(const struct json *j); /* a NULL pointer reads as JSON null */
const char *js_kind_name(enum js_kind kind);

/* Readers for a value of the right kind; otherwise the fallback. */
const char *js_string(const struct json *j, const char *fallback);
int64_t js_int(const struct json *j, int64_t fallback);
double js_real(const struct json *j, double fallback); /* integers too */
bool js_bool(const struct json *j, bool fallback);

/* Elements. NULL when there is none; never an error. */
size_t js_len(const struct json *j);
struct json *js_at(const struct json *array, size_t i);
struct json *js_get(const struct json *object, const char *key);
/* A path of keys and indexes, "a.b.0.c". */
struct json *js_path(const struct json *j, const char *path);

/* for (void *it = js_first(o); it; it = js_next(o, it)) in the order of insertion */
void *js_first(const struct json *object);
void *js_next(const struct json *object, void *it);
const char *js_key(void *it);
struct json *js_value(void *it);

/* Makers. A non-finite real becomes null. */
struct json *js_new_object(void);
struct json *js_new_array(void);
struct json *js_new_null(void);
struct json *js_new_bool(bool v);
struct json *js_new_int(int64_t v);
struct json *js_new_real(double v);
struct json *js_new_string(const char *s); /* bytes that are not UTF-8 become '?' */
void js_set(struct json *object, const char *key, struct json *take_value);
void js_push(struct json *array, struct json *take_value);
void js_delete(struct json *object, const char *key);
/* The value that a merge patch (RFC 7396) makes of another one, which stays as it is: objects member by member, null takes
 * a member away, anything else comes in its place. */
struct json *js_merged(const struct json *j, const struct json *patch);

/* Text. Reals are written with the fewest digits that read back as the same double. */
enum {
    JS_COMPACT = 0,
    JS_INDENT = 1,
    JS_SORTED = 2
};
void js_write(const struct json *j, int flags, struct buf *out);
char *js_text(const struct json *j, int flags); /* free() */
/* Only the quoted and escaped form of a string. */
void js_write_string(const char *s, struct buf *out);
void js_write_int(int64_t v, struct buf *out);
/* A finite double with the fewest digits that read back; null otherwise. */
void js_write_real(double v, struct buf *out);

#endif
