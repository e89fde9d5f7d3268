/* Class means: exact sums that do not depend on order, and files that say what they are of. */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/rng.h"
#include "proto/base/sha256.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"
#include "worker/ckpt/safetensors.h"
#include "worker/means/ema.h"

enum {
    CLASSES = 5,
    WIDTH = 7,
    ROWS = 400
};

static const char teacher[] = "1111111111111111111111111111111111111111111111111111111111111111";
static const char data[] = "2222222222222222222222222222222222222222222222222222222222222222";
static const struct means_provenance provenance = {
    .teacher_sha256 = teacher,
    .data_sha256 = data,
    .transform = "eval mean=0.5,0.5,0.5 std=0.25,0.25,0.25",
    .isa = "avx2 1.0",
    .chunk = 64,
    .threads = 2,
};

static float features[ROWS][WIDTH];
static int32_t labels[ROWS];
static int64_t samples[ROWS];

/* Values of all magnitudes up to 2^span, so that a floating-point sum would depend on the order. */
static void make_features(int span)
{
    uint64_t key = rng_key(unit_seed(), 3);

    for (int i = 0; i < ROWS; i++) {
        labels[i] = i < CLASSES ? i : (int32_t)rng_below(key, (uint64_t)i, CLASSES);
        samples[i] = 1000 + i;
        for (int k = 0; k < WIDTH; k++) {
            uint64_t at = 1000 + 2 * (uint64_t)(i * WIDTH + k);
            int exponent = (int)rng_below(key, at, (uint64_t)(2 * span)) - span;

            features[i][k] = (float)ldexp(rng_uniform(key, at + 1) - 0.45, exponent);
        }
    }
}

/* In pieces of the given size, every `stride`-th piece at a time. */
static void add_all(struct means_sums *s, int piece, int stride)
{
    struct error err;

    for (int from = 0; from < stride; from++)
        for (int i = from * piece; i < ROWS; i += stride * piece) {
            int n = ROWS - i < piece ? ROWS - i : piece;

            ck_assert_ok(means_sums_add(s, features[i], labels + i, n, samples + i, &err), err);
        }
}

START_TEST(sums_do_not_depend_on_order)
{
    const size_t bytes = CLASSES * WIDTH * sizeof(__int128);
    struct means_sums a, b, c;

    make_features(39);
    means_sums_init(&a, CLASSES, WIDTH);
    means_sums_init(&b, CLASSES, WIDTH);
    means_sums_init(&c, CLASSES, WIDTH);
    add_all(&a, ROWS, 1);
    add_all(&b, 1, 7);
    for (int i = ROWS - 1; i >= 0; i--)
        ck_assert(means_sums_add(&c, features[i], labels + i, 1, samples + i, NULL));
    ck_assert(memcmp(a.sums, b.sums, bytes) == 0 && memcmp(a.sums, c.sums, bytes) == 0);
    ck_assert_mem_eq(a.counts, b.counts, CLASSES * sizeof(*a.counts));
    ck_assert_mem_eq(a.counts, c.counts, CLASSES * sizeof(*a.counts));
    means_sums_free(&a);
    means_sums_free(&b);
    means_sums_free(&c);
}
END_TEST

/* Ranks add their parts: integers, so the sum of the parts is the whole. */
START_TEST(parts_add_up_to_the_whole)
{
    struct means_sums whole, part[2];

    make_features(30);
    means_sums_init(&whole, CLASSES, WIDTH);
    means_sums_init(&part[0], CLASSES, WIDTH);
    means_sums_init(&part[1], CLASSES, WIDTH);
    add_all(&whole, ROWS, 1);
    for (int i = 0; i < ROWS; i++)
        ck_assert(means_sums_add(&part[i / 32 % 2], features[i], labels + i, 1, samples + i, NULL));
    for (int i = 0; i < CLASSES * WIDTH; i++)
        ck_assert(whole.sums[i] == part[0].sums[i] + part[1].sums[i]);
    for (int c = 0; c < CLASSES; c++)
        ck_assert_int_eq(whole.counts[c], part[0].counts[c] + part[1].counts[c]);
    means_sums_free(&whole);
    means_sums_free(&part[0]);
    means_sums_free(&part[1]);
}
END_TEST

