#include "worker/nets.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/engine/ops/ops.h"

/* The model on an input called "images". */
static struct graph *build_model(const struct model_def *model, int64_t batch, int64_t size,
                                 int64_t classes, bool training, struct model_outputs *out)
{
    struct graph *g = graph_new();
    struct net net = {.g = g, .training = training, .prefix = ""};
    value_id images = graph_input(g, "images", DT_REAL, shape4(batch, 3, size, size));

    model->build(&net, model, images, classes, out);
    graph_mark_output(g, out->logits, "logits");
    graph_mark_output(g, out->features, "features");
    return g;
}

static bool width_of(const struct model_def *model, const struct nets *n, int64_t *width,
                     struct error *err)
{
    struct model_outputs out;
    struct graph *g;
    bool ok;

    if (!model)
        return true;
    g = build_model(model, 1, n->image_size, n->classes, false, &out);
    ok = graph_ok(g, err);
    if (ok)
        *width = graph_shape(g, out.features)->dim[1];
    graph_free(g);
    return ok || err_wrap(err, "model %s", model->name);
}

bool nets_measure(struct nets *n, struct error *err)
{
    return width_of(n->student, n, &n->student_width, err) &&
           width_of(n->teacher, n, &n->teacher_width, err);
}

unsigned nets_uses(const struct nets *n)
{
    unsigned uses = 0;

    for (size_t i = 0; i < n->n_losses; i++)
        uses |= n->losses[i].def->uses;
    return uses;
}

/* Where an output has its place in the order of teacher_values. */
static value_id *output_at(struct model_outputs *out, size_t i)
{
    if (i < TEACHER_TAPS)
        return i == TEACHER_LOGITS ? &out->logits : &out->features;
    return (i - TEACHER_TAPS) % 2 ? &out->preact_taps[(i - TEACHER_TAPS) / 2]
                                  : &out->taps[(i - TEACHER_TAPS) / 2];
}

static void name_output(char *name, size_t size, size_t i)
{
    if (i < TEACHER_TAPS)
        snprintf(name, size, "%s", i == TEACHER_LOGITS ? "logits" : "features");
    else
        snprintf(name, size, "%sfeats.%zu", (i - TEACHER_TAPS) % 2 ? "preact_" : "",
                 (i - TEACHER_TAPS) / 2);
}

/* A value has one name, so one that has another already is copied. */
static void mark_output(struct graph *g, value_id v, const char *name)
{
    if (v >= 0 && g->values.at[v].name[0] && strcmp(g->values.at[v].name, name) != 0)
        v = g_scale(g, v, 1);
    graph_mark_output(g, v, name);
}

static bool measure_teacher(struct nets *n, struct error *err)
{
    struct model_outputs out;
    struct graph *g = build_model(n->teacher, 1, n->image_size, n->classes, false, &out);
    bool ok = graph_ok(g, err);

    n->n_teacher_values = ok ? TEACHER_TAPS + 2 * (size_t)out.n_taps : 0;
    for (size_t i = 0; i < n->n_teacher_values; i++) {
        struct nets_teacher_value *t = &n->teacher_values[i];
        value_id v = *output_at(&out, i);

        *t = (struct nets_teacher_value){.shape = v < 0 ? (struct shape){0} : *graph_shape(g, v)};
        name_output(t->name, sizeof(t->name), i);
    }
    graph_free(g);
    return ok;
}

static value_id find_teacher_input(const struct graph *g, const struct nets_teacher_value *t)
{
    char name[48];

    snprintf(name, sizeof(name), "teacher_%s", t->name);
    return graph_find(g, name);
}

/* What losses read is seen when they have been built, for any batch. */
static bool find_read(struct nets *n, struct error *err)
{
    struct graph *g = nets_train_graph(n, 2);
    bool ok = graph_ok(g, err);

    for (size_t i = 0; ok && i < n->n_teacher_values; i++) {
        value_id v = find_teacher_input(g, &n->teacher_values[i]);

        n->teacher_values[i].read = v != NO_VALUE && graph_uses(g, v) > 0;
    }
    graph_free(g);
    return ok || err_wrap(err, "losses");
}

