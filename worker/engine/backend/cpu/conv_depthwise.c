/* Depthwise convolutions by depthwise_kernels.h: forward, and both gradients. Plane by plane: the plane is copied
 * into a scratch of its own, where it has a border of zeros, so that no tap ever has to ask where it is. oneDNN
 * 2.6 has kernels for these too, but leaves the gradients of planes that are smaller than the kernel to its
 * reference, which takes a hundred times as long.
 *
 * Weights are plain: they are too few for a layout of their own to pay. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "worker/engine/backend/cpu/conv.h"
#include "worker/engine/backend/cpu/depthwise_kernels.h"

/* Pixels that find their taps at the same places: those of one remainder by the stride. All in the forward
 * convolution, whose stride moves pixels and not taps. */
struct group {
    VEC(struct depthwise_pixel) pixels;
    VEC(struct depthwise_tap) taps;
};

struct depthwise {
    struct kernel base;
    const struct depthwise_math *math;
    int64_t samples, channels, blocks, taps;
    int64_t read_height, read_width;  /* of the plane that gets a border */
    int64_t other;                    /* floats of a plane of the other image */
    int64_t top, left, height, width; /* its border, and its size with it */
    size_t weights, planes, sums;     /* where they start in scratch, in bytes */
    struct group *groups;
    int n_groups, block, threads;
    int read, weight, write; /* in args; weight_grad: write is dy */
};

bool conv_depthwise_serves(const struct conv_case *k, const struct node *n)
{
    return k->attr->group == k->x.dim[1] && k->attr->group == k->y.dim[1] &&
           k->x_layout == CPU_BLOCKED && k->y_layout == CPU_BLOCKED && n->op != &op_fused_conv &&
           !(n->op == &op_conv && n->n_in > 2);
}

