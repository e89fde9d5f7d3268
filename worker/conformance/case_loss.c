/* loss.KIND: a row of the registry of losses. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "worker/conformance/conformance.h"
#include "worker/conformance/single.h"
#include "worker/losses/loss.h"

enum {
    MAX_HYPER = 3,
    MAX_PARTS = 2
};

#define PARAM(field) offsetof(struct loss_params, field)

/* What the vectors call a loss and its parameters, and the terms that it is a sum of: each is the loss
 * itself with alpha, beta and gamma so. */
static const struct kind {
    const char *kind;
    const struct loss_def *def;
    struct {
        const char *hyper;
        size_t param;
    } hyper[MAX_HYPER];
    struct {
        const char *tensor;
        double alpha, beta, gamma;
    } parts[MAX_PARTS];
} kinds[] = {
    {"loss.ce", &loss_ce, {{NULL, 0}}, {{NULL, 0, 0, 0}}},
    {"loss.kd", &loss_kd, {{"T", PARAM(temperature)}}, {{NULL, 0, 0, 0}}},
    {"loss.dkd",
     &loss_dkd,
     {{"T", PARAM(temperature)}, {"alpha", PARAM(alpha)}, {"beta", PARAM(beta)}},
     {{"out.tckd", 1, 0, 0}, {"out.nckd", 0, 1, 0}}},
    {"loss.dist",
     &loss_dist,
     {{"tau", PARAM(temperature)}, {"beta", PARAM(beta)}, {"gamma", PARAM(gamma)}},
     {{"out.inter", 0, 1, 0}, {"out.intra", 0, 0, 1}}},
    {"loss.nd", &loss_nd, {{NULL, 0}}, {{NULL, 0, 0, 0}}},
    {"loss.cos", &loss_cosine, {{NULL, 0}}, {{NULL, 0, 0, 0}}},
    {"loss.infonce", &loss_infonce, {{"tau", PARAM(tau)}}, {{NULL, 0, 0, 0}}},
    {"loss.sifn", &loss_sifn, {{"r", PARAM(norm_step)}}, {{NULL, 0, 0, 0}}},
    {"loss.hafn", &loss_hafn, {{"R", PARAM(norm_target)}}, {{NULL, 0, 0, 0}}},
    {"loss.norml2", &loss_norm_l2, {{NULL, 0}}, {{NULL, 0, 0, 0}}},
};

/* Tensors of a case, and which argument of a loss each is. The student's get gradients. */
static const struct {
    const char *tensor, *grad;
    size_t member;
} inputs[] = {
    {"in.logits", "grad.logits", offsetof(struct loss_args, student.logits)},
    {"in.logits_s", "grad.logits_s", offsetof(struct loss_args, student.logits)},
    {"in.logits_t", NULL, offsetof(struct loss_args, teacher.logits)},
    {"in.feat_s", "grad.feat_s", offsetof(struct loss_args, features)},
    {"in.feat_t", NULL, offsetof(struct loss_args, teacher.features)},
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

static struct graph *build(const struct cf_case *c, const struct loss_def *def,
                           const struct loss_params *params, int64_t *batch)
{
    struct graph *g = graph_new();
    struct loss_args a = {.params = params};
    value_id value;

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
    a.student.features = a.features; /* there is no projector */
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

static bool compare_value(struct cf_case *c, const struct single *s, const char *tensor,
                          double weight, struct error *err)
{
    size_t n;
    double *got = single_get(s, "per_sample", &n), sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += got[i];
    free(got);
    sum = weight * sum / (double)n;
    return cf_compare(c, tensor, &sum, 1, err);
}

static bool compare_grads(struct cf_case *c, const struct single *s, struct error *err)
{
    bool ok = true;

    for (size_t i = 0; ok && i < ARRAY_LEN(inputs); i++) {
        char name[64];
        double *got;
        size_t n;

        if (!inputs[i].grad || !st_find(c->st, inputs[i].tensor))
            continue;
        snprintf(name, sizeof(name), "grad/%s", inputs[i].tensor);
        got = single_get(s, name, &n);
        ok = got ? cf_compare(c, inputs[i].grad, got, n, err)
                 : err_set(err, ERR_FAILED, "no gradient of %s", inputs[i].tensor);
        free(got);
    }
    return ok;
}

static bool compare_samples(struct cf_case *c, const struct single *s, struct error *err)
{
    size_t n;
    double *got = single_get(s, "per_sample", &n);
    bool ok = !st_find(c->st, "out.per_sample") || cf_compare(c, "out.per_sample", got, n, err);

    free(got);
    return ok;
}

/* Opens s, also when it fails. */
static bool run(struct single *s, const struct cf_case *c, const struct kind *k,
                const struct loss_params *params, double weight, struct error *err)
{
    int64_t batch = 0;
    float *seed;

    if (!single_open(s, build(c, k->def, params, &batch), c->backend, err))
        return false;
    seed = NEW_ARRAY(float, (size_t)batch);
    for (int64_t i = 0; i < batch; i++)
        seed[i] = (float)(weight / (double)batch);
    single_set(s, "seed", seed);
    free(seed);
    if (!set_inputs(s, c, err))
        return false;
    single_run(s);
    return true;
}

static bool run_parts(struct cf_case *c, const struct kind *k, struct loss_params params,
                      struct error *err)
{
    bool ok = true;

    for (size_t i = 0; ok && i < MAX_PARTS && k->parts[i].tensor; i++) {
        struct single s;

        params.alpha = k->parts[i].alpha;
        params.beta = k->parts[i].beta;
        params.gamma = k->parts[i].gamma;
        ok = run(&s, c, k, &params, 1, err) && compare_value(c, &s, k->parts[i].tensor, 1, err);
        single_close(&s);
    }
    return ok;
}

bool cf_run_loss(struct cf_case *c, struct error *err)
{
    double weight = js_real(js_get(c->hyper, "weight"), 1);
    struct loss_params params = {.temperature = 1};
    const struct kind *k = NULL;
    struct single s;
    bool ok;

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (strcmp(kinds[i].kind, c->kind) == 0)
            k = &kinds[i];
    if (!k)
        return err_set(err, ERR_UNSUPPORTED, "there is no loss %s", c->kind + strlen("loss."));
    for (size_t i = 0; i < MAX_HYPER && k->hyper[i].hyper; i++)
        *(double *)(void *)((char *)&params + k->hyper[i].param) =
            js_real(js_get(c->hyper, k->hyper[i].hyper), 1);
    ok = run(&s, c, k, &params, weight, err) && compare_samples(c, &s, err) &&
         compare_value(c, &s, "out.value", weight, err) && compare_grads(c, &s, err);
    single_close(&s);
    return ok && run_parts(c, k, params, err);
}
