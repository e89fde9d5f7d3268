#include "worker/data/crop.h"

#include <math.h>

#include "proto/base/rng.h"

enum {
    TRIES = 10,
    DRAWS = 4, /* of a try: area, ratio, left, top */
    EXPONENT_BITS = 40
};

/* lo * (hi / lo)^u by square roots alone, one for each binary place of u: a logarithm and an exponential of
 * the library would not have the same last bit everywhere. */
static double between_log(double lo, double hi, double u)
{
    double root = hi / lo, value = lo;

    for (int i = 0; i < EXPONENT_BITS; i++) {
        root = sqrt(root);
        u *= 2;
        if (u >= 1) {
            value *= root;
            u -= 1;
        }
    }
    return value;
}

/* Ties to even, as Python's round does. */
static int to_int(double x)
{
    return (int)nearbyint(x);
}

static struct box fallback(const struct random_crop *c, int width, int height)
{
    double ratio = (double)width / height;
    struct box b = {.width = width, .height = height};

    if (ratio < c->ratio[0])
        b.height = to_int(width / c->ratio[0]);
    else if (ratio > c->ratio[1])
        b.width = to_int(height * c->ratio[1]);
    b.width += !b.width;
    b.height += !b.height;
    b.left = (width - b.width) / 2;
    b.top = (height - b.height) / 2;
    return b;
}

struct box crop_random(const struct random_crop *c, uint64_t seed, int64_t epoch, int64_t sample,
                       int width, int height)
{
    uint64_t key = rng_key(rng_key(rng_key(seed, RNG_CROP), (uint64_t)epoch), (uint64_t)sample);
    double all = (double)width * height;

    for (uint64_t at = 0; at < TRIES * DRAWS; at += DRAWS) {
        double area = all * (c->area[0] + (c->area[1] - c->area[0]) * rng_uniform(key, at));
        double ratio = between_log(c->ratio[0], c->ratio[1], rng_uniform(key, at + 1));
        double w = nearbyint(sqrt(area * ratio)), h = nearbyint(sqrt(area / ratio));

        if (w >= 1 && h >= 1 && w <= width && h <= height)
            return (struct box){.left = (int)rng_below(key, at + 2, (uint64_t)(width - (int)w) + 1),
                                .top = (int)rng_below(key, at + 3, (uint64_t)(height - (int)h) + 1),
                                .width = (int)w,
                                .height = (int)h};
    }
    return fallback(c, width, height);
}

struct cutout crop_centre(int width, int height, int resize, int size)
{
    int64_t w = width, h = height, side = resize;
    struct cutout out = {.width = resize, .height = resize, .cols = size, .rows = size};

    if (w < h)
        out.height = (int)(side * h / w);
    else
        out.width = (int)(side * w / h);
    out.left = to_int((out.width - size) / 2.0);
    out.top = to_int((out.height - size) / 2.0);
    return out;
}
