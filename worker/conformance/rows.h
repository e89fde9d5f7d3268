/* Tensors condensed to three figures a row: Euclidean norm, the first eight elements, and the sum with a
 * generated vector, which makes a permutation visible. */
#ifndef WORKER_CONFORMANCE_ROWS_H
#define WORKER_CONFORMANCE_ROWS_H

#include "worker/conformance/conformance.h"

enum {
    ROW_HEAD = 8
};

struct rows {
    const char *salt, *probe_prefix;
    VEC(double) l2, head, probe;
};

/* Adds tensor `name` with n elements. */
void rows_add(struct rows *r, const char *name, const float *x, size_t n);
/* Compares PREFIX.l2, PREFIX.head and PREFIX.probe, as far as the case has them, and empties r. */
bool rows_compare(struct rows *r, struct cf_case *c, const char *prefix, struct error *err);

#endif
