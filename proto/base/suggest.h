/* "Did you mean": the known name that a mistyped one probably stands for. */
#ifndef PROTO_BASE_SUGGEST_H
#define PROTO_BASE_SUGGEST_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/error.h"

/* The nearest of the names, or NULL when none is near: at most one letter in short words is left out,
 * added, changed or swapped with its neighbour, two in longer ones, and a third of very long ones. Case
 * does not count. Among equals the first. */
const char *suggest(const char *word, const char *const *names, size_t n);
/* Always false: "unknown WHAT 'name'; did you mean 'x'? known: a, b, c". */
bool suggest_unknown(const char *what, const char *name, const char *const *names, size_t n,
                     struct error *err);

#endif
