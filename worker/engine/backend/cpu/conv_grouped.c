/* Convolutions of one pixel in groups whose channels do not fill blocks, as ShuffleNets have them: forward, and both
 * gradients. A group's channels lie across blocks, so a sample is laid out pixel by pixel in scratch; there the
 * channels of a group stand side by side, and all is products of matrices (gemm_kernels.h). Images stay
 * blocked for everybody else, and weights plain: oneDNN wants both the other way round. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "worker/engine/backend/cpu/conv.h"
#include "worker/engine/backend/cpu/gemm_kernels.h"

enum {
    PART_PIXELS =
        256 /* that a float sums up for the gradient of weights, before these are summed */
};

/* One side of the convolution. */
struct side {
    int arg;
    int64_t channels, blocks, of_group; /* of_group: channels */
    size_t offset;                      /* of its pixels in a thread's scratch */
};

struct grouped {
    struct kernel base;
    const struct gemm_math *math;
    struct side in, out; /* of the product: for the gradient of the input, dy is `in` */
    int64_t samples, plane, groups, panels;
    int64_t part;           /* samples; gradient of weights */
    int64_t k_step, column; /* among the weights: from one inner product, one output to the next */
    size_t own_offset, own; /* bytes: where what each thread has starts in scratch, and its size */
    int block, threads, weight; /* weight: in args */
};

bool conv_grouped_serves(const struct cpu *c, const struct conv_case *k, const struct node *n)
{
    bool pixel = true;

    for (int i = 0; i < 2; i++)
        pixel = pixel && k->w.dim[2 + i] == 1 && k->strides[i] == 1 && !k->pads_before[i] &&
                !k->pads_after[i];
    return pixel && k->attr->group > 1 && k->attr->group < k->x.dim[1] && n->op != &op_fused_conv &&
           !(n->op == &op_conv && n->n_in > 2) && cpu_image_layout(c, &k->x) == CPU_BLOCKED &&
           cpu_image_layout(c, &k->y) == CPU_BLOCKED &&
           (k->x.dim[1] / k->attr->group % c->block || k->y.dim[1] / k->attr->group % c->block);
}

/* -- Between blocks and pixels --------------------------------------------------------------------------- */

static int64_t live(const struct grouped *k, const struct side *s, int64_t b)
{
    int64_t left = s->channels - b * k->block;

    return left < k->block ? left : k->block;
}

/* Sizes that are constants where nearly all channels are. */
static inline void copy_channels(float *to, const float *from, int64_t n)
{
    if (n == 16)
        memcpy(to, from, 16 * sizeof(*to));
    else if (n == 8)
        memcpy(to, from, 8 * sizeof(*to));
    else
        memcpy(to, from, (size_t)n * sizeof(*to));
}

static void to_pixels(const struct grouped *k, const struct side *s, void *const *args,
                      int64_t sample, float *out)
{
    const float *x = (const float *)args[s->arg] + sample * s->blocks * k->plane * k->block;

    for (int64_t b = 0; b < s->blocks; b++)
        for (int64_t p = 0; p < k->plane; p++, x += k->block)
            copy_channels(out + p * s->channels + b * k->block, x, live(k, s, b));
}

static void to_blocks(const struct grouped *k, const struct side *s, void *const *args,
                      int64_t sample, const float *pixels)
{
    float *y = (float *)args[s->arg] + sample * s->blocks * k->plane * k->block;

    for (int64_t b = 0; b < s->blocks; b++) {
        int64_t n = live(k, s, b);

        for (int64_t p = 0; p < k->plane; p++, y += k->block) {
            copy_channels(y, pixels + p * s->channels + b * k->block, n);
            if (n < k->block)
                memset(y + n, 0, (size_t)(k->block - n) * sizeof(*y));
        }
    }
}

/* -- Forward, and the gradient of the input -------------------------------------------------------------- */

static int64_t panel_columns(const struct grouped *k, int64_t of_group, int64_t panel)
{
    int64_t left = of_group - panel * k->math->width;

    return left < k->math->width ? left : k->math->width;
}

