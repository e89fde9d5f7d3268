/* What a JobSpec may name instead of a path: "model:NAME" or "model:NAME@VERSION" for weights,
 * "dataset:NAME" for data. Only a daemon knows what they stand for; it pins a model's newest version when
 * it accepts the job. */
#ifndef PROTO_WIRE_REF_H
#define PROTO_WIRE_REF_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/base/sha256.h"

enum {
    REF_NAME_SIZE = 64 /* with the NUL */
};

#define REF_MODEL   "model:"
#define REF_DATASET "dataset:"

struct ref {
    char name[REF_NAME_SIZE];
    int64_t version; /* 0: the newest */
};

/* Lower-case letters, digits, '-', '.' and '_', a letter or digit first and last, at most 63. */
bool ref_check_name(const char *name, struct error *err);
/* Whether the text is meant as one: it begins with the prefix. */
bool ref_is_model(const char *text);
bool ref_is_dataset(const char *text);
/* "NAME" or "NAME@VERSION", with or without "model:" in front. */
bool ref_parse_model(const char *text, struct ref *out, struct error *err);
bool ref_parse_dataset(const char *text, struct ref *out, struct error *err);

/* Identity of a data set as a whole, from those of its two splits. */
void ref_data_sha256(const char *train, const char *test, char hex[SHA256_HEX]);

#endif
