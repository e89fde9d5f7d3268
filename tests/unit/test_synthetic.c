/* The procedural images: the same everywhere, balanced, and not to be told apart by a linear model. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/rng.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"
#include "worker/data/dataset.h"

enum {
    PIXELS = 3072,
    CLASSES = 10
};

static struct dataset *open_or_fail(const char *source, enum split split)
{
    struct error err;
    struct dataset *d = dataset_open(&(struct dataset_config){.source = source}, split, &err);

    ck_assert_msg(d, "%s", err.msg);
    return d;
}

static void hash(const char *source, enum split split, char hex[SHA256_HEX])
{
    struct dataset *d = open_or_fail(source, split);

    ck_assert(dataset_sha256(d, hex, NULL));
    dataset_close(d);
}

/* Results that users compare depend on these bytes: changing them is a decision. */
START_TEST(pixels_are_the_same_on_every_machine)
{
    char hex[SHA256_HEX];

    hash("procedural:classes=100,train=200", SPLIT_TRAIN, hex);
    ck_assert_str_eq(hex, "8f7dce5a2e9563e9eb9199c1b21afaf82cb6171754d684f5be4888cccffff9aa");
    hash("procedural:classes=100,test=200", SPLIT_TEST, hex);
    ck_assert_str_eq(hex, "3a05e3c96165e286f1eedd4757c9bc52bd7fc3347daff2712a700b5df5ef65a8");
}
END_TEST

START_TEST(options_have_defaults_and_matter)
{
    char all[SHA256_HEX], some[SHA256_HEX], other[SHA256_HEX];
    struct dataset *d = open_or_fail("procedural:", SPLIT_TRAIN);

    ck_assert_int_eq(dataset_count(d), 4000);
    ck_assert_int_eq(dataset_classes(d), 10);
    ck_assert(dataset_sha256(d, all, NULL));
    dataset_close(d);
    hash("procedural:seed=1,train=4000,test=1000,classes=10", SPLIT_TRAIN, some);
    ck_assert_str_eq(all, some);
    hash("procedural:seed=2", SPLIT_TRAIN, other);
    ck_assert_str_ne(all, other);
    /* Otherwise the test images would have been seen in training. */
    hash("procedural:train=1000", SPLIT_TRAIN, some);
    hash("procedural:test=1000", SPLIT_TEST, other);
    ck_assert_str_ne(some, other);
}
END_TEST

START_TEST(bad_options_are_named)
{
    static const struct {
        const char *source, *message;
    } cases[] = {
        {"procedural:clases=3", "option of procedural data 'clases'; did you mean 'classes'"},
        {"procedural:classes=1", "classes: expected a whole number from 2 to 100, got \"1\""},
        {"procedural:classes=101", "classes: expected a whole number from 2 to 100, got \"101\""},
        {"procedural:classes=10,train=x",
         "train: expected a whole number from 1 to 1000000, got \"x\""},
        {"procedural:test", "test: expected a whole number"},
        {"procedural:seed=-1", "seed: expected a whole number"},
        {"procedural:seed=1=2", "seed: expected a whole number"},
        {"procedural:,", "unknown option of procedural data ''"},
    };
    struct error err;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dataset_config cfg = {.source = cases[i].source};

        ck_assert_error(dataset_open(&cfg, SPLIT_TRAIN, &err), err, cases[i].message);
        ck_assert_int_eq(err.code, ERR_INVALID);
    }
}
END_TEST

START_TEST(classes_are_balanced)
{
    struct dataset *d = open_or_fail("procedural:classes=7,train=100", SPLIT_TRAIN);
    int counts[7] = {0};

    for (int64_t i = 0; i < dataset_count(d); i++)
        counts[dataset_label(d, i)]++;
    for (int c = 0; c < 7; c++)
        ck_assert_msg(counts[c] == 14 || counts[c] == 15, "class %d: %d of 100", c, counts[c]);
    dataset_close(d);
}
END_TEST

/* A linear softmax classifier on pixels, by plain stochastic gradient descent. */
struct linear {
    float weight[PIXELS][CLASSES], bias[CLASSES];
};

