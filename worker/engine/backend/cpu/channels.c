/* Joining, cutting, padding and shuffling along the channels: in every case a channel of the result is a
 * channel of some input, or zero. So one table, from where each comes, serves all, in any mix of plain and
 * blocked layouts, and nothing is reordered on the way. Where all are blocked, a block of the result is put
 * together from the few blocks that it comes from, all lanes of a pixel at once. Along other axes the reference
 * kernels serve. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clones.h"
#include "proto/base/mem.h"
#include "worker/engine/backend/cpu/cpu.h"
#include "worker/engine/backend/ref/ref.h"
#include "worker/engine/ops/ops.h"

/* All helpers with vectors in their signature are inlined: no call ever passes one. */
#pragma GCC diagnostic ignored "-Wpsabi"

typedef float v8f __attribute__((vector_size(32)));
typedef float v16f __attribute__((vector_size(64)));
typedef int32_t v8i __attribute__((vector_size(32)));
typedef int32_t v16i __attribute__((vector_size(64)));

#define INLINE static inline __attribute__((always_inline))

/* Lane i: of `to` and `from`, side by side, the one that pick says. */
#ifdef __clang__
#    define SHUFFLE(to, from, pick, n)                                    \
        ({                                                                \
            __typeof__(to) made_;                                         \
                                                                          \
            for (int i_ = 0; i_ < (n); i_++)                              \
                made_[i_] = pick[i_] < (n) ? to[i_] : from[pick[i_] - n]; \
            made_;                                                        \
        })
#else
#    define SHUFFLE(to, from, pick, n) __builtin_shuffle(to, from, pick)
#endif

struct source {
    int input; /* -1: zero */
    int64_t channel;
};

/* A block of an input of which a block of the result takes some lanes. */
struct part {
    int input;
    int64_t block;
    int32_t lane
        [CPU_MAX_BLOCK]; /* of the result's lane b: b where it takes none, else the block's size and
                                    the lane that it takes */
};

struct channels_kernel {
    struct kernel base;
    struct cpu_image in[NODE_MAX_IN], out;
    struct source
        *from; /* of each channel of the result, those that fill its last block included */
    VEC(struct part) parts; /* of all blocks of the result, one after the other */
    size_t *first;          /* part of each block, and behind the last; NULL: not all are blocked */
    int n_in, threads;
};

/* One lane's pixels: the first, and how far apart they are. */
struct lane {
    const float *at;
    int64_t step;
};

static struct lane lane_of(const struct channels_kernel *k, void *const *args, int64_t sample,
                           struct source s)
{
    static const float zero;
    const struct cpu_image *im;

    if (s.input < 0)
        return (struct lane){&zero, 0};
    im = &k->in[s.input];
    return (struct lane){(const float *)args[s.input] +
                             (sample * im->blocks + s.channel / im->block) * im->plane * im->block +
                             s.channel % im->block,
                         im->block};
}

/* True where the lanes of a block are the lanes of one block, in order: then it is copied as it is. */
static bool whole(const struct lane *lane, int block)
{
    for (int b = 0; b < block; b++)
        if (lane[b].step != block || lane[b].at != lane[0].at + b)
            return false;
    return true;
}

CLONES static void gather(const struct lane *lane, int64_t plane, int block, float *y)
{
    for (int b = 0; b < block; b++) {
        const float *x = lane[b].at;
        int64_t step = lane[b].step;

        for (int64_t i = 0; i < plane; i++)
            y[i * block + b] = x[i * step];
    }
}

static void make_block(const struct channels_kernel *k, void *const *args, int64_t at)
{
    int64_t sample = at / k->out.blocks, first = at % k->out.blocks * k->out.block;
    float *y = (float *)args[k->n_in] + at * k->out.plane * k->out.block;
    struct lane lane[CPU_MAX_BLOCK] = {{NULL, 0}};

    for (int b = 0; b < k->out.block; b++)
        lane[b] = lane_of(k, args, sample, k->from[first + b]);
    if (whole(lane, k->out.block))
        memcpy(y, lane[0].at, (size_t)(k->out.plane * k->out.block) * sizeof(*y));
    else
        gather(lane, k->out.plane, k->out.block, y);
}

