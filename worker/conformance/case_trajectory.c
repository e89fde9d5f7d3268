/* trajectory: 16 steps of training on generated data, through the replica that training uses. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/conformance/rows.h"
#include "worker/replica.h"

struct run {
    struct cf_case *c;
    struct cf_state student, teacher;
    struct replica *r;
    bool has_teacher;
    int64_t batch, samples, size, steps, steps_per_epoch, epoch0;
    double warm_up, cls, kd, nd;
    struct optim_hyper hyper;
    float *images, *grads;
    int32_t *labels;
};

static double meta_real(const struct cf_case *c, const char *key)
{
    double v = 0;

    str_double(cf_meta(c, key), &v);
    return v;
}

static bool teacher_tensor(void *arg, const char *name, const struct shape *shape, float *out,
                           struct error *err)
{
    const struct run *t = arg;

    return cf_state_fill(&t->teacher, name, (size_t)shape_count(shape), out, err);
}

/* The vectors' key of one of our names: the student's keys have a prefix when there is a projector or
 * teacher, the projector is called fc1, and fusions are called as here. */
static char *student_key(const struct run *t, const char *name)
{
    if (str_starts(name, "projector."))
        return str_fmt("fc1.%s", name + strlen("projector."));
    return str_fmt("%s%s", t->has_teacher && nets_in_student(name) ? "student." : "", name);
}

static bool fill_entries(const struct run *t, const struct flat_entry *entries, size_t n,
                         float *region, struct error *err)
{
    bool ok = true;

    for (size_t i = 0; ok && i < n; i++) {
        char *key = student_key(t, entries[i].name);

        ok = cf_state_fill(&t->student, key, entries[i].count, region + entries[i].offset, err);
        free(key);
    }
    return ok;
}

/* The distillation term of each method; NULL: none. Its weight in `weights` is called kd, but that of dkd is
 * in its parts. */
static const struct method {
    const char *name;
    const struct loss_def *def;
} methods[] = {
    {"ce", NULL},         {"kd", &loss_kd},           {"dkd", &loss_dkd},
    {"dist", &loss_dist}, {"review", &loss_reviewkd},
};

static const struct method *find_method(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (strcmp(methods[i].name, name) == 0)
            return &methods[i];
    return NULL;
}

static void add_loss(struct nets *n, const struct loss_def *def, const struct loss_params *params)
{
    if (def)
        n->losses[n->n_losses++] = (struct nets_loss){def, *params};
}

static void configure_losses(struct run *t, struct nets *n, const struct method *m)
{
    struct json *w = cf_meta_json(t->c, "weights");
    const struct loss_params params = {
        .temperature = js_real(js_get(w, m->def == &loss_dist ? "tau" : "T"), 1),
        .alpha = js_real(js_get(w, "alpha"), 1),
        .beta = js_real(js_get(w, "beta"), 1),
        .gamma = js_real(js_get(w, "gamma"), 1),
        .student_taps = TAP_POST,
        .teacher_taps = TAP_PRE,
    };

    t->cls = js_real(js_get(w, "cls"), 1);
    t->kd = js_real(js_get(w, "kd"), 1);
    t->nd = js_real(js_get(w, "nd"), 0);
    add_loss(n, &loss_ce, &(struct loss_params){0});
    add_loss(n, m->def, &params);
    add_loss(n, t->nd > 0 ? &loss_nd : NULL, &params);
    js_free(w);
}

static bool configure(struct run *t, struct replica_config *cfg, struct error *err)
{
    struct cf_case *c = t->c;
    struct json *sgd = cf_meta_json(c, "sgd");
    struct nets *n = &cfg->nets;
    const struct method *method = find_method(cf_meta(c, "method"));

    t->hyper = (struct optim_hyper){.lr = js_real(js_get(sgd, "lr"), 0),
                                    .momentum = js_real(js_get(sgd, "momentum"), 0),
                                    .weight_decay = js_real(js_get(sgd, "weight_decay"), 0),
                                    .nesterov = js_bool(js_get(sgd, "nesterov"), false)};
    js_free(sgd);
    if (!method)
        return err_set(err, ERR_UNSUPPORTED, "there is no method %s", cf_meta(c, "method"));
    configure_losses(t, n, method);
    n->student = model_find(cf_meta(c, "student"), NULL);
    n->teacher = t->has_teacher ? model_find(cf_meta(c, "teacher"), NULL) : NULL;
    if (!n->student || (t->has_teacher && !n->teacher))
        return err_set(err, ERR_UNSUPPORTED, "there is no model %s",
                       n->student ? cf_meta(c, "teacher") : cf_meta(c, "student"));
    n->classes = (int64_t)meta_real(c, "num_classes");
    n->image_size = t->size;
    if (!nets_measure(n, err))
        return false;
    n->projector = t->nd > 0 && n->student_width != n->teacher_width;
    cfg->backend = c->backend;
    cfg->threads = 1;
    cfg->chunk = t->batch;
    cfg->lane_sizes = &t->batch;
    cfg->n_lane_sizes = 1;
    cfg->optim = optim_find("sgd");
    cfg->decay_vectors = true;
    return true;
}

