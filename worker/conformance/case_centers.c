/* centers: class means of a generated teacher over generated images. */
#include <math.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/conformance/conformance.h"
#include "worker/means/means.h"
#include "worker/replica.h"

enum {
    CHUNK = 32
};

struct centers {
    struct cf_case *c;
    struct cf_state state;
    struct replica *r;
    int64_t n, size;
    float *images, *features;
    int32_t *labels;
};

static bool tensor(void *arg, const char *name, const struct shape *shape, float *out,
                   struct error *err)
{
    const struct centers *k = arg;

    return cf_state_fill(&k->state, name, (size_t)shape_count(shape), out, err);
}

static bool open_teacher(struct centers *k, struct error *err)
{
    struct replica_config cfg = {.backend = k->c->backend, .threads = 1, .chunk = CHUNK};

    cfg.nets.teacher = model_find(cf_meta(k->c, "model"), NULL);
    if (!cfg.nets.teacher)
        return err_set(err, ERR_UNSUPPORTED, "there is no model %s", cf_meta(k->c, "model"));
    str_int(cf_meta(k->c, "num_classes"), 1, INT32_MAX, &cfg.nets.classes);
    cfg.nets.image_size = k->size;
    if (!nets_measure(&cfg.nets, err))
        return false;
    k->r = replica_open(&cfg, tensor, k, err);
    return k->r != NULL;
}

static bool read_data(struct centers *k, struct error *err)
{
    struct json *d = cf_meta_json(k->c, "dataset");
    struct cf_images images = {.salt = cf_meta(k->c, "salt")};
    bool ok;

    k->n = js_int(js_get(d, "samples"), 0);
    k->size = js_int(js_get(d, "size"), 0);
    k->labels = cf_labels(k->c, "in.labels", err);
    ok = k->labels && (k->n > 0 && k->size > 0 ? true : err_set(err, ERR_DATA, "no data set"));
    if (ok) {
        images.prefix = js_string(js_get(d, "prefix"), "");
        images.n = k->n;
        images.size = k->size;
        images.labels = js_bool(js_get(d, "classes"), false) ? k->labels : NULL;
        k->images = NEW_ARRAY(float, (size_t)(k->n * 3 * k->size * k->size));
        cf_gen_images(&images, k->images);
    }
    js_free(d);
    return ok;
}

static bool compute_features(struct centers *k, struct error *err)
{
    const struct nets *n = &k->r->cfg.nets;
    float *logits = NEW_ARRAY(float, (size_t)(k->n * n->classes));
    size_t eight = 8 * (size_t)n->teacher_width;
    double *first = NEW_ARRAY(double, eight);
    bool ok;

    k->features = NEW_ARRAY(float, (size_t)(k->n * n->teacher_width));
    replica_teacher(k->r, k->images, k->n, logits, k->features);
    for (size_t i = 0; i < eight; i++)
        first[i] = (double)k->features[i];
    ok = cf_compare(k->c, "out.feat8", first, eight, err);
    free(first);
    free(logits);
    return ok;
}

/* Plain means, exact; and the published procedure, which rounds to 4 decimals before and after. */
static bool compare_means(struct centers *k, struct error *err)
{
    const struct nets *n = &k->r->cfg.nets;
    int64_t width = n->teacher_width;
    size_t all = (size_t)(n->classes * width);
    struct means_sums sums;
    double *mean = NEW_ARRAY(double, all), *rounded = NEW_ARRAY(double, all);
    double *counts = NEW_ARRAY(double, (size_t)n->classes);
    int64_t *samples = NEW_ARRAY(int64_t, (size_t)k->n);
    bool ok;

    for (int64_t i = 0; i < k->n; i++) {
        samples[i] = i;
        for (int64_t j = 0; j < width; j++)
            rounded[k->labels[i] * width + j] +=
                nearbyint((double)k->features[i * width + j] * 1e4) / 1e4;
    }
    means_sums_init(&sums, (int)n->classes, (int)width);
    ok = means_sums_add(&sums, k->features, k->labels, k->n, samples, err);
    for (size_t i = 0; i < all; i++) {
        double count = (double)sums.counts[i / (size_t)width];

        counts[i / (size_t)width] = count;
        mean[i] = count > 0 ? ldexp((double)sums.sums[i], -64) / count : 0;
        rounded[i] = count > 0 ? nearbyint(rounded[i] / count * 1e4) / 1e4 : 0;
    }
    ok = ok && cf_compare(k->c, "out.centers", mean, all, err) &&
         cf_compare(k->c, "out.counts", counts, (size_t)n->classes, err) &&
         cf_compare(k->c, "out.centers_rounded", rounded, all, err);
    means_sums_free(&sums);
    free(samples);
    free(counts);
    free(rounded);
    free(mean);
    return ok;
}

bool cf_run_centers(struct cf_case *c, struct error *err)
{
    struct centers k = {.c = c};
    bool ok = read_data(&k, err) && cf_state_open(&k.state, c, "state", "prefix", err) &&
              open_teacher(&k, err) && compute_features(&k, err) && compare_means(&k, err);

    replica_close(k.r);
    cf_state_close(&k.state);
    free(k.images);
    free(k.features);
    free(k.labels);
    return ok;
}