static void pixels_of(const struct dataset *d, int64_t i, bool marked, float *x)
{
    const uint8_t *image = dataset_image(d, i);

    for (int k = 0; k < PIXELS; k++)
        x[k] = ((float)image[k] / 255 - 0.5F) / 0.25F;
    for (int k = 0; marked && k < 64; k++)
        x[96 * dataset_label(d, i) + k] += 1;
}

static int scores(const struct linear *m, const float *x, float p[CLASSES])
{
    int best = 0;

    memcpy(p, m->bias, sizeof(m->bias));
    for (int k = 0; k < PIXELS; k++)
        for (int c = 0; c < CLASSES; c++)
            p[c] += x[k] * m->weight[k][c];
    for (int c = 1; c < CLASSES; c++)
        best = p[c] > p[best] ? c : best;
    return best;
}

static void learn(struct linear *m, const float *x, int label, float rate)
{
    float p[CLASSES], sum = 0;
    const int best = scores(m, x, p);
    const float top = p[best];

    for (int c = 0; c < CLASSES; c++)
        sum += p[c] = expf(p[c] - top);
    for (int c = 0; c < CLASSES; c++)
        p[c] = rate * (p[c] / sum - (c == label ? 1 : 0));
    for (int k = 0; k < PIXELS; k++)
        for (int c = 0; c < CLASSES; c++)
            m->weight[k][c] -= x[k] * p[c];
    for (int c = 0; c < CLASSES; c++)
        m->bias[c] -= p[c];
}

/* Share of test images that the trained classifier names right. A marked set carries its class in the
 * brightness of some pixels: there the classifier must succeed. */
static double linear_accuracy(bool marked)
{
    struct dataset *train = open_or_fail("procedural:train=3000", SPLIT_TRAIN);
    struct dataset *test = open_or_fail("procedural:test=1000", SPLIT_TEST);
    struct linear *m = NEW(struct linear);
    float x[PIXELS], p[CLASSES];
    int64_t n = dataset_count(train), right = 0;

    for (int64_t i = 0; i < 2 * n; i++) {
        int64_t k = (int64_t)rng_below(rng_key(unit_seed(), 1), (uint64_t)i, (uint64_t)n);

        pixels_of(train, k, marked, x);
        learn(m, x, dataset_label(train, k), 2e-4F);
    }
    for (int64_t i = 0; i < dataset_count(test); i++) {
        pixels_of(test, i, marked, x);
        right += scores(m, x, p) == dataset_label(test, i);
    }
    free(m);
    dataset_close(test);
    dataset_close(train);
    return (double)right / 1000;
}

START_TEST(no_linear_template_tells_classes_apart)
{
    double plain = linear_accuracy(false), marked = linear_accuracy(true);

    printf("linear top-1: %.1f %%, %.1f %% with marks\n", 100 * plain, 100 * marked);
    ck_assert_msg(plain < 0.6, "a linear model reaches %.3f", plain);
    ck_assert_msg(marked > 0.9, "the linear model of this test learns nothing: %.3f", marked);
}
END_TEST

/* The mean of a pixel says nothing about the class: even the mean colour of a whole class is near that
 * of the others. */
START_TEST(classes_have_the_same_mean_colour)
{
    struct dataset *d = open_or_fail("procedural:train=4000", SPLIT_TRAIN);
    double sums[CLASSES][3] = {{0}};

    for (int64_t i = 0; i < dataset_count(d); i++)
        for (int k = 0; k < PIXELS; k++)
            sums[dataset_label(d, i)][k / 1024] += dataset_image(d, i)[k];
    for (int c = 0; c < CLASSES; c++)
        for (int k = 0; k < 3; k++)
            ck_assert_double_eq_tol(sums[c][k] / 400 / 1024, 127.5, 8);
    dataset_close(d);
}
END_TEST

UNIT_MAIN(pixels_are_the_same_on_every_machine, options_have_defaults_and_matter,
          bad_options_are_named, classes_are_balanced, no_linear_template_tells_classes_apart,
          classes_have_the_same_mean_colour)