START_TEST(means_and_directions_are_those_of_the_definition)
{
    struct means_sums s;
    struct class_means m;
    struct error err;

    make_features(3);
    means_sums_init(&s, CLASSES, WIDTH);
    add_all(&s, ROWS, 1);
    ck_assert_ok(means_finish(&s, &provenance, &m, &err), err);
    for (int c = 0; c < CLASSES; c++) {
        long double sum[WIDTH] = {0}, squares = 0;
        int64_t n = 0;

        for (int i = 0; i < ROWS; i++)
            for (int k = 0; labels[i] == c && k < WIDTH; k++)
                sum[k] += (long double)features[i][k];
        for (int i = 0; i < ROWS; i++)
            n += labels[i] == c;
        ck_assert_int_eq(m.counts[c], n);
        for (int k = 0; k < WIDTH; k++)
            squares += sum[k] / n * (sum[k] / n);
        for (int k = 0; k < WIDTH; k++) {
            double mean = m.mean[c * WIDTH + k], unit = (double)m.unit[c * WIDTH + k];

            ck_assert_double_eq_tol(mean, (double)(sum[k] / n), 1e-15);
            ck_assert_double_eq_tol(unit, (double)(sum[k] / n / sqrtl(squares)), 6e-8);
        }
    }
    ck_assert_str_eq(m.teacher_sha256, teacher);
    ck_assert_int_eq(m.chunk, 64);
    means_free(&m);
    means_sums_free(&s);
}
END_TEST

/* What lies below 2^-64 is cut off from each value by itself. */
START_TEST(truncation_acts_on_each_value)
{
    const float tiny[3] = {0x1.8p-64F, -0x1.8p-64F, 0x1p-65F};
    const int32_t label[3] = {0, 0, 0};
    const int64_t sample[3] = {0, 1, 2};
    struct means_sums s;

    means_sums_init(&s, 1, 1);
    for (int i = 0; i < 3; i++)
        ck_assert(means_sums_add(&s, tiny + i, label, 1, sample, NULL));
    ck_assert(s.sums[0] == 0); /* 1 - 1 + 0, not the whole part of 0.5 */
    ck_assert(means_sums_add(&s, tiny, label, 1, sample, NULL));
    ck_assert(means_sums_add(&s, tiny, label, 1, sample, NULL));
    ck_assert(s.sums[0] == 2); /* and not 3 */
    means_sums_free(&s);
}
END_TEST

START_TEST(values_that_do_not_fit_are_named)
{
    static const struct {
        float value;
        const char *text;
    } bad[] = {{NAN, "nan"},
               {INFINITY, "inf"},
               {-INFINITY, "-inf"},
               {0x1p40F, "1.09951e+12"},
               {-0x1p40F, "-1.09951e+12"},
               {3e38F, "3e+38"}};
    struct means_sums s;
    struct error err;

    make_features(3);
    means_sums_init(&s, CLASSES, WIDTH);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        float was = features[17][4];

        features[17][4] = bad[i].value;
        ck_assert_error(means_sums_add(&s, features[0], labels, ROWS, samples, &err), err,
                        "feature 4 of training image 1017 is ");
        ck_assert_msg(strstr(err.msg, bad[i].text), "%s", err.msg);
        ck_assert_int_eq(err.code, ERR_DATA);
        features[17][4] = was;
    }
    features[17][4] = 0x1.fffffep39F;
    ck_assert_ok(means_sums_add(&s, features[0], labels, ROWS, samples, &err), err);
    means_sums_free(&s);
}
END_TEST

START_TEST(classes_without_a_direction_are_refused)
{
    const float one[2] = {1, 0}, nearly_none[2] = {9e-7F, 0};
    const int32_t zero = 0, second = 1;
    const int64_t sample = 0;
    struct means_sums s;
    struct class_means m;
    struct error err;

    means_sums_init(&s, 2, 2);
    ck_assert(means_sums_add(&s, one, &zero, 1, &sample, NULL));
    ck_assert_error(means_finish(&s, &provenance, &m, &err), err, "class 1 has no training image");
    ck_assert_int_eq(err.code, ERR_DATA);
    ck_assert(means_sums_add(&s, nearly_none, &second, 1, &sample, NULL));
    ck_assert_error(means_finish(&s, &provenance, &m, &err), err,
                    "mean feature of class 1 has norm 9e-07");
    ck_assert_int_eq(err.code, ERR_DATA);
    means_sums_free(&s);
}
END_TEST

