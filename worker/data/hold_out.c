/* Validation images are a part of the training set: of each class the same share, drawn by the place in
 * storage order alone. So the part stays the same whatever seed, ranks or losses a job has. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/rng.h"
#include "worker/data/source.h"

/* An image's lot: those of a class are drawn in rising order of it. */
struct lot {
    int32_t label;
    uint64_t number;
    size_t image;
};

static int by_class_and_number(const void *a, const void *b)
{
    const struct lot *x = a, *y = b;

    if (x->label != y->label)
        return x->label < y->label ? -1 : 1;
    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return x->image < y->image ? -1 : x->image > y->image;
}

static struct lot *draw(const struct dataset *d)
{
    const uint64_t key = rng_key(0, RNG_HOLD_OUT);
    struct lot *lots = NEW_ARRAY(struct lot, d->images.n);

    for (size_t i = 0; i < d->images.n; i++)
        lots[i] = (struct lot){d->images.at[i].label, rng_u64(key, i), i};
    qsort(lots, d->images.n, sizeof(*lots), by_class_and_number);
    return lots;
}

/* The share of n images, rounded; a class keeps at least one for training. */
static size_t share(size_t n, double fraction)
{
    size_t k = (size_t)((double)n * fraction + 0.5);

    return k < n ? k : n - 1;
}

static bool *mark(const struct dataset *d, double fraction)
{
    struct lot *lots = draw(d);
    bool *held = NEW_ARRAY(bool, d->images.n);

    for (size_t from = 0, to; from < d->images.n; from = to) {
        for (to = from; to < d->images.n && lots[to].label == lots[from].label;)
            to++;
        for (size_t i = from; i < from + share(to - from, fraction); i++)
            held[lots[i].image] = true;
    }
    free(lots);
    return held;
}

/* Computed pixels that nothing refers to any more go. */
static void shrink(struct dataset *d)
{
    const size_t pixels = 3 * (size_t)d->size * (size_t)d->size;
    uint8_t *made;

    if (!d->made || !d->images.n)
        return;
    made = mem_calloc(d->images.n, pixels);
    for (size_t i = 0; i < d->images.n; i++) {
        memcpy(made + i * pixels, d->images.at[i].data, pixels);
        d->images.at[i].data = made + i * pixels;
    }
    free(d->made);
    d->made = made;
}

void source_hold_out(struct dataset *d, double fraction, bool validation)
{
    bool *held = mark(d, fraction);
    size_t kept = 0;

    for (size_t i = 0; i < d->images.n; i++)
        if (held[i] == validation)
            d->images.at[kept++] = d->images.at[i];
    d->images.n = kept;
    free(held);
    shrink(d);
}
