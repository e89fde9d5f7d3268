/* Mixed images: what is drawn, what becomes of the pixels, and what losses make of two labels. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/rng.h"
#include "tests/unit/unit.h"
#include "worker/data/mix.h"
#include "worker/means/means.h"
#include "worker/replica.h"

enum {
    SIZE = 8,
    IMAGE = 3 * SIZE * SIZE,
    DRAWS = 20000
};

/* Mean 1/2 and variance 1 / (4 (2 alpha + 1)); symmetric; also where it is next to 0 or 1 almost always. */
START_TEST(beta_has_the_moments_of_its_shape)
{
    static const double alphas[] = {0.001, 0.2, 0.8, 1, 3, 50};

    for (size_t i = 0; i < ARRAY_LEN(alphas); i++) {
        double a = alphas[i], sum = 0, squares = 0, variance = 1 / (4 * (2 * a + 1));

        for (int k = 0; k < DRAWS; k++) {
            double x = rng_beta(rng_key(unit_seed(), (uint64_t)k), a, a);

            ck_assert_msg(x >= 0 && x <= 1, "alpha %g: %g", a, x);
            sum += x - 0.5;
            squares += (x - 0.5) * (x - 0.5);
        }
        ck_assert_double_eq_tol(sum / DRAWS, 0, 6 * sqrt(variance / DRAWS));
        ck_assert_double_eq_tol(squares / DRAWS / variance, 1, 0.08);
    }
    ck_assert_double_eq_tol(rng_beta(7, 2, 1e6), 0, 1e-4); /* and of two shapes */
}
END_TEST

START_TEST(a_draw_is_what_the_settings_say)
{
    struct mix m = {.mixup_alpha = 0.8,
                    .cutmix_alpha = 1,
                    .prob = 0.75,
                    .switch_prob = 0.25,
                    .seed = unit_seed()};
    int mixed = 0, boxed = 0;

    for (int k = 0; k < DRAWS; k++) {
        struct mixture x = mix_draw(&m, SIZE, k / 100, k % 100), again;

        again = mix_draw(&m, SIZE, k / 100, k % 100);
        ck_assert(x.share == again.share && x.top == again.top && x.left == again.left);
        ck_assert(x.share >= 0 && x.share <= 1);
        ck_assert(x.top >= 0 && x.left >= 0 && x.top + x.height <= SIZE &&
                  x.left + x.width <= SIZE);
        if (x.height)
            ck_assert_double_eq_tol(x.share, 1 - x.height * x.width / (double)(SIZE * SIZE), 1e-15);
        mixed += x.share < 1;
        boxed += x.height > 0;
    }
    /* Boxes without an area mix nothing: of sides below 2, a share above 15/16 of them. */
    ck_assert_double_eq_tol(mixed / (double)DRAWS, 0.75 * (1 - 0.25 / 16), 0.02);
    ck_assert_double_eq_tol(boxed / (double)mixed, 0.24, 0.03);
    m.cutmix_alpha = 0;
    ck_assert_int_eq(mix_draw(&m, SIZE, 1, 1).height, 0);
    m.prob = 0;
    ck_assert(mix_draw(&m, SIZE, 1, 1).share == 1);
}
END_TEST

static void fill(float *images, int32_t *labels, int n)
{
    for (int i = 0; i < n; i++) {
        labels[i] = 10 + i;
        for (int k = 0; k < IMAGE; k++)
            images[i * IMAGE + k] = (float)(i + 1);
    }
}

START_TEST(partners_mirror_each_other)
{
    float images[5 * IMAGE];
    int32_t labels[5], partners[5];
    const struct mixture blend = {.share = 0.75}, none = {.share = 1},
                         box = {.share = 0.5, .top = 2, .left = 0, .height = 4, .width = SIZE};

    fill(images, labels, 5);
    mix_lane(&none, SIZE, images, labels, partners, 5);
    ck_assert(images[0] == 1 && images[4 * IMAGE] == 5 && partners[0] == 14 && partners[2] == 12);
    mix_lane(&blend, SIZE, images, labels, partners, 5);
    ck_assert(images[0] == 2 && images[4 * IMAGE + 7] == 4); /* 3/4 of 1 and 1/4 of 5 */
    ck_assert(images[1 * IMAGE] == 2.5F && images[2 * IMAGE] == 3);
    fill(images, labels, 5);
    mix_lane(&box, SIZE, images, labels, partners, 5);
    for (int k = 0; k < IMAGE; k++) {
        int row = k / SIZE % SIZE;

        ck_assert(images[k] == (row >= 2 && row < 6 ? 5 : 1));
        ck_assert(images[4 * IMAGE + k] == (row >= 2 && row < 6 ? 1 : 5));
        ck_assert(images[2 * IMAGE + k] == 3);
    }
}
END_TEST

/* -- Losses ------------------------------------------------------------------------------------------ */

enum {
    BATCH = 6,
    CLASSES = 4,
    WIDTH = 64,
    NET = 5 /* the seed: its guesses fall on classes 0 and 1 unevenly */
};
static const double weights[] = {1, 1, 1};

static bool tensor(void *arg, const char *name, const struct shape *shape, float *out,
                   struct error *err)
{
    uint64_t key = rng_key_text(NET, name);