static struct class_means example(void)
{
    struct means_sums s;
    struct class_means m;
    struct error err;

    make_features(3);
    means_sums_init(&s, CLASSES, WIDTH);
    add_all(&s, ROWS, 1);
    ck_assert_ok(means_finish(&s, &provenance, &m, &err), err);
    means_sums_free(&s);
    return m;
}

static struct buf content(const char *path)
{
    struct buf b = buf_new(1 << 20);
    struct error err;

    ck_assert_ok(file_read(path, &b, &err), err);
    return b;
}

START_TEST(saving_what_was_loaded_gives_the_same_bytes)
{
    char *one = str_path(unit_dir(), "one"), *two = str_path(unit_dir(), "two");
    struct class_means m = example(), loaded;
    struct error err;
    struct buf a, b;

    ck_assert_ok(means_save(&m, one, &err), err);
    ck_assert_ok(means_load(&loaded, one, &err), err);
    ck_assert_ok(means_check(&loaded, &provenance, CLASSES, WIDTH, one, &err), err);
    ck_assert_ok(means_save(&loaded, two, &err), err);
    a = content(one);
    b = content(two);
    ck_assert(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
    ck_assert_mem_eq(m.mean, loaded.mean, CLASSES * WIDTH * sizeof(double));
    ck_assert_mem_eq(m.unit, loaded.unit, CLASSES * WIDTH * sizeof(float));
    buf_free(&a);
    buf_free(&b);
    means_free(&m);
    means_free(&loaded);
    free(one);
    free(two);
}
END_TEST

START_TEST(foreign_means_are_refused_with_both_sides)
{
    struct class_means m = example();
    struct means_provenance p = provenance;
    struct error err;

    p.chunk = 1;
    p.threads = 9;
    p.isa = "sse41";
    ck_assert_ok(means_check(&m, &p, CLASSES, WIDTH, "F", &err), err);
    p.teacher_sha256 = data;
    ck_assert_error(means_check(&m, &p, CLASSES, WIDTH, "F", &err), err, "class means F are of");
    ck_assert(strstr(err.msg, teacher) && strstr(err.msg, data));
    ck_assert_int_eq(err.code, ERR_DATA);
    p = provenance;
    p.data_sha256 = teacher;
    ck_assert_error(means_check(&m, &p, CLASSES, WIDTH, "F", &err), err, "this job has");
    p = provenance;
    p.transform = "eval mean=0,0,0 std=1,1,1";
    ck_assert_error(means_check(&m, &p, CLASSES, WIDTH, "F", &err), err, p.transform);
    ck_assert(strstr(err.msg, provenance.transform));
    ck_assert_error(means_check(&m, &provenance, 10, WIDTH, "F", &err), err,
                    "5 classes of width 7; this job has 10 classes of width 7");
    ck_assert_error(means_check(&m, &provenance, CLASSES, 64, "F", &err), err, "of width 64");
    means_free(&m);
}
END_TEST

/* The file of `example` with something changed, loaded again. */
static void expect_load_error(void (*change)(struct class_means *m), const char *message)
{
    char *path = str_path(unit_dir(), "changed");
    struct class_means m = example(), loaded;
    struct error err;

    change(&m);
    ck_assert_ok(means_save(&m, path, &err), err);
    ck_assert_error(means_load(&loaded, path, &err), err, message);
    ck_assert_msg(strstr(err.msg, path) && err.code == ERR_DATA, "%s", err.msg);
    means_free(&m);
    free(path);
}

static void no_count(struct class_means *m)
{
    m->counts[2] = 0;
}

static void no_norm(struct class_means *m)
{
    memset(m->mean + 3 * WIDTH, 0, WIDTH * sizeof(double));
}

static void not_finite(struct class_means *m)
{
    m->mean[4] = (double)NAN;
}

static void too_large(struct class_means *m)
{
    m->mean[4] = 1e300;
}

static void no_chunk(struct class_means *m)
{
    m->chunk = 0;
}

START_TEST(files_that_are_no_class_means_are_refused)
{
    const float w = 1;
    const struct st_tensor t = {"w", ST_F32, 1, {1}, &w, sizeof(w)};
    char *path = str_path(unit_dir(), "other");
    struct class_means m;
    struct error err;

    expect_load_error(no_count, "class 2: expected images and a mean of norm 1e-6 or more, got 0");
    expect_load_error(no_norm, "class 3: ");
    expect_load_error(not_finite, "class 0: ");
    expect_load_error(too_large, "class 0: ");
    expect_load_error(no_chunk, "metadata chunk: expected a positive number, got 0");
    ck_assert(st_write(path, &t, 1, NULL, 0, NULL, NULL));
    ck_assert_error(means_load(&m, path, &err), err,
                    "metadata format: expected distilld-class-means-1, got none");
    ck_assert_error(means_load(&m, "/nonexistent/m", &err), err,
                    "class means: open /nonexistent/m");
    ck_assert_int_eq(err.code, ERR_DATA);
    free(path);
}
END_TEST

START_TEST(keys_tell_provenances_apart)
{
    char key[65], other[65];
    struct means_provenance p[6];

    means_key(&provenance, key);
    ck_assert_uint_eq(strlen(key), 64);
    for (size_t i = 0; i < ARRAY_LEN(p); i++)
        p[i] = provenance;
    p[0].teacher_sha256 = data;
    p[1].data_sha256 = teacher;
    p[2].transform = "other";
    p[3].isa = "other";
    p[4].chunk++;
    p[5].threads++;
    for (size_t i = 0; i < ARRAY_LEN(p); i++) {
        means_key(&p[i], other);
        ck_assert_msg(strcmp(key, other) != 0, "provenance %zu has the same key", i);
    }
}
END_TEST

static char *cache_file(const char *dir)
{
    char key[65], *path;

    means_key(&provenance, key);
    path = str_fmt("%s/%s.safetensors", dir, key);
    return path;
}

START_TEST(the_cache_gives_back_what_it_was_given)
{
    char *dir = str_path(unit_dir(), "cache/deep"), *path = cache_file(dir);
    char *again = str_path(unit_dir(), "again");
    struct class_means m = example(), loaded;
    struct means_provenance other = provenance;
    struct error err;
    struct buf a, b;

    ck_assert_error(means_cache_load(dir, &provenance, &loaded, &err), err, "not there");
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    ck_assert_ok(means_cache_save(dir, &m, &err), err);
    ck_assert_ok(means_cache_load(dir, &provenance, &loaded, &err), err);
    ck_assert_ok(means_save(&loaded, again, &err), err);
    a = content(path);
    b = content(again);
    ck_assert(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
    other.threads++;
    means_free(&loaded);
    ck_assert(!means_cache_load(dir, &other, &loaded, &err) && err.code == ERR_NOT_FOUND);
    buf_free(&a);
    buf_free(&b);
    means_free(&m);
    free(again);
    free(path);
    free(dir);
}
END_TEST

START_TEST(a_damaged_cache_file_is_never_used)
{
    char *dir = str_path(unit_dir(), "damaged"), *path = cache_file(dir);
    struct class_means m = example(), loaded;
    uint64_t key = rng_key(unit_seed(), 5);
    struct error err;
    struct buf file;

    ck_assert_ok(means_cache_save(dir, &m, &err), err);
    file = content(path);
    for (size_t i = 0; i < 500; i++) {
        size_t at = rng_below(key, 2 * i, file.len);
        char bit = (char)(1 << rng_below(key, 2 * i + 1, 8));

        file.data[at] = (char)(file.data[at] ^ bit);
        ck_assert(file_replace(path, file.data, file.len, 0644, NULL));
        ck_assert_msg(!means_cache_load(dir, &provenance, &loaded, &err) &&
                          err.code != ERR_NOT_FOUND,
                      "bit %d of byte %zu of %zu", bit, at, file.len);
        file.data[at] = (char)(file.data[at] ^ bit);
    }
    ck_assert(file_replace(path, file.data, file.len / 2, 0644, NULL));
    ck_assert(!means_cache_load(dir, &provenance, &loaded, &err));
    ck_assert_ok(means_cache_save(dir, &m, &err), err); /* made again, it is good again */
    ck_assert_ok(means_cache_load(dir, &provenance, &loaded, &err), err);
    means_free(&loaded);
    means_free(&m);
    buf_free(&file);
    free(path);
    free(dir);
}
END_TEST

START_TEST(running_means_follow_the_batches)
{
    static const float batch[3][2] = {{2, 0}, {4, 0}, {0, 3}};
    static const int32_t own[3] = {0, 0, 2};
    struct means_sums s;
    struct means_ema e;
    float unit[6];

    means_sums_init(&s, 3, 2);
    means_ema_init(&e, 3, 2, 0.75);
    means_ema_unit(&e, unit);
    for (int i = 0; i < 6; i++)
        ck_assert(unit[i] == 0); /* before any batch no class has a direction */
    ck_assert(means_sums_add(&s, batch[0], own, 3, samples, NULL));
    means_ema_step(&e, &s); /* the first batch sets the mean */
    ck_assert(e.mean[0] == 3 && e.mean[1] == 0 && e.mean[4] == 0 && e.mean[5] == 3);
    means_sums_clear(&s);
    ck_assert(means_sums_add(&s, (float[]){-1, 4}, own, 1, samples, NULL));
    means_ema_step(&e, &s); /* 3/4 of (3, 0) and 1/4 of (-1, 4) */
    ck_assert(e.mean[0] == 2 && e.mean[1] == 1);
    ck_assert(e.mean[4] == 0 && e.mean[5] == 3); /* it was not in the batch */
    ck_assert(e.batches[0] == 2 && e.batches[1] == 0 && e.batches[2] == 1);
    means_ema_unit(&e, unit);
    ck_assert_double_eq_tol((double)unit[0], 0.894427191, 1e-7);
    ck_assert_double_eq_tol((double)unit[1], 0.447213595, 1e-7);
    ck_assert(unit[2] == 0 && unit[3] == 0 && unit[4] == 0 && unit[5] == 1);
    means_ema_free(&e);
    means_sums_free(&s);
}
END_TEST

/* The authors' form: 4 decimals, and nothing that says what the means are of. */
START_TEST(means_in_json_are_taken_but_never_verified)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"[]", "expected an object of class numbers"},
        {"{\"0\":[]}", "expected an object of class numbers"},
        {"{\"1\":[1]}", "expected an object of class numbers"},
        {"{\"0\":[1,2],\"2\":[1,2]}", "class 1: expected a list of 2 numbers, got none"},
        {"{\"0\":[1,2],\"1\":[1]}",
         "class 1: expected a list of 2 numbers, got an array of another"},
        {"{\"0\":[1,\"2\"]}", "class 0: number 1 is a string"},
        {"{\"0\":[0,0]}", "class 0 has norm 0"},
        {"{\"0\":[1,2]", "line"},
    };
    char *path = str_path(unit_dir(), "means.json");
    struct class_means m, again;
    struct error err;
    struct buf b = buf_new(1 << 20);

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ck_assert_ok(file_replace(path, cases[i].text, strlen(cases[i].text), 0644, &err), err);
        ck_assert_error(means_load_json(&m, path, &err), err, cases[i].error);
        ck_assert_int_eq(err.code, ERR_DATA);
    }
    m = example();
    m.mean[0] = -0.00001;
    m.mean[1] = 1.23456;
    ck_assert_ok(means_save_json(&m, path, &err), err);
    ck_assert_ok(means_load_json(&again, path, &err), err);
    for (int i = 0; i < CLASSES * WIDTH; i++)
        ck_assert_double_le(fabs(m.mean[i] - again.mean[i]), 0.5001e-4 + 1e-7 * fabs(m.mean[i]));
    ck_assert_error(means_check(&again, &provenance, CLASSES, WIDTH, path, &err), err,
                    "unverified");
    ck_assert_ok(means_fit(&again, CLASSES, WIDTH, path, &err), err);
    ck_assert_ok(file_read(path, &b, &err), err);
    ck_assert_msg(str_starts(buf_text(&b), "{\n    \"0\": [\n        0.0,\n        1.2346,\n"),
                  "%s", buf_text(&b));
    buf_free(&b);
    means_free(&m);
    means_free(&again);
    free(path);
}
END_TEST

UNIT_MAIN(sums_do_not_depend_on_order, parts_add_up_to_the_whole,
          means_and_directions_are_those_of_the_definition, truncation_acts_on_each_value,
          values_that_do_not_fit_are_named, classes_without_a_direction_are_refused,
          saving_what_was_loaded_gives_the_same_bytes, foreign_means_are_refused_with_both_sides,
          files_that_are_no_class_means_are_refused, keys_tell_provenances_apart,
          the_cache_gives_back_what_it_was_given, running_means_follow_the_batches,
          a_damaged_cache_file_is_never_used, means_in_json_are_taken_but_never_verified)
