#include "worker/conformance/rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"

void rows_add(struct rows *r, const char *name, const float *x, size_t n)
{
    char *stream = str_fmt("%s%s", r->probe_prefix, name);
    float *random = NEW_ARRAY(float, n);
    double squares = 0, probe = 0;

    cf_uniform(r->salt, stream, -1, 2, n, random);
    for (size_t i = 0; i < n; i++) {
        squares += (double)x[i] * (double)x[i];
        probe += (double)x[i] * (double)random[i];
    }
    for (size_t i = 0; i < ROW_HEAD; i++)
        vec_push(&r->head, i < n ? (double)x[i] : 0);
    vec_push(&r->l2, sqrt(squares));
    vec_push(&r->probe, probe);
    free(random);
    free(stream);
}

static bool compare_part(struct cf_case *c, const char *prefix, const char *part, const double *x,
                         size_t n, struct error *err)
{
    char name[64];

    snprintf(name, sizeof(name), "%s.%s", prefix, part);
    return !st_find(c->st, name) || cf_compare(c, name, x, n, err);
}

bool rows_compare(struct rows *r, struct cf_case *c, const char *prefix, struct error *err)
{
    bool ok = compare_part(c, prefix, "l2", r->l2.at, r->l2.n, err) &&
              compare_part(c, prefix, "head", r->head.at, r->head.n, err) &&
              compare_part(c, prefix, "probe", r->probe.at, r->probe.n, err);

    vec_free(&r->l2);
    vec_free(&r->head);
    vec_free(&r->probe);
    return ok;
}
