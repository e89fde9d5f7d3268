/* One plane for all channels, and back: what a gate on [N,1,H,W] needs. Other shapes go to the reference
 * kernels. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clones.h"
#include "proto/base/mem.h"
#include "worker/engine/backend/cpu/cpu.h"
#include "worker/engine/backend/ref/ref.h"
#include "worker/engine/ops/ops.h"

struct gate_kernel {
    struct kernel base;
    void (*run)(const struct cpu_image *im, float *plane, float *image);
    struct cpu_image image;
    bool backward; /* the image is the input */
    int threads;
};

/* Channels that fill the last block stay zero. */
CLONES static void spread(const struct cpu_image *im, float *plane, float *image)
{
    for (int64_t b = 0; b < im->blocks; b++, image += im->plane * im->block) {
        int live = cpu_live(im, b);

        for (int64_t i = 0; i < im->plane; i++)
            for (int j = 0; j < im->block; j++)
                image[i * im->block + j] = j < live ? plane[i] : 0;
    }
}

/* The filling adds nothing. */
CLONES static void collect(const struct cpu_image *im, float *plane, float *image)
{
    for (int64_t i = 0; i < im->plane; i++) {
        double sum = 0;

        for (int64_t b = 0; b < im->blocks; b++)
            for (int j = 0; j < im->block; j++)
                sum += (double)image[(b * im->plane + i) * im->block + j];
        plane[i] = (float)sum;
    }
}

static void run_samples(struct kernel *base, void *const *args)
{
    const struct gate_kernel *k = (const struct gate_kernel *)base;
    const struct cpu_image *im = &k->image;
    float *plane = args[k->backward], *image = args[!k->backward];

#pragma omp parallel for num_threads(k->threads) schedule(static) if (k->threads > 1)
    for (int64_t n = 0; n < im->samples; n++)
        k->run(im, plane + n * im->plane, image + n * im->blocks * im->block * im->plane);
}

static void free_gate(struct kernel *base)
{
    free(base);
}

/* The image of a broadcast or sum over channels alone; NO_VALUE if it is another. */
static value_id image_of(const struct graph *g, const struct node *n)
{
    value_id image = n->op == &op_broadcast ? n->out[0] : n->in[0];
    struct shape one = *graph_shape(g, image);

    if (one.rank != 4)
        return NO_VALUE;
    one.dim[1] = 1;
    return shape_equal(&one, graph_shape(g, n->op == &op_broadcast ? n->in[0] : n->out[0]))
               ? image
               : NO_VALUE;
}

static bool gate_layouts(struct cpu *c, const struct graph *g, const struct node *n, int *in,
                         int *out, struct error *err)
{
    value_id image = image_of(g, n);

    (void)err;
    in[0] = out[0] = LAYOUT_PLAIN;
    if (image == n->out[0])
        out[0] = cpu_image_layout(c, graph_shape(g, image));
    else if (image == n->in[0])
        in[0] = cpu_follow(c, g, image);
    return true;
}

static struct kernel *gate_kernel(struct cpu *c, const struct graph *g, const struct node *n,
                                  struct error *err)
{
    value_id image = image_of(g, n);
    struct gate_kernel *k;

    if (image == NO_VALUE)
        return ref_kernel_new(g, n, false, err);
    k = NEW(struct gate_kernel);
    k->base = (struct kernel){.run = run_samples, .free = free_gate, .impl = "gate"};
    k->backward = n->op == &op_sum_to;
    k->run = k->backward ? collect : spread;
    k->image = cpu_image_of(c, g, image);
    k->threads = c->base.threads;
    return &k->base;
}

const struct cpu_op cpu_broadcast_ops[] = {
    {.op = &op_broadcast, .layouts = gate_layouts, .kernel = gate_kernel},
    {.op = &op_sum_to, .layouts = gate_layouts, .kernel = gate_kernel},
    {.op = NULL},
};
