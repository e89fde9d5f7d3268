/* A long array in a JSON text, element by element: a tree of all of them at once is many times the text, and what is read
 * of it later lies in no cache any more. Nothing is judged here but where elements begin and end: the text is valid JSON
 * (RFC 8259) if and only if js_parse takes the rest and every part, each of which may be nested as deep as a whole. */
#ifndef PROTO_BASE_JSON_SPLIT_H
#define PROTO_BASE_JSON_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/buf.h"
#include "proto/base/vec.h"

struct js_part {
    const char *text; /* of the text that was split */
    size_t len;
};

struct js_split {
    struct buf rest; /* the text with [] in the place of the array */
    VEC(struct js_part) parts;
};

/* The array is the value of the member `key` of the object that the text is, where the key stands without escapes. False
 * when there is none, or it has more than `most` elements. js_split_free in any case. */
bool js_split(const char *text, size_t len, const char *key, size_t most, struct js_split *out);
void js_split_free(struct js_split *s);

/* Valid JSON without the white space between its values. */
void js_squeeze(const char *text, size_t len, struct buf *out);

#endif