static int64_t panel_floats(const struct grouped *k)
{
    return k->in.of_group * k->math->width;
}

/* Panel by panel, group by group; columns that do not exist are zero. */
static void pack_weights(const struct grouped *k, const float *w, float *out)
{
    int width = k->math->width;

    memset(out, 0, (size_t)(k->groups * k->panels * panel_floats(k)) * sizeof(*out));
    for (int64_t g = 0; g < k->groups; g++, w += k->in.of_group * k->out.of_group)
        for (int64_t panel = 0; panel < k->panels; panel++, out += panel_floats(k))
            for (int64_t i = 0; i < k->in.of_group; i++)
                for (int64_t j = 0; j < panel_columns(k, k->out.of_group, panel); j++)
                    out[i * width + j] = w[i * k->k_step + (panel * width + j) * k->column];
}

static void multiply(const struct grouped *k, const float *in, const float *packed, float *out)
{
    for (int64_t g = 0; g < k->groups; g++)
        for (int64_t panel = 0; panel < k->panels; panel++, packed += panel_floats(k))
            k->math->run(
                &(struct gemm_panel){.a = in + g * k->in.of_group,
                                     .b = packed,
                                     .y = out + g * k->out.of_group + panel * k->math->width,
                                     .a_row = k->in.channels,
                                     .a_step = 1,
                                     .y_row = k->out.channels,
                                     .rows = k->plane,
                                     .inner = k->in.of_group,
                                     .columns = panel_columns(k, k->out.of_group, panel)});
}

static void run_apply(struct kernel *base, void *const *args)
{
    const struct grouped *k = (const struct grouped *)base;
    char *scratch = args[3];
    float *packed = args[3];

    pack_weights(k, args[k->weight], packed);
#pragma omp parallel for num_threads(k->threads) schedule(static) if (k->threads > 1)
    for (int64_t sample = 0; sample < k->samples; sample++) {
        char *own = scratch + k->own_offset + (size_t)omp_get_thread_num() * k->own;
        float *in = (void *)(own + k->in.offset), *out = (void *)(own + k->out.offset);

        to_pixels(k, &k->in, args, sample, in);
        multiply(k, in, packed, out);
        to_blocks(k, &k->out, args, sample, out);
    }
}

/* -- The gradient of weights: dw[o][i] = sum over pixels of dy[o] x[i] ------------------------------------ */

/* A panel of the inputs of a group, and all its outputs, of a part. */
static void add_part(const struct grouped *k, const float *x, const float *dy, int64_t pixels,
                     int64_t task, bool first, float *packed, float *dw)
{
    int64_t g = task / k->panels, panel = task % k->panels, width = k->math->width;
    int64_t columns = panel_columns(k, k->in.of_group, panel);

    x += g * k->in.of_group + panel * width;
    memset(packed, 0, (size_t)(pixels * width) * sizeof(*packed));
    for (int64_t p = 0; p < pixels; p++)
        memcpy(packed + p * width, x + p * k->in.channels, (size_t)columns * sizeof(*packed));
    k->math->run(
        &(struct gemm_panel){.a = dy + g * k->out.of_group,
                             .b = packed,
                             .y = dw + g * k->out.of_group * k->in.of_group + panel * width,
                             .a_row = 1,
                             .a_step = k->out.channels,
                             .y_row = k->in.of_group,
                             .rows = k->out.of_group,
                             .inner = pixels,
                             .columns = columns,
                             .add = !first});
}

