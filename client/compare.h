/* How two runs differ: pure functions from two answers of the server to an array of rows. In all of them
 * a member that only one side has is null on the other. */
#ifndef CLIENT_COMPARE_H
#define CLIENT_COMPARE_H

#include <stdbool.h>

#include "proto/base/json.h"

/* [{"pointer","a","b"}] for each field in which two specs differ. */
struct json *compare_specs(const struct json *a, const struct json *b);

/* [{"name","a","b","difference"}] for each number in the objects; difference is b - a, null unless both
 * have it. Inner objects as "outer.inner". */
struct json *compare_figures(const struct json *a, const struct json *b);

/* [{"name","split","points","only_a","only_b","first_difference","max_abs_difference"}] of two lists of
 * series {"name","split","points":[[step,value],..]}: points at equal steps, steps of one side only, and
 * the first step whose values are not the same number (null if none), with the largest distance. */
struct json *compare_series(const struct json *a, const struct json *b);
/* All points of a row of compare_series are the same on both sides. */
bool compare_same(const struct json *row);

#endif