/* Lanes that no part gives are zero. */
#define BLEND(name, block, vector, index)                                                      \
    INLINE void name(const float *x, int64_t plane, const int32_t *lane, bool begin, float *y) \
    {                                                                                          \
        index pick;                                                                            \
                                                                                               \
        memcpy(&pick, lane, sizeof(pick));                                                     \
        for (int64_t i = 0; i < plane * (block); i += (block)) {                               \
            vector from, to = {0};                                                             \
                                                                                               \
            memcpy(&from, x + i, sizeof(from));                                                \
            if (!begin)                                                                        \
                memcpy(&to, y + i, sizeof(to));                                                \
            to = SHUFFLE(to, from, pick, block);                                               \
            memcpy(y + i, &to, sizeof(to));                                                    \
        }                                                                                      \
    }

BLEND(blend_8, 8, v8f, v8i)
BLEND(blend_16, 16, v16f, v16i)

CLONES static void blend(const float *x, int64_t plane, int block, const int32_t *lane, bool begin,
                         float *y)
{
    if (block == 16)
        blend_16(x, plane, lane, begin, y);
    else
        blend_8(x, plane, lane, begin, y);
}

static bool is_copy(const struct part *p, int block)
{
    for (int b = 0; b < block; b++)
        if (p->lane[b] != block + b)
            return false;
    return true;
}

static void join_block(const struct channels_kernel *k, void *const *args, int64_t at)
{
    int64_t sample = at / k->out.blocks, size = k->out.plane * k->out.block;
    const size_t *first = k->first + at % k->out.blocks;
    float *y = (float *)args[k->n_in] + at * size;

    if (first[0] == first[1])
        memset(y, 0, (size_t)size * sizeof(*y));
    for (size_t i = first[0]; i < first[1]; i++) {
        const struct part *p = &k->parts.at[i];
        const float *x =
            (const float *)args[p->input] + (sample * k->in[p->input].blocks + p->block) * size;

        if (is_copy(p, k->out.block))
            memcpy(y, x, (size_t)size * sizeof(*y));
        else
            blend(x, k->out.plane, k->out.block, p->lane, i == first[0], y);
    }
}

static void run_channels(struct kernel *base, void *const *args)
{
    const struct channels_kernel *k = (const struct channels_kernel *)base;

#pragma omp parallel for num_threads(k->threads) schedule(static) if (k->threads > 1)
    for (int64_t at = 0; at < k->out.samples * k->out.blocks; at++)
        if (k->first)
            join_block(k, args, at);
        else
            make_block(k, args, at);
}

static void free_channels(struct kernel *base)
{
    struct channels_kernel *k = (struct channels_kernel *)base;

    vec_free(&k->parts);
    free(k->first);
    free(k->from);
    free(k);
}

/* The part of the present block that is this block of this input; made on first use. */
static struct part *part_of(struct channels_kernel *k, size_t first, int input, int64_t block)
{
    struct part p = {.input = input, .block = block};

    for (size_t i = first; i < k->parts.n; i++)
        if (k->parts.at[i].input == input && k->parts.at[i].block == block)
            return &k->parts.at[i];
    for (int b = 0; b < CPU_MAX_BLOCK; b++)
        p.lane[b] = b;
    vec_push(&k->parts, p);
    return &k->parts.at[k->parts.n - 1];
}

static void list_parts(struct channels_kernel *k)
{
    int block = k->out.block;

    for (int i = 0; i < k->n_in; i++)
        if (block == 1 || k->in[i].block != block)
            return;
    k->first = NEW_ARRAY(size_t, (size_t)k->out.blocks + 1);
    for (int64_t c = 0; c < k->out.blocks * block; c++) {
        const struct source s = k->from[c];
        size_t *first = k->first + c / block;

        if (c % block == 0)
            first[0] = k->parts.n;
        if (s.input >= 0)
            part_of(k, first[0], s.input, s.channel / block)->lane[c % block] =
                (int32_t)(block + s.channel % block);
        first[1] = k->parts.n;
    }
}