    (void)arg;
    (void)err;
    for (int64_t i = 0; i < shape_count(shape); i++)
        out[i] = (float)(0.1 * rng_normal(key, (uint64_t)i) + (strstr(name, "var") ? 1 : 0));
    return true;
}

struct bench {
    struct replica *r;
    float images[BATCH * IMAGE], *grads;
    double centres[CLASSES * WIDTH], sums[SUM_COUNT], norms[BATCH];
    int64_t samples[BATCH];
};

/* Class 3's centre is what lies between those of 0 and 1 at a share of 0.3. */
static void open_bench(struct bench *b)
{
    static const int64_t lane = BATCH;
    struct replica_config cfg = {.backend = "cpu",
                                 .threads = 1,
                                 .chunk = BATCH,
                                 .lane_sizes = &lane,
                                 .n_lane_sizes = 1,
                                 .optim = optim_find("sgd"),
                                 .seed = NET};
    float unit[CLASSES * WIDTH];
    struct error err;

    cfg.nets = (struct nets){.student = model_find("resnet8", NULL),
                             .teacher = model_find("resnet8", NULL),
                             .classes = CLASSES,
                             .image_size = SIZE,
                             .mixes = true,
                             .losses = {{.def = &loss_ce},
                                        {.def = &loss_kd, .params = {.temperature = 4}},
                                        {.def = &loss_nd}},
                             .n_losses = 3};
    ck_assert_ok(nets_measure(&cfg.nets, &err), err);
    b->r = replica_open(&cfg, tensor, NULL, &err);
    ck_assert_msg(b->r, "%s", err.msg);
    replica_init(b->r);
    for (int i = 0; i < BATCH * IMAGE; i++)
        b->images[i] = (float)rng_normal(rng_key(NET, 1), (uint64_t)i);
    for (int i = 0; i < CLASSES * WIDTH; i++)
        b->centres[i] = rng_uniform(rng_key(NET, 2), (uint64_t)i) * (1 + i / WIDTH);
    for (int i = 0; i < WIDTH; i++)
        b->centres[3 * WIDTH + i] = 0.3 * b->centres[i] + 0.7 * b->centres[WIDTH + i];
    for (int c = 0; c < CLASSES; c++)
        ck_assert(means_direction(b->centres + c * WIDTH, WIDTH, unit + c * WIDTH));
    replica_set_directions(b->r, unit);
    replica_set_centres(b->r, b->centres);
    b->grads = mem_try_aligned(64, flat_grad_count(&b->r->flat) * sizeof(float));
}

static void run(struct bench *b, const int32_t *labels, const int32_t *partners, double share)
{
    const struct lane lane = {.images = b->images,
                              .labels = labels,
                              .samples = b->samples,
                              .count = BATCH,
                              .batch = BATCH,
                              .loss_weights = weights,
                              .partners = partners,
                              .share = share,
                              .norms = b->norms,
                              .teacher_norms = b->norms};

    replica_lane(b->r, &lane, b->grads, b->sums);
}

/* Cross-entropy and its gradient are those of both labels, weighed; KD sees no label; ND turns towards the
 * mixed centre; top-1 counts the label with the greater share. */
START_TEST(losses_of_mixed_images)
{
    static const int32_t own[BATCH] = {0, 0, 0, 0, 0, 0}, other[BATCH] = {1, 1, 1, 1, 1, 1},
                         between[BATCH] = {3, 3, 3, 3, 3, 3};
    struct bench b;
    double ce[2], kd, nd[2], top1[2], grad;
    size_t at;

    open_bench(&b);
    run(&b, own, other, 1);
    ce[0] = b.sums[SUM_LOSS];
    top1[0] = b.sums[SUM_TOP1];
    kd = b.sums[SUM_LOSS + 1];
    nd[0] = b.sums[SUM_LOSS + 2];
    run(&b, other, own, 1);
    ce[1] = b.sums[SUM_LOSS];
    top1[1] = b.sums[SUM_TOP1];
    ck_assert(fabs(ce[0] - ce[1]) > 0.1 && top1[0] != top1[1]);
    run(&b, own, other, 0.3);
    ck_assert_double_eq_tol(b.sums[SUM_LOSS], 0.3 * ce[0] + 0.7 * ce[1], 1e-4);
    ck_assert_double_eq_tol(b.sums[SUM_LOSS + 1], kd, 1e-5);
    ck_assert(b.sums[SUM_TOP1] == top1[1]);
    nd[1] = b.sums[SUM_LOSS + 2];
    ck_assert(fabs(nd[1] - nd[0]) > 0.01);
    /* The gradient: by the last bias, which CE and KD alone reach: d CE / d bias = mean of p - target. */
    at = flat_find(&b.r->flat, "fc.bias")->offset;
    grad = (double)b.grads[at];
    run(&b, own, other, 1);
    grad -= (double)b.grads[at];
    ck_assert_double_eq_tol(grad, 0.7, 1e-4);
    run(&b, between, own, 1);
    ck_assert_double_eq_tol(nd[1], b.sums[SUM_LOSS + 2], 1e-5);
    free(b.grads);
    replica_close(b.r);
}
END_TEST

UNIT_MAIN(beta_has_the_moments_of_its_shape, a_draw_is_what_the_settings_say,
          partners_mirror_each_other, losses_of_mixed_images)
