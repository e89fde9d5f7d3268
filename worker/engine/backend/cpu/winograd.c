#include "worker/engine/backend/cpu/winograd.h"

#include <string.h>

int64_t winograd_tiles(int64_t pixels)
{
    return (pixels + WINOGRAD_OUT - 1) / WINOGRAD_OUT;
}

int64_t winograd_channels(const struct winograd *k, const struct winograd_image *p)
{
    return p->blocks * k->block;
}

struct winograd_tile winograd_tile(const struct winograd *k, int64_t t)
{
    int64_t in_sample = t % (k->rows * k->columns);

    return (struct winograd_tile){t / (k->rows * k->columns), in_sample / k->columns * WINOGRAD_OUT,
                                  in_sample % k->columns * WINOGRAD_OUT};
}

int64_t winograd_block(const struct winograd *k, const struct winograd_image *p, int64_t sample,
                       int64_t b)
{
    return (sample * p->blocks + b) * p->height * p->width * k->block;
}

/* The square of `size` pixels whose first lies at (i, j), which may be outside: as it lies in the image, or
 * in `copy` with zeros around. Sets the distance of its rows. */
static const float *window(const struct winograd_image *p, int block, const float *x, int64_t i,
                           int64_t j, int64_t size, float *copy, int64_t *row)
{
    int64_t left = j < 0 ? -j : 0, right = j + size > p->width ? p->width - j : size;

    if (i >= 0 && i + size <= p->height && left == 0 && right == size) {
        *row = p->width * block;
        return x + (i * p->width + j) * block;
    }
    *row = size * block;
    memset(copy, 0, (size_t)(size * size * block) * sizeof(float));
    for (int64_t u = i < 0 ? -i : 0; u < size && i + u < p->height && left < right; u++)
        memcpy(copy + (u * size + left) * block, x + ((i + u) * p->width + j + left) * block,
               (size_t)((right - left) * block) * sizeof(float));
    return copy;
}

void winograd_read_input(const struct winograd *k, const float *x, int64_t t, char *v)
{
    _Alignas(64) float copy[WINOGRAD_IN * WINOGRAD_IN * CPU_MAX_BLOCK];
    struct winograd_tile at = winograd_tile(k, t);
    int64_t row;

    for (int64_t b = 0; b < k->in.blocks; b++, v += (size_t)k->block * k->math->real) {
        const float *from = window(&k->in, k->block, x + winograd_block(k, &k->in, at.sample, b),
                                   at.i - k->top, at.j - k->left, WINOGRAD_IN, copy, &row);

        k->math->input(from, row, v, k->v.step);
    }
}

void winograd_read_output(const struct winograd *k, const float *dy, int64_t t, char *d)
{
    _Alignas(64) float copy[WINOGRAD_OUT * WINOGRAD_OUT * CPU_MAX_BLOCK];
    struct winograd_tile at = winograd_tile(k, t);
    int64_t row;

    for (int64_t o = 0; o < k->out.blocks; o++, d += (size_t)k->block * k->math->real) {
        const float *from = window(&k->out, k->block, dy + winograd_block(k, &k->out, at.sample, o),
                                   at.i, at.j, WINOGRAD_OUT, copy, &row);

        k->math->spread(from, row, d, k->d.step);
    }
}

/* As many tiles as have half a megabyte of transformed inputs and outputs, in whole groups of those that are
 * multiplied at once. Few of them are not worth the way of the weights into the cache. */
static int64_t chunk_of(const struct winograd *k)
{
    enum {
        CHUNK_BYTES = 512 << 10,
        LEAST = 32,
        MOST = 64
    };
    int64_t channels = winograd_channels(k, &k->in) + winograd_channels(k, &k->out);
    int64_t fit = CHUNK_BYTES / (WINOGRAD_PRODUCTS * channels * (int64_t)k->math->real);

    fit = fit < LEAST ? LEAST : fit > MOST ? MOST : fit;
    return fit / k->math->tiles * k->math->tiles;
}

static struct winograd_image image_of(const struct cpu *c, const struct shape *s)
{
    return (struct winograd_image){
        .blocks = cpu_blocks(c, s->dim[1]), .height = s->dim[2], .width = s->dim[3]};
}

struct winograd winograd_of(const struct cpu *c, const struct shape *in, const struct shape *out,
                            const dnnl_dims_t pads, bool in_double)
{
    struct winograd k = {.math = winograd_math(c->simd, in_double),
                         .block = c->block,
                         .threads = c->base.threads,
                         .in = image_of(c, in),
                         .out = image_of(c, out),
                         .samples = in->dim[0],
                         .rows = winograd_tiles(out->dim[2]),
                         .columns = winograd_tiles(out->dim[3]),
                         .top = pads[0],
                         .left = pads[1]};

    k.tiles = k.samples * k.rows * k.columns;
    k.chunk = chunk_of(&k);
    return k;
}

/* A line of the cache more than the values take: else those of all frequencies fall into one set of it. */
static int64_t step_of(const struct winograd *k, int64_t values)
{
    return values + (int64_t)(64 / k->math->real);
}

static size_t values_bytes(const struct winograd *k, const struct winograd_values *v)
{
    return (size_t)(WINOGRAD_PRODUCTS * v->step) * k->math->real;
}

void winograd_lay_out(struct winograd *k, int copies)
{
    int64_t inputs = winograd_channels(k, &k->in), outputs = winograd_channels(k, &k->out);

    k->u.step = step_of(k, inputs * outputs);
    k->v.step = step_of(k, k->chunk * inputs);
    k->d.step = step_of(k, k->chunk * outputs);
    k->v.offset = values_bytes(k, &k->u);
    k->d.offset = k->v.offset + values_bytes(k, &k->v);
    k->copy = values_bytes(k, &k->v) + values_bytes(k, &k->d);
    k->base.scratch_bytes = k->v.offset + (size_t)copies * k->copy;
}

size_t winograd_weights(const struct winograd *k, int64_t out_block, int64_t in_block, int64_t f)
{
    int64_t inputs = winograd_channels(k, &k->in), in_channel = in_block * k->block;

    return (size_t)(f * k->u.step + (out_block * inputs + in_channel) * k->block) * k->math->real;
}
