/* The first images of a training set, where those of all classes are mixed. Folders and shards hold one class
 * after the other: there the first of each class are taken, so that no class is left without. */
#include <stdlib.h>

#include "worker/data/source.h"

static size_t *count_classes(const struct dataset *d)
{
    size_t *counts = NEW_ARRAY(size_t, (size_t)d->classes);

    for (size_t i = 0; i < d->images.n; i++)
        counts[d->images.at[i].label]++;
    return counts;
}

/* Images that there are with at most k of each class. */
static size_t total(const size_t *counts, int classes, size_t k)
{
    size_t sum = 0;

    for (int c = 0; c < classes; c++)
        sum += counts[c] < k ? counts[c] : k;
    return sum;
}

/* Turns counts into shares that add up to `limit`: all have as many, but for those that have fewer images;
 * what is left then goes to the first classes, one each. */
static void share(size_t *counts, int classes, size_t limit)
{
    size_t k = 0, beyond = limit + 1, left;

    while (beyond - k > 1) {
        size_t middle = k + (beyond - k) / 2;

        if (total(counts, classes, middle) <= limit)
            k = middle;
        else
            beyond = middle;
    }
    left = limit - total(counts, classes, k);
    for (int c = 0; c < classes; c++)
        if (counts[c] > k) {
            counts[c] = k + (left > 0);
            left -= left > 0;
        }
}

static void keep_of_each(struct dataset *d, size_t limit)
{
    size_t *left = count_classes(d), kept = 0;

    share(left, d->classes, limit);
    for (size_t i = 0; i < d->images.n; i++) {
        const struct image image = d->images.at[i];

        if (left[image.label]) {
            left[image.label]--;
            d->images.at[kept++] = image;
        }
    }
    d->images.n = kept;
    free(left);
}

void source_limit(struct dataset *d, size_t limit)
{
    if (limit >= d->images.n)
        return;
    if (d->encoded)
        keep_of_each(d, limit);
    else
        d->images.n = limit;
}