bool nets_settle(struct nets *n, struct error *err)
{
    n->n_teacher_values = 0;
    if (!n->teacher)
        return true;
    return measure_teacher(n, err) && (!n->student || !n->n_losses || find_read(n, err));
}

struct graph *nets_teacher_graph(const struct nets *n, int64_t batch, bool with_taps)
{
    struct model_outputs out;
    struct graph *g = build_model(n->teacher, batch, n->image_size, n->classes, false, &out);

    for (size_t i = TEACHER_TAPS; with_taps && i < n->n_teacher_values; i++)
        if (n->teacher_values[i].read)
            mark_output(g, *output_at(&out, i), n->teacher_values[i].name);
    return g;
}

bool nets_loss_spans_batch(const struct nets_loss *l)
{
    return l->params.scope == SCOPE_BATCH;
}

bool nets_span_batch(const struct nets *n)
{
    bool any = false;

    for (size_t i = 0; i < n->n_losses; i++)
        any |= nets_loss_spans_batch(&n->losses[i]);
    return any;
}

bool nets_reads_taps(const struct nets *n)
{
    return nets_uses(n) & USES_TEACHER_TAPS;
}

bool nets_in_student(const char *name)
{
    return !model_is_thrown_away(name);
}

struct graph *nets_inference_graph(const struct model_def *model, int64_t batch, int64_t image_size,
                                   int64_t classes, bool with_taps)
{
    struct model_outputs out;
    struct graph *g = build_model(model, batch, image_size, classes, false, &out);
    size_t n_values = TEACHER_TAPS + 2 * (size_t)out.n_taps;
    char name[40];

    for (size_t i = TEACHER_TAPS; with_taps && i < n_values; i++) {
        name_output(name, sizeof(name), i);
        mark_output(g, *output_at(&out, i), name);
    }
    return g;
}

/* The features that losses and statistics compare with the teacher's. */
static value_id project(const struct nets *n, struct graph *g, bool training, value_id features,
                        int64_t batch)
{
    struct net net = {.g = g, .training = training, .prefix = ""};
    value_id mask = NO_VALUE, projected;

    if (!n->projector)
        return features;
    if (training && n->dropout)
        mask = graph_input(g, "mask", DT_REAL, shape2(batch, n->student_width));
    projected = projector_build(&net, features, mask, n->teacher_width);
    if (n->trap)
        projector_trap(g, n->image_size > 32);
    graph_mark_output(g, projected, "projected");
    return projected;
}

/* What the teacher gives to losses. */
static void teacher_inputs(const struct nets *n, struct graph *g, int64_t batch,
                           struct model_outputs *teacher)
{
    char name[48];

    *teacher = (struct model_outputs){.logits = NO_VALUE, .features = NO_VALUE};
    if (n->n_teacher_values)
        teacher->n_taps = (int)(n->n_teacher_values - TEACHER_TAPS) / 2;
    for (size_t i = 0; i < n->n_teacher_values; i++) {
        struct shape s = n->teacher_values[i].shape;

        s.dim[0] = batch;
        snprintf(name, sizeof(name), "teacher_%s", n->teacher_values[i].name);
        *output_at(teacher, i) = s.rank ? graph_input(g, name, DT_REAL, s) : NO_VALUE;
    }
}

/* What is told of mixed images. */
static void add_mixture(const struct nets *n, struct graph *g, int64_t batch, struct loss_args *a)
{
    if (!n->mixes)
        return;
    a->mixed = true;
    a->partners = graph_input(g, "partners", DT_INDEX, shape1(batch));
    a->share = graph_input(g, "share", DT_REAL, shape1(batch));
    if (n->teacher)
        a->direction = graph_input(g, "direction", DT_REAL, shape2(batch, n->teacher_width));
}

/* Where images are mixed, a loss that reads labels is share * that of the image's own + (1 - share) * that
 * of its partner's. */
