#include "worker/engine/ir/shape.h"

#include <inttypes.h>
#include <stdio.h>

int64_t shape_span(const struct shape *s, int from, int to)
{
    int64_t n = 1;

    for (int i = from; i < to; i++)
        n *= s->dim[i];
    return n;
}

int64_t shape_count(const struct shape *s)
{
    return shape_span(s, 0, s->rank);
}

bool shape_equal(const struct shape *a, const struct shape *b)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

const char *shape_text(const struct shape *s, char out[SHAPE_TEXT])
{
    int n = snprintf(out, SHAPE_TEXT, "[");

    for (int i = 0; i < s->rank; i++)
        n += snprintf(out + n, (size_t)(SHAPE_TEXT - n), "%s%" PRId64, i ? "," : "", s->dim[i]);
    snprintf(out + n, (size_t)(SHAPE_TEXT - n), "]");
    return out;
}
