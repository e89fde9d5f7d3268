/* How near each convolution of a network is to what the processor can do: tests/bench/layers --model NAME.
 *
 * Times are the least of many runs, taken in turn, so that a machine that others use now and then does little
 * harm. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/opt.h"
#include "tests/bench/layers.h"
#include "tests/bench/peak.h"
#include "worker/nets.h"

static const char *const pass_names[PASS_COUNT] = {"frozen", "forward", "input grad",
                                                   "weight grad"};
static const double window_s = 0.005; /* of a look at the peak */

struct bench {
    const char *model;
    int64_t batch, threads, size, classes;
    double seconds;
};

static const struct opt rows[] = {
    OPT(struct bench, model, OPT_TEXT, "model", "whose convolutions", .value = "NAME",
        .fallback = "resnet20"),
    OPT(struct bench, batch, OPT_INT, "batch", "images", .value = "N", .fallback = "64", .lo = 1,
        .hi = 4096),
    OPT(struct bench, threads, OPT_INT, "threads", "of the engine, and of oneDNN alone",
        .value = "N", .fallback = "1", .lo = 1, .hi = 256),
    OPT(struct bench, size, OPT_INT, "size",
        "pixels per side; if left out, as the model was made for", .value = "N", .lo = 8,
        .hi = 1024),
    OPT(struct bench, seconds, OPT_REAL, "seconds", "spent on a pass of a layer", .value = "S",
        .fallback = "0.3"),
};

typedef VEC(struct layer) layer_list;

static struct layer layer_of(const struct graph *g, const struct node *n)
{
    struct layer l = {.x = *graph_shape(g, n->in[0]),
                      .w = *graph_shape(g, n->in[1]),
                      .y = *graph_shape(g, n->out[0]),
                      .attr = *(const struct conv_attr *)n->attr,
                      .count = 1,
                      .first = g->values.at[n->in[0]].kind == VALUE_INPUT,
                      .flops = op_flops(g, n)};

    for (int i = 0; i < 2; i++) {
        l.attr.input[i] = l.x.dim[2 + i];
        l.attr.kernel[i] = l.w.dim[2 + i];
    }
    return l;
}

static bool same(const struct layer *a, const struct layer *b)
{
    return shape_equal(&a->x, &b->x) && shape_equal(&a->w, &b->w) &&
           memcmp(&a->attr, &b->attr, sizeof(a->attr)) == 0;
}

static void add(layer_list *list, struct layer l)
{
    for (size_t i = 0; i < list->n; i++)
        if (same(&list->at[i], &l)) {
            list->at[i].count++;
            return;
        }
    vec_push(list, l);
}

static bool find_layers(const struct bench *b, layer_list *list, struct error *err)
{
    const struct model_def *model = model_find(b->model, err);
    struct graph *g;
    bool ok;

    if (!model)
        return false;
    g = nets_inference_graph(model, b->batch, b->size ? b->size : model->facts->image_size,
                             model->facts->classes, false);
    ok = graph_ok(g, err);
    for (size_t i = 0; ok && i < g->nodes.n; i++)
        if (g->nodes.at[i].op == &op_conv)
            add(list, layer_of(g, &g->nodes.at[i]));
    graph_free(g);
    return ok;
}

/* What was found of a pass of a layer. */
struct figures {
    double ours, theirs; /* seconds */
};

static void keep_least(double *least, double x)
{
    if (*least == 0 || x < *least)
        *least = x;
}

static void keep_most(double *most, double x)
{
    if (x > *most)
        *most = x;
}

static struct figures measure(const struct bench *b, const struct runner *ours,
                              const struct runner *theirs, double *peak)
{
    const double until = clock_mono_s() + b->seconds;
    struct figures f = {0};

    ours->run(ours->state); /* warm */
    theirs->run(theirs->state);
    do {
        keep_least(&f.ours, ours->run(ours->state));
        keep_least(&f.theirs, theirs->run(theirs->state));
    } while (clock_mono_s() < until);
    keep_most(peak, peak_best_gflops((int)b->threads, window_s));
    return f;
}

