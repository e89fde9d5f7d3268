#include "worker/engine/passes/memory.h"

#include <stdbool.h>
#include <stdlib.h>

#include "proto/base/mem.h"

static int larger_first(const void *a, const void *b)
{
    const struct interval *x = *(struct interval *const *)a, *y = *(struct interval *const *)b;

    if (x->size != y->size)
        return x->size < y->size ? 1 : -1;
    return x < y ? -1 : x > y; /* a fixed order among equals */
}

static bool meet_in_time(const struct interval *a, const struct interval *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* Moves v up past every placed interval that it overlaps, until none is left. */
static void settle(struct interval *v, struct interval *const *placed, size_t n)
{
    v->offset = 0;
    for (size_t i = 0; i < n; i++) {
        const struct interval *p = placed[i];

        if (meet_in_time(v, p) && v->offset < p->offset + p->size &&
            p->offset < v->offset + v->size) {
            v->offset = (p->offset + p->size + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
            i = (size_t)-1; /* again from the start: what was below may be in the way now */
        }
    }
}

size_t memory_plan(struct interval *v, size_t n)
{
    struct interval **order = NEW_ARRAY(struct interval *, n);
    size_t total = 0;

    for (size_t i = 0; i < n; i++)
        order[i] = &v[i];
    qsort(order, n, sizeof(*order), larger_first);
    for (size_t i = 0; i < n; i++) {
        settle(order[i], order, i);
        if (order[i]->offset + order[i]->size > total)
            total = order[i]->offset + order[i]->size;
    }
    free(order);
    return (total + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
}
