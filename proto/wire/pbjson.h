/* Any protobuf-c message from and to JSON, through its descriptor.
 *
 * Field names are those of the .proto file. Enumerations are lower-case strings. A map<string,string>
 * is an object. A list of integers also takes ranges: "0..9", or [0, "4..7"]. A Range (job.proto) whose ends are
 * the same is a plain number. null means left out, but
 * as an element of a list of Json (a message for any value, job.proto) it is a value like others.
 * Unknown members, wrong types and numbers out of range are problems, each with its pointer. */
#ifndef PROTO_WIRE_PBJSON_H
#define PROTO_WIRE_PBJSON_H

#include <protobuf-c/protobuf-c.h>

#include "proto/base/json.h"
#include "proto/wire/problems.h"

enum {
    PBJSON_MAX_LIST = 100000,
    PBJSON_MAX_STEPS = 4
};

/* What has a problem is left out of the message, so that the rest can be judged too. NULL only when j is
 * no object. Release with protobuf_c_message_free_unpacked(m, NULL). */
ProtobufCMessage *pbjson_read(const ProtobufCMessageDescriptor *d, const struct json *j,
                              struct problems *p);

/* Writes what is present. Fields come in the order of their numbers. */
struct json *pbjson_write(const ProtobufCMessage *m);
char *pbjson_text(const ProtobufCMessage *m); /* compact; free() */

/* A field, or an element of a list, in a message or in messages within it. */
struct pbjson_path {
    size_t n;
    const ProtobufCFieldDescriptor *steps[PBJSON_MAX_STEPS];
    size_t element;
};
/* "data.std.0"; false when there is no such field. */
bool pbjson_find(const ProtobufCMessageDescriptor *d, const char *path, struct pbjson_path *out);
/* The number that stands there; false when it was left out, or is none. */
bool pbjson_number(const ProtobufCMessage *m, const struct pbjson_path *path, double *out);

/* Makes the defaults of all scalar fields of m present (and of the messages in it that are present),
 * so that pbjson_write shows them. */
void pbjson_fill_defaults(ProtobufCMessage *m);

#endif
