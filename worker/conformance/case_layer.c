/* layer.KIND: one operator with its gradients. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "worker/conformance/conformance.h"
#include "worker/conformance/single.h"
#include "worker/engine/ops/ops.h"

/* The case's tensor as an input with gradient; NO_VALUE if it has none of that name. */
static value_id input(struct graph *g, const struct cf_case *c, const char *name)
{
    const struct st_tensor *t = st_find(c->st, name);
    struct shape s = {0};
    value_id v;

    if (!t)
        return NO_VALUE;
    if (t->rank > SHAPE_MAX)
        return graph_fail(g, ERR_DATA, "%s has %d dimensions; expected %d at most", name, t->rank,
                          SHAPE_MAX);
    s.rank = t->rank;
    for (int i = 0; i < t->rank; i++)
        s.dim[i] = t->shape[i];
    v = graph_input(g, name, DT_REAL, s);
    graph_want_grad(g, v);
    return v;
}

/* The same, where there is no case without it. */
static value_id need(struct graph *g, const struct cf_case *c, const char *name)
{
    value_id v = input(g, c, name);

    return v < 0 ? graph_fail(g, ERR_DATA, "the case has no %s", name) : v;
}

static value_id conv2d(struct graph *g, const struct cf_case *c)
{
    value_id x = need(g, c, "in.x"), w = need(g, c, "param.weight");

    return g_conv(g, "conv", x, w, input(g, c, "param.bias"), js_int(js_get(c->hyper, "stride"), 1),
                  js_int(js_get(c->hyper, "padding"), 0), js_int(js_get(c->hyper, "groups"), 1));
}

static bool training(const struct cf_case *c)
{
    return strcmp(js_string(js_get(c->hyper, "mode"), "train"), "train") == 0;
}

static value_id batchnorm(struct graph *g, const struct cf_case *c)
{
    value_id x = need(g, c, "in.x"), gamma = need(g, c, "param.gamma"), y;
    value_id beta = need(g, c, "param.beta");
    const struct shape *s;
    double count;

    if (x < 0)
        return NO_VALUE;
    s = graph_shape(g, x);
    count = (double)(shape_count(s) / s->dim[1]);
    if (!training(c)) {
        struct shape channels = shape1(s->dim[1]);

        return g_batch_norm(g, "bn", x, gamma, beta,
                            graph_input(g, "param.running_mean", DT_REAL, channels),
                            graph_input(g, "param.running_var", DT_REAL, channels));
    }
    y = g_batch_norm_train(g, "bn", x, gamma, beta);
    graph_mark_output(g, graph_out(g, y, 1), "mean");
    graph_mark_output(g, g_scale(g, graph_out(g, y, 2), count / (count - 1)), "var");
    return y;
}

static value_id relu(struct graph *g, const struct cf_case *c)
{
    return g_relu(g, need(g, c, "in.x"));
}

static value_id globalavgpool(struct graph *g, const struct cf_case *c)
{
    return g_global_average_pool(g, need(g, c, "in.x"));
}

static value_id relu6(struct graph *g, const struct cf_case *c)
{
    return g_clip(g, need(g, c, "in.x"), 0, 6);
}

static value_id pool(struct graph *g, const struct cf_case *c, const struct op_def *op)
{
    int64_t kernel = js_int(js_get(c->hyper, "kernel"), 1);
    int64_t stride = js_int(js_get(c->hyper, "stride"), kernel);
    int64_t pad = js_int(js_get(c->hyper, "padding"), 0);
    const struct window_attr a = {.kernel_shape = {kernel, kernel},
                                  .strides = {stride, stride},
                                  .pads = {pad, pad, pad, pad},
                                  .count_include_pad =
                                      js_bool(js_get(c->hyper, "count_include_pad"), false)};

    return graph_add(g, op, "pool", (value_id[]){need(g, c, "in.x")}, 1, &a);
}

static value_id maxpool(struct graph *g, const struct cf_case *c)
{
    return pool(g, c, &op_max_pool);
}

static value_id avgpool(struct graph *g, const struct cf_case *c)
{
    return pool(g, c, &op_average_pool);
}

static value_id nearest(struct graph *g, const struct cf_case *c)
{
    int64_t size = js_int(js_get(c->hyper, "out"), 0);

    return g_resize_nearest(g, need(g, c, "in.x"), size, size);
}

static value_id channel_shuffle(struct graph *g, const struct cf_case *c)
{
    return g_channel_shuffle(g, need(g, c, "in.x"), js_int(js_get(c->hyper, "groups"), 1));
}