static double gflops(const struct layer *l, double seconds)
{
    return l->flops / seconds * 1e-9;
}

static void print_row(const struct layer *l, enum pass pass, const struct figures *f, double peak,
                      const char *ours, const char *theirs)
{
    char what[64];

    snprintf(what, sizeof(what),
             "%" PRId64 "x%" PRId64 "x%" PRId64 " > %" PRId64 ", %" PRId64 "x%" PRId64 " /%" PRId64
             " g%" PRId64,
             l->x.dim[1], l->x.dim[2], l->x.dim[3], l->y.dim[1], l->w.dim[2], l->w.dim[3],
             l->attr.strides[0], l->attr.group);
    printf("%-26s %5d  %-11s %9.3f %9.3f %7.2f %7.1f %7.1f  %s, %s\n", what, l->count,
           pass_names[pass], f->ours * 1e3, f->theirs * 1e3, f->theirs / f->ours,
           100 * gflops(l, f->ours) / peak, 100 * gflops(l, f->theirs) / peak, ours, theirs);
}

static bool run_pass(const struct bench *b, const struct layer *l, enum pass pass, double *peak,
                     struct figures *total, struct error *err)
{
    struct runner ours = {0}, theirs = {0};
    bool ok =
        runner_engine(&ours, l, pass, (int)b->threads, err) && runner_onednn(&theirs, l, pass, err);

    if (ok) {
        struct figures f = measure(b, &ours, &theirs, peak);

        print_row(l, pass, &f, *peak, ours.impl, theirs.impl);
        total[pass].ours += l->count * f.ours;
        total[pass].theirs += l->count * f.theirs;
    }
    if (theirs.state)
        theirs.free(theirs.state);
    if (ours.state)
        ours.free(ours.state);
    return ok;
}

static void print_totals(const layer_list *list, const struct figures *total, double peak)
{
    double flops = 0;

    for (size_t i = 0; i < list->n; i++)
        flops += list->at[i].count * list->at[i].flops;
    printf("\nall layers, %.3f GFLOP; peak %.1f GFLOP/s\n", flops * 1e-9, peak);
    for (int p = 0; p < PASS_COUNT; p++)
        printf("%-11s %9.3f ms, oneDNN alone %9.3f ms: %.2f times as fast\n", pass_names[p],
               total[p].ours * 1e3, total[p].theirs * 1e3, total[p].theirs / total[p].ours);
}

static bool run(const struct bench *b, struct error *err)
{
    struct figures total[PASS_COUNT] = {{0}};
    layer_list list = {0};
    double peak = 0;
    bool ok = find_layers(b, &list, err);

    for (int i = 0; i < 20; i++)
        keep_most(&peak, peak_best_gflops((int)b->threads, window_s));
    if (ok)
        printf("%-26s %5s  %-11s %9s %9s %7s %7s %7s  %s\n", "in > out, kernel /stride", "count",
               "pass", "ours ms", "oneDNN", "ratio", "ours %", "its %", "kernels");
    for (size_t i = 0; ok && i < list.n; i++)
        for (int p = 0; ok && p < PASS_COUNT; p++)
            if (p != PASS_INPUT_GRAD || !list.at[i].first)
                ok = run_pass(b, &list.at[i], (enum pass)p, &peak, total, err);
    if (ok)
        print_totals(&list, total, peak);
    vec_free(&list);
    return ok;
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    const struct opt_set all = OPT_SET(rows, &b);
    struct opt_words words = {argv + 1, (size_t)argc - 1};
    struct error err = {0};
    bool ok = opt_defaults(&all, &err) && opt_parse(&all, 1, &words, &err) && run(&b, &err);

    if (!ok)
        fprintf(stderr, "%s: %s\n", argv[0], err.msg);
    return ok ? 0 : err_exit_status(err.code);
}
