/* Joining, cutting, padding and shuffling along the channels: in every case a channel of the result is a
 * channel of some input, or zero. So one table, from where each comes, serves all, in any mix of plain and
 * blocked layouts, and nothing is reordered on the way. Along other axes the reference kernels serve. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "worker/engine/backend/cpu/clones.h"
#include "worker/engine/backend/cpu/cpu.h"
#include "worker/engine/backend/ref/ref.h"
#include "worker/engine/ops/ops.h"

struct source {
    int input; /* -1: zero */
    int64_t channel;
};

struct channels_kernel {
    struct kernel base;
    struct cpu_image in[NODE_MAX_IN], out;
    struct source
        *from; /* of each channel of the result, those that fill its last block included */
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

static void run_channels(struct kernel *base, void *const *args)
{
    const struct channels_kernel *k = (const struct channels_kernel *)base;

#pragma omp parallel for num_threads(k->threads) schedule(static) if (k->threads > 1)
    for (int64_t at = 0; at < k->out.samples * k->out.blocks; at++)
        make_block(k, args, at);
}

static void free_channels(struct kernel *base)
{
    free(((struct channels_kernel *)base)->from);
    free(base);
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
        in[i] = mine ? g->values.at[n->in[i]].layout : LAYOUT_PLAIN;
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
    return &k->base;
}

const struct cpu_op cpu_channel_ops[] = {
    {.op = &op_concat, .layouts = channels_layouts, .kernel = channels_kernel},
    {.op = &op_slice, .layouts = channels_layouts, .kernel = channels_kernel},
    {.op = &op_pad_axis, .layouts = channels_layouts, .kernel = channels_kernel},
    {.op = &op_channel_shuffle, .layouts = channels_layouts, .kernel = channels_kernel},
    {.op = NULL},
};