/* Threads share a part: first its samples, then groups and panels, each of which is one thread's in all parts. */
static void run_weight_grad(struct kernel *base, void *const *args)
{
    const struct grouped *k = (const struct grouped *)base;
    char *scratch = args[3];
    float *x = (void *)(scratch + k->in.offset), *dy = (void *)(scratch + k->out.offset);

#pragma omp parallel num_threads(k->threads) if (k->threads > 1)
    for (int64_t first = 0; first < k->samples; first += k->part) {
        int64_t count = k->samples - first < k->part ? k->samples - first : k->part;
        float *packed = (void *)(scratch + k->own_offset + (size_t)omp_get_thread_num() * k->own);

#pragma omp for schedule(static)
        for (int64_t n = 0; n < count; n++) {
            to_pixels(k, &k->in, args, first + n, x + n * k->plane * k->in.channels);
            to_pixels(k, &k->out, args, first + n, dy + n * k->plane * k->out.channels);
        }
#pragma omp for schedule(static)
        for (int64_t task = 0; task < k->groups * k->panels; task++)
            add_part(k, x, dy, count * k->plane, task, first == 0, packed, args[k->weight]);
    }
}

/* -- Making one ------------------------------------------------------------------------------------------ */

static void free_grouped(struct kernel *k)
{
    free(k);
}

static size_t room(size_t *total, int64_t floats)
{
    size_t at = *total;

    *total += ((size_t)floats * sizeof(float) + 63) / 64 * 64;
    return at;
}

static struct side side_of(const struct cpu *c, const struct shape *s, int64_t groups, int arg)
{
    return (struct side){.arg = arg,
                         .channels = s->dim[1],
                         .blocks = cpu_blocks(c, s->dim[1]),
                         .of_group = s->dim[1] / groups};
}

static struct grouped *new_grouped(const struct cpu *c, const struct conv_case *conv,
                                   struct side in, struct side out)
{
    struct grouped *k = NEW(struct grouped);

    k->base = (struct kernel){.run = run_apply, .free = free_grouped, .impl = "groups of pixels"};
    k->math = gemm_math(c->simd);
    k->in = in;
    k->out = out;
    k->samples = conv->x.dim[0];
    k->plane = conv->x.dim[2] * conv->x.dim[3];
    k->groups = conv->attr->group;
    k->block = c->block;
    k->threads = c->base.threads;
    return k;
}

static struct kernel *finish_apply(struct grouped *k)
{
    k->panels = (k->out.of_group + k->math->width - 1) / k->math->width;
    k->in.offset = room(&k->own, k->plane * k->in.channels);
    k->out.offset = room(&k->own, k->plane * k->out.channels);
    room(&k->own_offset, k->groups * k->panels * panel_floats(k));
    k->base.scratch_bytes = k->own_offset + (size_t)k->threads * k->own;
    return &k->base;
}

struct kernel *conv_grouped_kernel(const struct cpu *c, const struct conv_case *conv)
{
    struct grouped *k = new_grouped(c, conv, side_of(c, &conv->x, conv->attr->group, 0),
                                    side_of(c, &conv->y, conv->attr->group, 2));

    k->weight = 1;
    k->k_step = 1;
    k->column = k->in.of_group;
    return finish_apply(k);
}

struct kernel *conv_grouped_input_grad(const struct cpu *c, const struct conv_case *conv)
{
    struct grouped *k = new_grouped(c, conv, side_of(c, &conv->y, conv->attr->group, 1),
                                    side_of(c, &conv->x, conv->attr->group, 2));

    k->weight = 0;
    k->k_step = k->out.of_group;
    k->column = 1;
    return finish_apply(k);
}

struct kernel *conv_grouped_weight_grad(const struct cpu *c, const struct conv_case *conv)
{
    struct grouped *k = new_grouped(c, conv, side_of(c, &conv->x, conv->attr->group, 0),
                                    side_of(c, &conv->y, conv->attr->group, 1));
    int64_t part = (PART_PIXELS + k->plane - 1) / k->plane;

    k->base.run = run_weight_grad;
    k->weight = 2;
    k->part = part < k->samples ? part : k->samples;
    k->panels = (k->in.of_group + k->math->width - 1) / k->math->width;
    k->in.offset = room(&k->own_offset, k->part * k->plane * k->in.channels);
    k->out.offset = room(&k->own_offset, k->part * k->plane * k->out.channels);
    room(&k->own, k->part * k->plane * k->math->width);
    k->base.scratch_bytes = k->own_offset + (size_t)k->threads * k->own;
    return &k->base;
}
