/* How many images a second a loader gives, by number of threads: tests/bench/loader SOURCE. No test. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/clock.h"
#include "proto/base/opt.h"
#include "worker/data/loader.h"

struct bench {
    const char *source;
    int64_t size, images, threads;
};

static const struct opt rows[] = {
    OPT(struct bench, source, ARG_ONE, "SOURCE", "imagefolder:DIR, shard:FILE, ..."),
    OPT(struct bench, size, OPT_INT, "size", "pixels per side as they are shown", .value = "N",
        .fallback = "224", .lo = 8, .hi = 1024),
    OPT(struct bench, images, OPT_INT, "images", "that each run loads", .value = "N",
        .fallback = "2000", .lo = 1, .hi = INT64_MAX),
    OPT(struct bench, threads, OPT_INT, "threads", "runs with 1, 2, ... up to so many",
        .value = "N", .fallback = "2", .lo = 1, .hi = 64),
};

/* Training views of random parts, in batches of 64. */
static bool run(const struct bench *b, int threads, struct error *err)
{
    static const double mean[3] = {0.5, 0.5, 0.5}, std[3] = {0.25, 0.25, 0.25};
    const struct dataset_config data = {
        .source = b->source, .image_size = (int)b->size, .decode_threads = threads};
    struct dataset *d = dataset_open(&data, SPLIT_TRAIN, err);
    struct augment a;
    struct train_loader_config cfg = {.data = d,
                                      .augment = &a,
                                      .seed = 1,
                                      .last_epoch = INT64_MAX,
                                      .batch = 64,
                                      .lanes = 1,
                                      .lane_hi = 1};
    const struct batch *batch = NULL;
    struct loader *l;
    double began;
    int64_t n = 0;
    bool ok;

    if (!d)
        return false;
    augment_init(&a, dataset_size(d), 0, true, 1, mean, std);
    a.resized_crop = true;
    a.crop = (struct random_crop){{0.08, 1}, {0.75, 4.0 / 3}};
    l = loader_open_train(&cfg, err);
    began = clock_mono_s();
    while (l && n < b->images && (batch = loader_next(l)) != NULL)
        n += batch->count;
    ok = l && (batch || loader_ended(l, err));
    if (ok)
        printf("%2d threads: %8.1f images/s\n", threads, (double)n / (clock_mono_s() - began));
    loader_close(l);
    dataset_close(d);
    return ok;
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    const struct opt_set all = OPT_SET(rows, &b);
    struct opt_words words = {argv + 1, (size_t)argc - 1};
    struct error err = {0};
    bool ok = opt_defaults(&all, &err) && opt_parse(&all, 1, &words, &err);

    for (int threads = 1; ok && threads <= b.threads; threads++)
        ok = run(&b, threads, &err);
    if (!ok)
        fprintf(stderr, "%s: %s\n", argv[0], err.msg);
    return ok ? 0 : err_exit_status(err.code);
}
