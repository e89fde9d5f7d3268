/* loss.KIND: the row of that name in the registry of losses. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "worker/conformance/conformance.h"
#include "worker/conformance/single.h"
#include "worker/losses/loss.h"

/* Tensors of a case, and which argument of a loss each is. The student's get gradients. */
static const struct {
    const char *tensor, *grad;
    size_t member;
} inputs[] = {
    {"in.logits", "grad.logits", offsetof(struct loss_args, logits)},
    {"in.logits_s", "grad.logits_s", offsetof(struct loss_args, logits)},
    {"in.logits_t", NULL, offsetof(struct loss_args, teacher_logits)},
    {"in.feat_s", "grad.feat_s", offsetof(struct loss_args, features)},
    {"in.feat_t", NULL, offsetof(struct loss_args, teacher_features)},
    {"in.centers", NULL, offsetof(struct loss_args, directions)},
    {"in.labels", NULL, offsetof(struct loss_args, labels)},
};

static struct shape shape_of(const struct st_tensor *t)
{
    struct shape s = {.rank = t->rank};

    for (int i = 0; i < t->rank && i < SHAPE_MAX; i++)
        s.dim[i] = t->shape[i];
    return s;
}

static struct graph *build(const struct cf_case *c, const struct loss_def *def, int64_t *batch)
{
    struct graph *g = graph_new();
    struct loss_args a = {.logits = NO_VALUE,
                          .features = NO_VALUE,
                          .labels = NO_VALUE,
                          .teacher_logits = NO_VALUE,
                          .teacher_features = NO_VALUE,
                          .directions = NO_VALUE,
                          .temperature = 1};
    value_id value;

    a.temperature = js_real(js_get(c->hyper, "T"), 1);
    for (size_t i = 0; i < ARRAY_LEN(inputs); i++) {
        const struct st_tensor *t = st_find(c->st, inputs[i].tensor);
        value_id v;

        if (!t)
            continue;
        *batch = inputs[i].grad ? t->shape[0] : *batch;
        v = graph_input(g, inputs[i].tensor, t->dtype == ST_I64 ? DT_INDEX : DT_REAL, shape_of(t));
        *(value_id *)(void *)((char *)&a + inputs[i].member) = v;
        if (inputs[i].grad)
            graph_want_grad(g, v);
    }
    value = def->build(g, &a);
    graph_mark_output(g, value, "per_sample");
    graph_seed(g, value, graph_input(g, "seed", DT_REAL, shape1(*batch)));
    return g;
}

/* Directions are class means divided by their norm, once, in double. */
static void normalise_rows(float *x, int64_t rows, int64_t width)
{
    for (int64_t i = 0; i < rows; i++) {
        double sum = 0;

        for (int64_t j = 0; j < width; j++)
            sum += (double)x[i * width + j] * (double)x[i * width + j];
        for (int64_t j = 0; j < width; j++)
            x[i * width + j] = (float)((double)x[i * width + j] / sqrt(sum));
    }
}

static bool set_inputs(struct single *s, const struct cf_case *c, struct error *err)
{
    for (size_t i = 0; i < ARRAY_LEN(inputs); i++) {
        const struct st_tensor *t = st_find(c->st, inputs[i].tensor);
        void *data;

        if (!t)
            continue;
        data = t->dtype == ST_I64 ? (void *)cf_labels(c, inputs[i].tensor, err)
                                  : (void *)cf_floats(c, inputs[i].tensor, err);
        if (!data)
            return false;
        if (strcmp(inputs[i].tensor, "in.centers") == 0)
            normalise_rows(data, t->shape[0], t->shape[1]);
        single_set(s, inputs[i].tensor, data);
        free(data);
    }
    return true;
}

static bool compare(struct cf_case *c, const struct single *s, int64_t batch, double weight,
                    struct error *err)
{
    size_t n;
    double *got = single_get(s, "per_sample", &n), sum = 0;
    bool ok = true;

    for (size_t i = 0; i < n; i++)
        sum += got[i];
    sum = weight * sum / (double)batch;
    if (st_find(c->st, "out.per_sample"))
        ok = cf_compare(c, "out.per_sample", got, n, err);
    free(got);
    ok = ok && cf_compare(c, "out.value", &sum, 1, err);
    for (size_t i = 0; ok && i < ARRAY_LEN(inputs); i++) {
        char name[64];

        if (!inputs[i].grad || !st_find(c->st, inputs[i].grad))
            continue;
        snprintf(name, sizeof(name), "grad/%s", inputs[i].tensor);
        got = single_get(s, name, &n);
        ok = got ? cf_compare(c, inputs[i].grad, got, n, err)
                 : err_set(err, ERR_FAILED, "no gradient of %s", inputs[i].tensor);
        free(got);
    }
    return ok;
}

bool cf_run_loss(struct cf_case *c, struct error *err)
{
    const struct loss_def *def = loss_find(c->kind + strlen("loss."));
    double weight = js_real(js_get(c->hyper, "weight"), 1);
    struct single s;
    int64_t batch = 0;
    float *seed;
    bool ok;

    if (!def)
        return err_set(err, ERR_UNSUPPORTED, "there is no loss %s", c->kind + strlen("loss."));
    if (!single_open(&s, build(c, def, &batch), c->backend, err))
        return false;
    seed = NEW_ARRAY(float, (size_t)batch);
    for (int64_t i = 0; i < batch; i++)
        seed[i] = (float)(weight / (double)batch);
    single_set(&s, "seed", seed);
    free(seed);
    ok = set_inputs(&s, c, err);
    if (ok) {
        single_run(&s);
        ok = compare(c, &s, batch, weight, err);
    }
    single_close(&s);
    return ok;
}