static bool read_data(struct run *t, struct error *err)
{
    struct json *d = cf_meta_json(t->c, "dataset");
    struct cf_images images = {.salt = cf_meta(t->c, "salt")};

    t->batch = (int64_t)meta_real(t->c, "batch");
    t->steps = (int64_t)meta_real(t->c, "steps");
    t->steps_per_epoch = (int64_t)meta_real(t->c, "steps_per_epoch");
    t->epoch0 = (int64_t)meta_real(t->c, "epoch0");
    t->warm_up = meta_real(t->c, "warm_up");
    t->samples = js_int(js_get(d, "samples"), 0);
    t->size = js_int(js_get(d, "size"), 0);
    t->labels = cf_labels(t->c, "in.labels", err);
    if (t->batch < 1 || t->steps < 1 || t->steps_per_epoch < 1 || t->samples < t->batch ||
        t->size < 1 || !t->labels) {
        js_free(d);
        return t->labels && err_set(err, ERR_DATA, "batch, steps or the data set is not described");
    }
    images.prefix = js_string(js_get(d, "prefix"), "");
    images.n = t->samples;
    images.size = t->size;
    images.labels = js_bool(js_get(d, "classes"), false) ? t->labels : NULL;
    t->images = NEW_ARRAY(float, (size_t)(t->samples * 3 * t->size * t->size));
    cf_gen_images(&images, t->images);
    js_free(d);
    return true;
}

static bool set_directions(struct run *t, struct error *err)
{
    const struct nets *n = &t->r->cfg.nets;
    float *centers = cf_floats(t->c, "in.centers", err);

    if (!centers)
        return false;
    for (int64_t i = 0; i < n->classes; i++) {
        float *row = centers + i * n->teacher_width;
        double sum = 0;

        for (int64_t j = 0; j < n->teacher_width; j++)
            sum += (double)row[j] * (double)row[j];
        for (int64_t j = 0; j < n->teacher_width; j++)
            row[j] = (float)((double)row[j] / sqrt(sum));
    }
    replica_set_directions(t->r, centers);
    free(centers);
    return true;
}

/* The teacher's outputs for all samples. */
static bool compare_teacher(struct run *t, struct error *err)
{
    const struct nets *n = &t->r->cfg.nets;
    size_t n_logits = (size_t)(t->samples * n->classes);
    size_t n_features = (size_t)(t->samples * n->teacher_width);
    float *logits = NEW_ARRAY(float, n_logits), *features = NEW_ARRAY(float, n_features);
    double *wide = NEW_ARRAY(double, n_logits + n_features);
    bool ok;

    replica_teacher(t->r, t->images, t->samples, logits, features);
    for (size_t i = 0; i < n_logits; i++)
        wide[i] = (double)logits[i];
    for (size_t i = 0; i < n_features; i++)
        wide[n_logits + i] = (double)features[i];
    ok = cf_compare(t->c, "teacher.logits", wide, n_logits, err) &&
         cf_compare(t->c, "teacher.feat", wide + n_logits, n_features, err);
    free(wide);
    free(features);
    free(logits);
    return ok;
}