static value_id build_loss(struct graph *g, const struct loss_def *loss, const struct loss_args *a)
{
    struct loss_args partner = *a;
    int read = a->mixed ? graph_uses(g, a->labels) : 0;
    value_id own = loss->build(g, a), other;

    if (!a->mixed || graph_uses(g, a->labels) == read)
        return own;
    partner.labels = a->partners;
    other = loss->build(g, &partner);
    own = g_mul(g, a->share, g_sub(g, own, other));
    return g_add(g, other, own);
}

/* Those over the whole batch, or the others. */
static void add_losses(const struct nets *n, struct graph *g, int64_t batch, struct loss_args a,
                       bool whole)
{
    char name[32];

    for (size_t i = 0; i < n->n_losses; i++) {
        const struct nets_loss *l = &n->losses[i];
        size_t first = g->nodes.n;
        value_id value, seed;

        if (nets_loss_spans_batch(l) != whole)
            continue;
        a.params = &l->params;
        value = build_loss(g, l->def, &a);
        snprintf(name, sizeof(name), "loss/%s", l->def->name);
        graph_name_layer(g, first, name);
        graph_mark_output(g, value, name);
        snprintf(name, sizeof(name), "seed/%s", l->def->name);
        seed = graph_input(g, name, DT_REAL, shape1(batch));
        graph_seed(g, value, seed);
    }
}

struct graph *nets_train_graph(const struct nets *n, int64_t batch)
{
    struct model_outputs out;
    struct graph *g = build_model(n->student, batch, n->image_size, n->classes, true, &out);
    struct loss_args a = {.student = out, .directions = NO_VALUE};

    a.features = project(n, g, true, out.features, batch);
    a.labels = graph_input(g, "labels", DT_INDEX, shape1(batch));
    teacher_inputs(n, g, batch, &a.teacher);
    if (n->teacher)
        a.directions = graph_input(g, "directions", DT_REAL, shape2(n->classes, n->teacher_width));
    add_mixture(n, g, batch, &a);
    add_losses(n, g, batch, a, false);
    if (nets_span_batch(n))
        graph_seed(g, out.logits,
                   graph_input(g, "seed/logits", DT_REAL, shape2(batch, n->classes)));
    return g;
}

struct graph *nets_batch_graph(const struct nets *n, int64_t batch)
{
    struct graph *g = graph_new();
    struct shape logits = shape2(batch, n->classes);
    struct loss_args a = {.labels = NO_VALUE, .directions = NO_VALUE, .features = NO_VALUE};

    a.student = a.teacher = (struct model_outputs){.features = NO_VALUE};
    a.student.logits = graph_input(g, "logits", DT_REAL, logits);
    a.teacher.logits = graph_input(g, "teacher_logits", DT_REAL, logits);
    graph_want_grad(g, a.student.logits);
    add_losses(n, g, batch, a, true);
    return g;
}

struct graph *nets_eval_graph(const struct nets *n, int64_t batch)
{
    struct model_outputs out;
    struct graph *g = build_model(n->student, batch, n->image_size, n->classes, false, &out);

    project(n, g, false, out.features, batch);
    return g;
}

static bool is_loaded(const struct value *v)
{
    return v->kind == VALUE_PARAM || v->kind == VALUE_BUFFER;
}

bool nets_set_constants(struct graph *g, tensor_fn tensor, void *arg, float **all,
                        struct error *err)
{
    size_t total = 0, at = 0;

    for (size_t i = 0; i < g->values.n; i++)
        if (is_loaded(&g->values.at[i]))
            total += (size_t)shape_count(&g->values.at[i].shape);
    *all = mem_try_aligned(64, total * sizeof(float));
    if (!*all)
        return err_set(err, ERR_TOO_LARGE, "no memory for %zu weights", total);
    for (size_t i = 0; i < g->values.n; i++) {
        const struct value *v = &g->values.at[i];

        if (!is_loaded(v))
            continue;
        if (!tensor(arg, v->name, &v->shape, *all + at, err))
            return false;
        graph_set_const(g, (value_id)i, *all + at);
        at += (size_t)shape_count(&v->shape);
    }
    return true;
}