/* y = a sigmoid(z_0) + b sigmoid(z_1) */
static value_id gate_mix(struct graph *g, const struct cf_case *c)
{
    value_id a = need(g, c, "in.a"), b = need(g, c, "in.b"), gate[2];
    struct shape s;

    if (a < 0 || b < 0)
        return NO_VALUE;
    s = *graph_shape(g, a);
    g_split(g, g_sigmoid(g, need(g, c, "in.z")), 1, (const int64_t[]){1, 1}, 2, gate);
    return g_add(g, g_mul(g, a, g_broadcast(g, gate[0], s)),
                 g_mul(g, b, g_broadcast(g, gate[1], s)));
}

static value_id linear(struct graph *g, const struct cf_case *c)
{
    return g_gemm(g, "fc", need(g, c, "in.x"), need(g, c, "param.weight"),
                  input(g, c, "param.bias"), false, true);
}

static const struct {
    const char *kind;
    value_id (*build)(struct graph *g, const struct cf_case *c);
} layers[] = {
    {"layer.avgpool", avgpool},
    {"layer.batchnorm", batchnorm},
    {"layer.channel_shuffle", channel_shuffle},
    {"layer.conv2d", conv2d},
    {"layer.gate_mix", gate_mix},
    {"layer.globalavgpool", globalavgpool},
    {"layer.linear", linear},
    {"layer.maxpool", maxpool},
    {"layer.nearest", nearest},
    {"layer.relu", relu},
    {"layer.relu6", relu6},
};

static bool set_inputs(struct single *s, const struct cf_case *c, struct error *err)
{
    for (size_t i = 0; i < st_tensors(c->st); i++) {
        const char *name = st_at(c->st, i)->name;
        float *data;

        if (plan_io_find(s->plan, name) < 0)
            continue;
        data = cf_floats(c, name, err);
        if (!data)
            return false;
        single_set(s, name, data);
        free(data);
    }
    return true;
}

/* Results by name: "y" as out.y, gradients of in.x and param.NAME as grad.x and grad.param.NAME. */
static bool compare_outputs(struct cf_case *c, const struct single *s, struct error *err)
{
    bool ok = true;

    for (size_t i = 0; ok && i < s->plan->io.n; i++) {
        const char *io = s->plan->io.at[i].name;
        char name[128];
        size_t n;
        double *got;

        if (strcmp(io, "y") == 0)
            snprintf(name, sizeof(name), "out.y");
        else if (strncmp(io, "grad/in.", 8) == 0)
            snprintf(name, sizeof(name), "grad.%s", io + 8);
        else if (strncmp(io, "grad/", 5) == 0)
            snprintf(name, sizeof(name), "grad.%s", io + 5);
        else
            continue;
        got = single_get(s, io, &n);
        ok = cf_compare(c, name, got, n, err);
        free(got);
    }
    return ok;
}

/* running := 0.9 running + 0.1 batch, as the trainer does; unchanged in evaluation. */
static bool compare_running(struct cf_case *c, const struct single *s, const char *param,
                            const char *batch, const char *out, struct error *err)
{
    float *old = cf_floats(c, param, err);
    size_t n = 0;
    double *now = single_get(s, batch, &n);
    bool ok;

    if (!old) {
        free(now);
        return false;
    }
    if (!now) {
        n = (size_t)st_count(st_find(c->st, param));
        now = NEW_ARRAY(double, n);
        for (size_t i = 0; i < n; i++)
            now[i] = (double)old[i];
    } else {
        for (size_t i = 0; i < n; i++)
            now[i] = (double)(0.9f * old[i] + 0.1f * (float)now[i]);
    }
    ok = cf_compare(c, out, now, n, err);
    free(now);
    free(old);
    return ok;
}

bool cf_run_layer(struct cf_case *c, struct error *err)
{
    struct graph *g = NULL;
    struct single s;
    value_id y = NO_VALUE;
    bool ok;

    for (size_t i = 0; i < ARRAY_LEN(layers) && !g; i++)
        if (strcmp(layers[i].kind, c->kind) == 0) {
            g = graph_new();
            y = layers[i].build(g, c);
        }
    if (!g)
        return err_set(err, ERR_UNSUPPORTED, "there is no %s", c->kind);
    graph_mark_output(g, y, "y");
    if (y >= 0)
        graph_seed(g, y, graph_input(g, "in.up", DT_REAL, *graph_shape(g, y)));
    if (!single_open(&s, g, c->backend, err))
        return false;
    ok = set_inputs(&s, c, err);
    if (ok) {
        single_run(&s);
        ok = compare_outputs(c, &s, err);
    }
    if (ok && st_find(c->st, "out.running_mean"))
        ok = compare_running(c, &s, "param.running_mean", "mean", "out.running_mean", err) &&
             compare_running(c, &s, "param.running_var", "var", "out.running_var", err);
    single_close(&s);
    return ok;
}
