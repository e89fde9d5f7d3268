#include <stdlib.h>

#include "proto/base/rng.h"
#include "proto/base/str.h"
#include "worker/conformance/conformance.h"

static uint64_t fnv1a(uint64_t h, const char *text)
{
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    return h;
}

static uint64_t stream_seed(const char *salt, const char *stream)
{
    return fnv1a(fnv1a(fnv1a(0xcbf29ce484222325u, salt), "|"), stream);
}

/* 24-bit integer number i of a stream; its steps are those of rng_u64. */
static uint64_t k24(uint64_t seed, uint64_t i)
{
    return rng_u64(seed, i) >> 40;
}

static double unit(uint64_t seed, uint64_t i)
{
    return (double)k24(seed, i) * 0x1p-24;
}

void cf_uniform(const char *salt, const char *stream, double lo, double width, size_t n, float *out)
{
    uint64_t seed = stream_seed(salt, stream);

    for (size_t i = 0; i < n; i++)
        out[i] = (float)(lo + width * unit(seed, i));
}

static uint64_t part_seed(const struct cf_images *g, const char *part)
{
    char *stream = str_fmt("%s/%s", g->prefix, part);
    uint64_t seed = stream_seed(g->salt, stream);

    free(stream);
    return seed;
}

void cf_gen_images(const struct cf_images *g, float *out)
{
    uint64_t noise = part_seed(g, "noise"), blocks = part_seed(g, "blocks");
    uint64_t classes = part_seed(g, "classes");
    int64_t s = g->size, at = 0;

    for (int64_t n = 0; n < g->n; n++)
        for (int64_t c = 0; c < 3; c++)
            for (int64_t h = 0; h < s; h++)
                for (int64_t w = 0; w < s; w++, at++) {
                    int64_t cell = h * 8 / s * 8 + w * 8 / s;
                    double x = -1 + 2 * unit(noise, (uint64_t)at);

                    x += -1.5 + 3 * unit(blocks, (uint64_t)((n * 3 + c) * 64 + cell));
                    if (g->labels)
                        x += -1.5 +
                             3 * unit(classes, (uint64_t)((g->labels[n] * 3 + c) * 64 + cell));
                    out[at] = (float)x;
                }
}