static int64_t at_least(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t plane_floats(const struct depthwise *k)
{
    return k->height * k->width * k->block;
}

/* -- Lists ----------------------------------------------------------------------------------------------- */

static void add_pixel(const struct depthwise *k, struct group *g, int64_t row, int64_t column,
                      int64_t to)
{
    vec_push(&g->pixels, (struct depthwise_pixel){(int32_t)((row * k->width + column) * k->block),
                                                  (int32_t)(to * k->block)});
}

static void add_tap(const struct depthwise *k, struct group *g, int64_t row, int64_t column,
                    int64_t weight)
{
    vec_push(&g->taps, (struct depthwise_tap){(int32_t)((row * k->width + column) * k->block),
                                              (int32_t)(weight * k->block)});
}

/* Up to a whole number of what the kernels take at once. */
static void fill_pixels(struct group *g)
{
    while (g->pixels.n % DEPTHWISE_PIXELS) {
        struct depthwise_pixel last = g->pixels.at[g->pixels.n - 1];

        vec_push(&g->pixels, last);
    }
}

static void fill_taps(struct group *g)
{
    while (g->taps.n % DEPTHWISE_TAPS) {
        struct depthwise_tap last = g->taps.at[g->taps.n - 1];

        vec_push(&g->taps, last);
    }
}

/* Output pixel (i, j) reads from (i stride, j stride) of the bordered input on. */
static void list_forward(struct depthwise *k, const struct conv_case *c)
{
    struct group *g = &k->groups[0];
    int64_t out = 0;

    k->top = c->pads_before[0];
    k->left = c->pads_before[1];
    k->height = at_least(k->top + k->read_height, (c->y.dim[2] - 1) * c->strides[0] + c->w.dim[2]);
    k->width = at_least(k->left + k->read_width, (c->y.dim[3] - 1) * c->strides[1] + c->w.dim[3]);
    for (int64_t i = 0; i < c->y.dim[2]; i++)
        for (int64_t j = 0; j < c->y.dim[3]; j++)
            add_pixel(k, g, i * c->strides[0], j * c->strides[1], out++);
    for (int64_t u = 0; u < c->w.dim[2]; u++)
        for (int64_t v = 0; v < c->w.dim[3]; v++)
            add_tap(k, g, u, v, u * c->w.dim[3] + v);
}

/* Input pixel a was read by output pixel i at tap u where a + pad = i stride + u: taps r, r + stride, ... for the
 * remainder r of a + pad, and the further the tap, the earlier the output. */
static void list_input_grad(struct depthwise *k, const struct conv_case *c)
{
    const dnnl_dim_t *s = c->strides, *pad = c->pads_before;

    k->top = (c->w.dim[2] - 1) / s[0];
    k->left = (c->w.dim[3] - 1) / s[1];
    k->height = k->top + at_least((c->x.dim[2] - 1 + pad[0]) / s[0] + 1, k->read_height);
    k->width = k->left + at_least((c->x.dim[3] - 1 + pad[1]) / s[1] + 1, k->read_width);
    for (int64_t a = 0; a < c->x.dim[2]; a++)
        for (int64_t b = 0; b < c->x.dim[3]; b++)
            add_pixel(k, &k->groups[(a + pad[0]) % s[0] * s[1] + (b + pad[1]) % s[1]],
                      (a + pad[0]) / s[0] + k->top, (b + pad[1]) / s[1] + k->left,
                      a * c->x.dim[3] + b);
    for (int64_t u = 0; u < c->w.dim[2]; u++)
        for (int64_t v = 0; v < c->w.dim[3]; v++)
            add_tap(k, &k->groups[u % s[0] * s[1] + v % s[1]], -(u / s[0]), -(v / s[1]),
                    u * c->w.dim[3] + v);
}

/* -- Runs ------------------------------------------------------------------------------------------------ */

static void read_plane(const struct depthwise *k, const float *x, float *out)
{
    int64_t row = k->read_width * k->block;

    out += (k->top * k->width + k->left) * k->block;
    for (int64_t i = 0; i < k->read_height; i++, x += row, out += k->width * k->block)
        memcpy(out, x, (size_t)row * sizeof(*x));
}

static const float *plane_of(const struct depthwise *k, void *const *args, int64_t plane)
{
    return (const float *)args[k->read] + plane * k->read_height * k->read_width * k->block;
}

/* [tap][block] of each block of channels. */
static void turn_weights(const struct depthwise *k, const float *w, float *out)
{
    for (int64_t c = 0; c < k->blocks * k->block; c++)
        for (int64_t t = 0; t < k->taps; t++)
            out[(c / k->block * k->taps + t) * k->block + c % k->block] =
                c < k->channels ? w[c * k->taps + t] : 0;
}

static void apply(const struct depthwise *k, void *const *args, int64_t plane, const float *w,
                  float *own)
{
    float *y = (float *)args[k->write] + plane * k->other;

    read_plane(k, plane_of(k, args, plane), own);
    for (int i = 0; i < k->n_groups; i++) {
        const struct group *g = &k->groups[i];

        k->math->apply(g->pixels.at, (int64_t)g->pixels.n, g->taps.at, (int64_t)g->taps.n, own, w,
                       y);
    }
}

static void run_apply(struct kernel *base, void *const *args)
{
    const struct depthwise *k = (const struct depthwise *)base;
    char *scratch = args[3];
    float *weights = (void *)(scratch + k->weights), *planes = (void *)(scratch + k->planes);

    turn_weights(k, args[k->weight], weights);
    memset(planes, 0, (size_t)(k->threads * plane_floats(k)) * sizeof(*planes));
#pragma omp parallel for num_threads(k->threads) schedule(static) if (k->threads > 1)
    for (int64_t plane = 0; plane < k->samples * k->blocks; plane++)
        apply(k, args, plane, weights + plane % k->blocks * k->taps * k->block,
              planes + omp_get_thread_num() * plane_floats(k));
}

/* A float collects so many pixels, a double the sums of these: conv.c tells why. */
enum {
    PART_PIXELS = 1024
};

static void gather(const struct depthwise *k, void *const *args, int64_t block, float *own,
                   double *sums)
{
    const struct group *g = &k->groups[0];
    int64_t n = (int64_t)g->pixels.n;

    memset(sums, 0, g->taps.n * (size_t)k->block * sizeof(*sums));
    for (int64_t sample = 0; sample < k->samples; sample++) {
        int64_t plane = sample * k->blocks + block;
        const float *dy = (const float *)args[k->write] + plane * k->other;

        read_plane(k, plane_of(k, args, plane), own);
        for (int64_t p = 0; p < n; p += PART_PIXELS)
            k->math->gather(g->pixels.at + p, n - p < PART_PIXELS ? n - p : PART_PIXELS, g->taps.at,
                            (int64_t)g->taps.n, own, dy, sums);
    }
}

static void write_sums(const struct depthwise *k, const double *sums, int64_t block, float *dw)
{
    for (int64_t b = 0; b < k->block && block * k->block + b < k->channels; b++)
        for (int64_t t = 0; t < k->taps; t++)
            dw[(block * k->block + b) * k->taps + t] = (float)sums[t * k->block + b];
}

/* A block of channels is one thread's: so its sum has one order. */
static void run_weight_grad(struct kernel *base, void *const *args)
{
    const struct depthwise *k = (const struct depthwise *)base;
    char *scratch = args[3];
    float *planes = (void *)(scratch + k->planes);
    double *all_sums = (void *)(scratch + k->sums);

    memset(planes, 0, (size_t)(k->threads * plane_floats(k)) * sizeof(*planes));
#pragma omp parallel for num_threads(k->threads) schedule(static) if (k->threads > 1)
    for (int64_t block = 0; block < k->blocks; block++) {
        int thread = omp_get_thread_num();
        double *sums = all_sums + (size_t)thread * k->groups[0].taps.n * (size_t)k->block;

        gather(k, args, block, planes + thread * plane_floats(k), sums);
        write_sums(k, sums, block, args[k->weight]);
    }
}

/* -- Making one ------------------------------------------------------------------------------------------ */

static void free_depthwise(struct kernel *base)
{
    struct depthwise *k = (struct depthwise *)base;

    for (int i = 0; i < k->n_groups; i++) {
        vec_free(&k->groups[i].pixels);
        vec_free(&k->groups[i].taps);
    }
    free(k->groups);
    free(k);
}

static size_t room(size_t *total, size_t bytes)
{
    size_t at = *total;

    *total += (bytes + 63) / 64 * 64;
    return at;
}

/* `read` is the image that gets a border, `other` the one that does not. */
static struct depthwise *new_depthwise(const struct cpu *c, const struct conv_case *conv,
                                       const struct shape *read, const struct shape *other,
                                       int n_groups)
{
    struct depthwise *k = NEW(struct depthwise);

    k->base = (struct kernel){.run = run_apply, .free = free_depthwise, .impl = "depthwise"};
    k->math = depthwise_math(c->simd);
    k->samples = read->dim[0];
    k->channels = read->dim[1];
    k->blocks = cpu_blocks(c, k->channels);
    k->block = c->block;
    k->taps = conv->w.dim[2] * conv->w.dim[3];
    k->read_height = read->dim[2];
    k->read_width = read->dim[3];
    k->other = other->dim[2] * other->dim[3] * c->block;
    k->n_groups = n_groups;
    k->groups = NEW_ARRAY(struct group, (size_t)n_groups);
    k->threads = c->base.threads;
    return k;
}

/* Once all is listed. */
static struct kernel *finish(struct depthwise *k)
{
    size_t threads = (size_t)k->threads, block = (size_t)k->block;
    size_t *bytes = &k->base.scratch_bytes;

    k->weights = room(bytes, (size_t)(k->blocks * k->taps) * block * sizeof(float));
    k->planes = room(bytes, threads * (size_t)plane_floats(k) * sizeof(float));
    k->sums = room(bytes, threads * k->groups[0].taps.n * block * sizeof(double));
    return &k->base;
}

static struct kernel *finish_apply(struct depthwise *k)
{
    for (int i = 0; i < k->n_groups; i++)
        fill_pixels(&k->groups[i]);
    return finish(k);
}

struct kernel *conv_depthwise_kernel(const struct cpu *c, const struct conv_case *conv)
{
    struct depthwise *k = new_depthwise(c, conv, &conv->x, &conv->y, 1);

    list_forward(k, conv);
    k->read = 0;
    k->weight = 1;
    k->write = 2;
    return finish_apply(k);
}

struct kernel *conv_depthwise_input_grad(const struct cpu *c, const struct conv_case *conv)
{
    struct depthwise *k =
        new_depthwise(c, conv, &conv->y, &conv->x, (int)(conv->strides[0] * conv->strides[1]));

    list_input_grad(k, conv);
    k->weight = 0;
    k->read = 1;
    k->write = 2;
    return finish_apply(k);
}

struct kernel *conv_depthwise_weight_grad(const struct cpu *c, const struct conv_case *conv)
{
    struct depthwise *k = new_depthwise(c, conv, &conv->x, &conv->y, 1);

    list_forward(k, conv);
    k->base.run = run_weight_grad;
    k->read = 0;
    k->write = 1;
    k->weight = 2;
    fill_taps(&k->groups[0]);
    return finish(k);
}