static void from_concat(const struct graph *g, const struct node *n, struct source *from)
{
    for (int i = 0; i < n->n_in; i++)
        for (int64_t c = 0; c < graph_shape(g, n->in[i])->dim[1]; c++)
            *from++ = (struct source){i, c};
}

static void from_slice(const struct graph *g, const struct node *n, struct source *from)
{
    const struct slice_attr *a = n->attr;

    (void)g;
    for (int64_t c = a->start; c < a->end; c++)
        *from++ = (struct source){0, c};
}

static void from_pad(const struct graph *g, const struct node *n, struct source *from)
{
    from += ((const struct pad_attr *)n->attr)->before;
    for (int64_t c = 0; c < graph_shape(g, n->in[0])->dim[1]; c++)
        *from++ = (struct source){0, c};
}

static void from_shuffle(const struct graph *g, const struct node *n, struct source *from)
{
    int64_t group = ((const struct shuffle_attr *)n->attr)->group;
    int64_t channels = graph_shape(g, n->in[0])->dim[1];

    for (int64_t c = 0; c < channels; c++)
        *from++ = (struct source){0, c % group * (channels / group) + c / group};
}

static const struct row {
    const struct op_def *op;
    size_t axis; /* where the attributes have it */
    void (*fill)(const struct graph *g, const struct node *n, struct source *from);
} rows[] = {
    {&op_concat, offsetof(struct concat_attr, axis), from_concat},
    {&op_slice, offsetof(struct slice_attr, axis), from_slice},
    {&op_pad_axis, offsetof(struct pad_attr, axis), from_pad},
    {&op_channel_shuffle, SIZE_MAX, from_shuffle},
};

static const struct row *row_of(const struct node *n)
{
    const struct row *row = rows;

    while (row->op != n->op)
        row++;
    return row;
}

static bool along_channels(const struct graph *g, const struct node *n)
{
    size_t axis = row_of(n)->axis;
    int64_t at = 1;

    if (axis != SIZE_MAX)
        memcpy(&at, (const char *)n->attr + axis, sizeof(at));
    return graph_shape(g, n->in[0])->rank == 4 && at == 1;
}

/* Inputs stay as they are; the result is blocked when one of them is. */
static bool channels_layouts(struct cpu *c, const struct graph *g, const struct node *n, int *in,
                             int *out, struct error *err)
{
    bool mine = along_channels(g, n);

    (void)err;
    out[0] = LAYOUT_PLAIN;
    for (int i = 0; i < n->n_in; i++) {
        in[i] = mine ? cpu_follow(c, g, n->in[i]) : LAYOUT_PLAIN;
        if (in[i] == CPU_BLOCKED)
            out[0] = cpu_image_layout(c, graph_shape(g, n->out[0]));
    }
    return true;
}

static struct kernel *channels_kernel(struct cpu *c, const struct graph *g, const struct node *n,
                                      struct error *err)
{
    struct channels_kernel *k;
    size_t lanes;

    if (!along_channels(g, n))
        return ref_kernel_new(g, n, false, err);
    k = NEW(struct channels_kernel);
    k->base = (struct kernel){.run = run_channels, .free = free_channels, .impl = "channels"};
    k->n_in = n->n_in;
    k->threads = c->base.threads;
    for (int i = 0; i < n->n_in; i++)
        k->in[i] = cpu_image_of(c, g, n->in[i]);
    k->out = cpu_image_of(c, g, n->out[0]);
    lanes = (size_t)(k->out.blocks * k->out.block);
    k->from = NEW_ARRAY(struct source, lanes);
    for (size_t i = 0; i < lanes; i++)
        k->from[i].input = -1;
    row_of(n)->fill(g, n, k->from);
    list_parts(k);
    return &k->base;
}

const struct cpu_op cpu_channel_ops[] = {
    {.op = &op_concat, .layouts = channels_layouts, .kernel = channels_kernel},
    {.op = &op_slice, .layouts = channels_layouts, .kernel = channels_kernel},
    {.op = &op_pad_axis, .layouts = channels_layouts, .kernel = channels_kernel},
    {.op = &op_channel_shuffle, .layouts = channels_layouts, .kernel = channels_kernel},
    {.op = NULL},
};