/* One step; fills a row of the log (total, ce, kd, nd as summed) and of aux. */
static void step(struct run *t, int64_t s, double log[4], double aux[2])
{
    const struct nets *n = &t->r->cfg.nets;
    int64_t at = s % t->steps_per_epoch * t->batch, epoch = t->epoch0 + s / t->steps_per_epoch;
    double ramp = fmin(1, (double)epoch / t->warm_up), weights[NETS_MAX_LOSSES], sums[SUM_COUNT];
    struct lane lane = {.images = t->images + at * 3 * t->size * t->size,
                        .labels = t->labels + at,
                        .count = t->batch,
                        .batch = t->batch,
                        .epoch = epoch,
                        .loss_weights = weights};
    size_t column[NETS_MAX_LOSSES];

    memset(log, 0, 4 * sizeof(*log));
    for (size_t k = 0; k < n->n_losses; k++) {
        const struct loss_def *def = n->losses[k].def;

        column[k] = def == &loss_ce ? 1 : def == &loss_nd ? 3 : 2;
        weights[k] = def == &loss_ce ? t->cls : def == &loss_nd ? t->nd : ramp * t->kd;
    }
    replica_lane(t->r, &lane, t->grads, sums);
    for (size_t k = 0; k < n->n_losses; k++) {
        log[column[k]] = weights[k] * sums[SUM_LOSS + k] / (double)t->batch;
        log[0] += log[column[k]];
    }
    aux[0] = replica_grad_norm(t->r, t->grads);
    aux[1] = sums[SUM_NORM] / (double)t->batch;
    replica_update(t->r, t->grads, &t->hyper);
}

static bool compare_final(struct run *t, const char *list, const char *l2, const char *prefix,
                          const float *region, struct error *err)
{
    struct json *names = cf_meta_json(t->c, list);
    struct rows rows = {.salt = "", .probe_prefix = ""};
    const struct flat *f = &t->r->flat;
    bool ok = true;

    for (size_t i = 0; ok && i < js_len(names); i++) {
        const char *name = js_string(js_at(names, i), "");
        const struct flat_entry *found = NULL;
        const struct flat_entry *entries = region == t->r->params ? f->params.at : f->buffers.at;
        size_t n = region == t->r->params ? f->params.n : f->buffers.n;

        for (size_t k = 0; k < n && !found; k++) {
            char *key = student_key(t, entries[k].name);

            found = strcmp(key, name) == 0 ? &entries[k] : NULL;
            free(key);
        }
        if (found)
            rows_add(&rows, name, region + found->offset, found->count);
        else
            ok = err_set(err, ERR_FAILED, "the student has no %s", name);
    }
    ok = ok && cf_compare(t->c, l2, rows.l2.at, rows.l2.n, err);
    return rows_compare(&rows, t->c, prefix, err) && ok;
}

static bool train(struct run *t, struct error *err)
{
    double *log = NEW_ARRAY(double, (size_t)t->steps * 4),
           *aux = NEW_ARRAY(double, (size_t)t->steps * 2);
    bool ok;

    t->grads = mem_try_aligned(64, flat_grad_count(&t->r->flat) * sizeof(float));
    for (int64_t s = 0; s < t->steps; s++)
        step(t, s, log + 4 * s, aux + 2 * s);
    ok = cf_compare(t->c, "log", log, (size_t)t->steps * 4, err) &&
         cf_compare(t->c, "aux", aux, (size_t)t->steps * 2, err) &&
         compare_final(t, "params", "final.l2", "final", t->r->params, err) &&
         compare_final(t, "buffers", "final.buffer_l2", "final.none", t->r->buffers, err);
    free(log);
    free(aux);
    return ok;
}

static bool run_all(struct run *t, struct error *err)
{
    struct replica_config cfg = {0};

    if (!read_data(t, err) || !configure(t, &cfg, err) ||
        !cf_state_open(&t->student, t->c, "student_state", "student_prefix", err) ||
        !cf_state_open(&t->teacher, t->c, "teacher_state", "teacher_prefix", err))
        return false;
    t->student.fresh_norms = true;
    t->r = replica_open(&cfg, teacher_tensor, t, err);
    if (!t->r || !fill_entries(t, t->r->flat.params.at, t->r->flat.params.n, t->r->params, err) ||
        !fill_entries(t, t->r->flat.buffers.at, t->r->flat.buffers.n, t->r->buffers, err))
        return false;
    replica_refresh(t->r);
    if (t->has_teacher && (!compare_teacher(t, err) || (t->nd > 0 && !set_directions(t, err))))
        return false;
    return train(t, err);
}

bool cf_run_trajectory(struct cf_case *c, struct error *err)
{
    struct run t = {.c = c, .has_teacher = cf_meta(c, "teacher")[0] != '\0'};
    bool ok = run_all(&t, err);

    replica_close(t.r);
    cf_state_close(&t.student);
    cf_state_close(&t.teacher);
    free(t.images);
    free(t.labels);
    free(t.grads);
    return ok;
}
