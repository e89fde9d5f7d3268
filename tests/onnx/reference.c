/* What the engine computes, for a foreign runtime to be held against:
 *
 *     reference SOURCE DIR [MODEL WEIGHTS]
 *
 * writes DIR/images (16 test images, normalised) and for each model DIR/NAME.logits and DIR/NAME.features,
 * all as floats. Without MODEL and WEIGHTS it takes every model of the registry, with weights that it
 * draws and keeps in DIR/NAME.safetensors, but those of more than MAX_DEPTH layers, which differ from
 * smaller ones of their families only in how often a block is repeated. */
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/file.h"
#include "proto/base/rng.h"
#include "proto/base/str.h"
#include "proto/base/vec.h"
#include "worker/data/augment.h"
#include "worker/data/dataset.h"
#include "worker/job_models.h"
#include "worker/replica.h"
#include "worker/weights.h"

enum {
    IMAGES = 16,
    MAX_DEPTH = 60
};

struct reference {
    const char *dir;
    struct dataset *data;
    float *images;
};

static int64_t image_floats(const struct reference *r)
{
    return 3 * (int64_t)dataset_size(r->data) * dataset_size(r->data);
}

static bool save(const struct reference *r, const char *name, const char *what, const float *x,
                 int64_t n, struct error *err)
{
    char *path = str_fmt("%s/%s%s", r->dir, name, what);
    bool ok = file_replace(path, x, (size_t)n * sizeof(*x), 0644, err);

    free(path);
    return ok;
}

static bool read_images(struct reference *r, const char *source, struct error *err)
{
    const struct data_source *row = data_source_of(source, err);
    struct augment a;

    r->data =
        row ? dataset_open(&(struct dataset_config){.source = source}, SPLIT_TEST, err) : NULL;
    if (!r->data)
        return false;
    if (dataset_count(r->data) < IMAGES)
        return err_set(err, ERR_INVALID, "%s: expected at least %d test images, got %lld", source,
                       IMAGES, (long long)dataset_count(r->data));
    augment_init(&a, dataset_size(r->data), 0, false, 1, row->mean, row->std);
    r->images = NEW_ARRAY(float, (size_t)(IMAGES * image_floats(r)));
    for (int64_t i = 0; i < IMAGES; i++)
        augment_eval(&a, dataset_image(r->data, i), r->images + i * image_floats(r));
    return save(r, "images", "", r->images, IMAGES * image_floats(r), err);
}

/* Batch norms that are not the identity, and tame enough for 54 blocks in a row. */
static void draw_norm(enum param_role role, uint64_t key, int64_t n, float *out)
{
    static const struct {
        double lo, hi;
    } within[] = {[ROLE_BN_GAMMA] = {0.1, 0.4},
                  [ROLE_BN_BETA] = {-0.3, 0.3},
                  [ROLE_BN_MEAN] = {-0.3, 0.3},
                  [ROLE_BN_VAR] = {0.5, 1.5}};

    for (int64_t i = 0; i < n; i++)
        out[i] = (float)(within[role].lo +
                         (within[role].hi - within[role].lo) * rng_uniform(key, (uint64_t)i));
}

/* Nothing is 0 or so small that it would not be missed. */
static enum param_role drawn_as(enum param_role role)
{
    if (role == ROLE_LINEAR_SMALL)
        return ROLE_LINEAR_WEIGHT;
    return role == ROLE_ZERO_BIAS ? ROLE_BIAS : role;
}

static bool draw_weights(const struct reference *r, const struct model_def *model, const char *path,
                         struct error *err)
{
    struct graph *g =
        nets_inference_graph(model, 1, dataset_size(r->data), dataset_classes(r->data), false);
    VEC(struct st_tensor) list = {0};
    bool ok;

    for (size_t i = 0; i < g->values.n; i++) {
        const struct value *v = &g->values.at[i];
        int64_t n = shape_count(&v->shape);
        struct st_tensor t = {.name = v->name, .dtype = ST_F32, .rank = v->shape.rank};
        float *data;

        if (v->kind != VALUE_PARAM && v->kind != VALUE_BUFFER)
            continue;
        data = NEW_ARRAY(float, (size_t)n);
        init_tensor(v->name, drawn_as(v->role), &v->shape, 16, 7, data);
        if (v->role >= ROLE_BN_GAMMA)
            draw_norm(v->role, rng_key_text(7, v->name), n, data);
        for (int k = 0; k < t.rank; k++)
            t.shape[k] = v->shape.dim[k];
        t.bytes = (size_t)n * sizeof(float);
        t.data = data;
        vec_push(&list, t);
    }
    ok = st_write(path, list.at, list.n, NULL, 0, NULL, err);
    for (size_t i = 0; i < list.n; i++)
        free((void *)(uintptr_t)list.at[i].data);
    vec_free(&list);
    graph_free(g);
    return ok;
}

static bool compute(const struct reference *r, const struct model_def *model, const char *weights,
                    struct error *err)
{
    struct replica_config cfg = {.backend = "cpu", .threads = 1, .chunk = IMAGES};
    struct replica *replica = NULL;
    struct weights w = {0};
    bool ok;

    cfg.nets = (struct nets){
        .teacher = model, .classes = dataset_classes(r->data), .image_size = dataset_size(r->data)};
    ok = weights_open(&w, "weights", weights, model, cfg.nets.image_size, cfg.nets.classes, err) &&
         nets_measure(&cfg.nets, err) && (replica = replica_open(&cfg, weights_tensor, &w, err));
    if (ok) {
        int64_t n_logits = IMAGES * cfg.nets.classes, n_features = IMAGES * cfg.nets.teacher_width;
        float *logits = NEW_ARRAY(float, (size_t)n_logits);
        float *features = NEW_ARRAY(float, (size_t)n_features);

        replica_teacher(replica, r->images, IMAGES, logits, features);
        ok = save(r, model->name, ".logits", logits, n_logits, err) &&
             save(r, model->name, ".features", features, n_features, err);
        free(features);
        free(logits);
    }
    replica_close(replica);
    weights_close(&w);
    return ok;
}

static bool draw_and_compute_all(const struct reference *r, struct error *err)
{
    bool ok = true;

    for (size_t i = 0; ok && i < model_registry_len; i++) {
        const struct model_def *model = &model_registry[i];
        char *path;

        if (model->depth > MAX_DEPTH)
            continue;
        path = str_fmt("%s/%s.safetensors", r->dir, model->name);
        ok = draw_weights(r, model, path, err) && compute(r, model, path, err);
        free(path);
    }
    return ok;
}

/* The model "onnx" is the graph of its weights. */
static bool compute_one(const struct reference *r, const char *name, const char *weights,
                        struct error *err)
{
    const struct model_request request = {.pointer = "model", .model = name, .graph = weights};
    struct job_model *model = job_model_open(&request, err);
    bool ok = model && compute(r, job_model_def(model), weights, err);

    job_model_close(model);
    return ok;
}

int main(int argc, char **argv)
{
    struct reference r = {0};
    struct error err;
    bool ok;

    if (argc != 3 && argc != 5) {
        fprintf(stderr, "usage: reference SOURCE DIR [MODEL WEIGHTS]\n");
        return 2;
    }
    r.dir = argv[2];
    ok = read_images(&r, argv[1], &err) &&
         (argc == 5 ? compute_one(&r, argv[3], argv[4], &err) : draw_and_compute_all(&r, &err));
    if (!ok)
        fprintf(stderr, "reference: %s\n", err.msg);
    dataset_close(r.data);
    free(r.images);
    return ok ? 0 : 1;
}
