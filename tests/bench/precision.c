/* What int8 costs a teacher, on the test images: tests/bench/precision MODEL WEIGHTS SOURCE. No test. One JSON line:
 * top-1 in float32 and in int8, on how many images both choose the same class, the mean difference of a logit and of how
 * large it is, and the mean cosine between the features. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "proto/base/opt.h"
#include "worker/calibrate.h"
#include "worker/stats.h"

enum {
    CHUNK = 50
};

struct bench {
    const char *model, *weights, *source;
    int64_t calibration;
    struct dataset *train, *test;
    struct augment augment;
    struct weights file;
    struct replica *replica[2]; /* float32, int8 */
};

struct sums {
    int64_t images, right[2], same;
    double difference, magnitude, cosine;
};

static const struct opt rows[] = {
    OPT(struct bench, model, ARG_ONE, "MODEL", "the teacher's"),
    OPT(struct bench, weights, ARG_ONE, "WEIGHTS", "the teacher's"),
    OPT(struct bench, source, ARG_ONE, "SOURCE", "cifar100:DIR, ..."),
    OPT(struct bench, calibration, OPT_INT, "calibration", "training images that ranges are of",
        .value = "N", .fallback = "256", .lo = 1, .hi = 1 << 20),
};

static bool open_data(struct bench *b, struct error *err)
{
    const struct dataset_config cfg = {.source = b->source, .image_size = 224, .decode_threads = 1};
    const struct data_source *source;

    if (!(b->train = dataset_open(&cfg, SPLIT_TRAIN, err)) ||
        !(b->test = dataset_open(&cfg, SPLIT_TEST, err)) ||
        !(source = data_source_of(b->source, err)))
        return false;
    augment_init(&b->augment, dataset_size(b->train), 0, false, 1, source->mean, source->std);
    b->augment.resize = 256;
    return true;
}

static bool find_ranges(struct bench *b, const struct replica_config *cfg,
                        struct teacher_ranges *out, struct error *err)
{
    struct calibration *c = calibration_open(cfg, weights_tensor, &b->file, err);
    bool ok = c && calibration_add_set(c, b->train, &b->augment, b->calibration, 0, 1, err) &&
              calibration_end(c, out, err);

    calibration_close(c);
    return ok;
}

static bool open_teachers(struct bench *b, struct error *err)
{
    struct replica_config cfg = {.backend = "cpu", .threads = 1, .chunk = CHUNK};
    struct teacher_ranges ranges = {{NULL}, {0}};
    bool ok;

    cfg.nets = (struct nets){.teacher = model_find(b->model, err),
                             .classes = dataset_classes(b->train),
                             .image_size = dataset_size(b->train)};
    ok = cfg.nets.teacher &&
         weights_open(&b->file, "teacher.weights", b->weights, cfg.nets.teacher,
                      cfg.nets.image_size, (int)cfg.nets.classes, err) &&
         nets_measure(&cfg.nets, err) && find_ranges(b, &cfg, &ranges, err) &&
         (b->replica[0] = replica_open(&cfg, weights_tensor, &b->file, err));
    cfg.teacher_precision = PRECISION_INT8;
    cfg.teacher_ranges = &ranges;
    ok = ok && (b->replica[1] = replica_open(&cfg, weights_tensor, &b->file, err));
    teacher_ranges_free(&ranges);
    return ok;
}

static int64_t best(const float *logits, int64_t n)
{
    int64_t at = 0;

    for (int64_t i = 1; i < n; i++)
        if (logits[i] > logits[at])
            at = i;
    return at;
}

static double cosine(const float *a, const float *b, int64_t n)
{
    double dot = 0;

    for (int64_t i = 0; i < n; i++)
        dot += (double)a[i] * (double)b[i];
    return dot / (stats_norm(a, n) * stats_norm(b, n));
}

static void compare(const struct bench *b, float *const logits[2], float *const features[2],
                    const struct batch *of, struct sums *s)
{
    const int64_t classes = b->replica[0]->cfg.nets.classes;
    const int64_t width = b->replica[0]->cfg.nets.teacher_width;

    for (int64_t i = 0; i < of->count; i++) {
        const float *x = logits[0] + i * classes, *y = logits[1] + i * classes;

        s->images++;
        s->right[0] += best(x, classes) == of->labels[i];
        s->right[1] += best(y, classes) == of->labels[i];
        s->same += best(x, classes) == best(y, classes);
        s->cosine += cosine(features[0] + i * width, features[1] + i * width, width);
        for (int64_t k = 0; k < classes; k++) {
            s->difference += fabs((double)x[k] - (double)y[k]) / (double)classes;
            s->magnitude += fabs((double)x[k]) / (double)classes;
        }
    }
}

static bool run(struct bench *b, struct sums *s, struct error *err)
{
    const struct nets *n = &b->replica[0]->cfg.nets;
    struct loader *l = loader_open_chunks(b->test, &b->augment, CHUNK, 0, 1, err);
    float *logits[2], *features[2];
    const struct batch *batch;
    bool ok;

    for (int k = 0; k < 2; k++) {
        logits[k] = NEW_ARRAY(float, (size_t)(CHUNK * n->classes));
        features[k] = NEW_ARRAY(float, (size_t)(CHUNK * n->teacher_width));
    }
    while (l && (batch = loader_next(l))) {
        for (int k = 0; k < 2; k++)
            replica_teacher(b->replica[k], batch->images, batch->count, logits[k], features[k]);
        compare(b, logits, features, batch, s);
    }
    ok = l && loader_ended(l, err);
    loader_close(l);
    for (int k = 0; k < 2; k++) {
        free(logits[k]);
        free(features[k]);
    }
    return ok;
}

static void print(const struct bench *b, const struct sums *s)
{
    double n = (double)s->images;

    printf("{\"model\":\"%s\",\"images\":%" PRId64 ",\"calibration\":%" PRId64
           ",\"top1_float32\":%.2f,\"top1_int8\":%.2f,\"same_class\":%.2f,"
           "\"logit_difference\":%.4f,\"logit\":%.4f,\"feature_cosine\":%.6f}\n",
           b->model, s->images, b->calibration, 100 * (double)s->right[0] / n,
           100 * (double)s->right[1] / n, 100 * (double)s->same / n, s->difference / n,
           s->magnitude / n, s->cosine / n);
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    struct sums sums = {0};
    const struct opt_set all = OPT_SET(rows, &b);
    struct opt_words words = {argv + 1, (size_t)argc - 1};
    struct error err = {0};
    bool ok = opt_defaults(&all, &err) && opt_parse(&all, 1, &words, &err) && open_data(&b, &err) &&
              open_teachers(&b, &err) && run(&b, &sums, &err);

    if (ok)
        print(&b, &sums);
    else
        fprintf(stderr, "%s: %s\n", argv[0], err.msg);
    for (int k = 0; k < 2; k++)
        replica_close(b.replica[k]);
    weights_close(&b.file);
    dataset_close(b.train);
    dataset_close(b.test);
    return ok ? 0 : err_exit_status(err.code);
}
