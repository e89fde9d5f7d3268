/* YAML into the tree that JSON gives: one document of the core schema (YAML 1.2), so `yes` is a string
 * and `1e-3` a number. Tags are errors, as are keys that stand twice and numbers that JSON lacks.
 * Anchors and aliases are resolved within a limit of values. */
#ifndef CLIENT_YAML_H
#define CLIENT_YAML_H

#include "proto/base/json.h"

enum {
    YAML_MAX_VALUES = 200000
};

/* NULL with ERR_INVALID that names line and column. Adds to the object `lines` for each pointer
 * ("#/train/epochs") the number of its line. */
struct json *yaml_parse(const char *text, size_t len, struct json *lines, struct error *err);

#endif
