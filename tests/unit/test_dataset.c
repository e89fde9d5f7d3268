/* Data sets from files: CIFAR records, choice of classes, limits, and what is said about bad files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"
#include "worker/data/dataset.h"

enum {
    PIXELS = 3072
};

/* Appends one record; every pixel byte is `fill`. */
static void add_record(struct buf *b, const unsigned char *labels, size_t n_labels, int fill)
{
    unsigned char pixels[PIXELS];

    memset(pixels, fill, sizeof(pixels));
    buf_add(b, labels, n_labels);
    buf_add(b, pixels, sizeof(pixels));
}

static void save(const char *name, struct buf *b)
{
    char *path = str_path(unit_dir(), name);
    struct error err;

    ck_assert_ok(file_replace(path, buf_text(b), b->len, 0644, &err), err);
    free(path);
    buf_free(b);
}

/* CIFAR-100 with the fine labels given; image i is of bytes i. */
static void make_cifar100(const char *name, const int *fine, int n)
{
    struct buf b = buf_new(0);

    for (int i = 0; i < n; i++)
        add_record(&b, (unsigned char[]){99, (unsigned char)fine[i]}, 2, i);
    save(name, &b);
}

static struct dataset *open_or_fail(const struct dataset_config *cfg, enum split split)
{
    struct error err;
    struct dataset *d = dataset_open(cfg, split, &err);

    ck_assert_msg(d, "%s", err.msg);
    return d;
}

static char *source(const char *kind)
{
    return str_fmt("%s:%s", kind, unit_dir());
}

START_TEST(cifar10_joins_its_training_files)
{
    char *where = source("cifar10");
    struct dataset *d;
    struct buf b = buf_new(0);

    for (int f = 1; f <= 5; f++) {
        char name[32];

        for (int i = 0; i < f; i++)
            add_record(&b, (unsigned char[]){(unsigned char)f}, 1, 10 * f + i);
        snprintf(name, sizeof(name), "data_batch_%d.bin", f);
        save(name, &b);
    }
    add_record(&b, (unsigned char[]){9}, 1, 7);
    save("test_batch.bin", &b);

    d = open_or_fail(&(struct dataset_config){.source = where}, SPLIT_TRAIN);
    ck_assert_int_eq(dataset_count(d), 15);
    ck_assert_int_eq(dataset_classes(d), 10);
    ck_assert_int_eq(dataset_size(d), 32);
    for (int f = 1, at = 0; f <= 5; f++)
        for (int i = 0; i < f; i++, at++) {
            ck_assert_int_eq(dataset_label(d, at), f);
            ck_assert_int_eq(dataset_image(d, at)[0], 10 * f + i);
            ck_assert_int_eq(dataset_image(d, at)[PIXELS - 1], 10 * f + i);
        }
    dataset_close(d);
    d = open_or_fail(&(struct dataset_config){.source = where}, SPLIT_TEST);
    ck_assert_int_eq(dataset_count(d), 1);
    ck_assert_int_eq(dataset_label(d, 0), 9);
    dataset_close(d);
    free(where);
}
END_TEST

START_TEST(cifar100_uses_fine_labels)
{
    char *where = source("cifar100");
    struct dataset *d;

    make_cifar100("train.bin", (int[]){0, 55, 99}, 3);
    d = open_or_fail(&(struct dataset_config){.source = where}, SPLIT_TRAIN);
    ck_assert_int_eq(dataset_classes(d), 100);
    ck_assert_int_eq(dataset_label(d, 1), 55);
    ck_assert_int_eq(dataset_image(d, 1)[0], 1);
    dataset_close(d);
    free(where);
}
END_TEST

START_TEST(chosen_classes_are_relabelled_in_the_order_asked_for)
{
    const int32_t wanted[] = {7, 3};
    const int labels[] = {1, 0, 1}, pixels[] = {0, 2, 3};
    char *where = source("cifar100");
    struct dataset_config cfg = {.source = where, .classes = wanted, .n_classes = 2};
    struct dataset *d;

    make_cifar100("train.bin", (int[]){3, 5, 7, 3, 99}, 5);
    make_cifar100("test.bin", (int[]){7, 7, 7, 3}, 4);
    d = open_or_fail(&cfg, SPLIT_TRAIN);
    ck_assert_int_eq(dataset_classes(d), 2);
    ck_assert_int_eq(dataset_count(d), 3);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(dataset_label(d, i), labels[i]);
        ck_assert_int_eq(dataset_image(d, i)[0], pixels[i]);
    }
    dataset_close(d);

    cfg.train_limit = 2; /* counts what is left, and leaves the test split alone */
    d = open_or_fail(&cfg, SPLIT_TRAIN);
    ck_assert_int_eq(dataset_count(d), 2);
    ck_assert_int_eq(dataset_label(d, 1), 0);
    dataset_close(d);
    d = open_or_fail(&cfg, SPLIT_TEST);
    ck_assert_int_eq(dataset_count(d), 4);
    dataset_close(d);
    free(where);
}
END_TEST

/* Images per class and split; the pixel tells them apart. */
static void count_split(const struct dataset_config *cfg, enum split split, int counts[2],
                        int seen[256])
{
    struct dataset *d = open_or_fail(cfg, split);

    counts[0] = counts[1] = 0;
    for (int64_t i = 0; i < dataset_count(d); i++) {
        counts[dataset_label(d, i)]++;
        seen[dataset_image(d, i)[0]]++;
        ck_assert(i == 0 || dataset_image(d, i)[0] > dataset_image(d, i - 1)[0]);
    }
    dataset_close(d);
}

START_TEST(a_share_of_each_class_is_held_out)
{
    const int32_t wanted[] = {0, 1};
    char *where = source("cifar100");
    struct dataset_config cfg = {
        .source = where, .classes = wanted, .n_classes = 2, .val_fraction = 0.2};
    int labels[50], train[2], val[2], seen[256] = {0}, again[256] = {0};

    for (int i = 0; i < 50; i++)
        labels[i] = i % 5 == 0; /* 40 and 10 */
    make_cifar100("train.bin", labels, 50);
    count_split(&cfg, SPLIT_TRAIN, train, seen);
    count_split(&cfg, SPLIT_VAL, val, seen);
    ck_assert(train[0] == 32 && train[1] == 8 && val[0] == 8 && val[1] == 2);
    for (int i = 0; i < 50; i++)
        ck_assert_msg(seen[i] == 1, "image %d is in %d parts", i, seen[i]);

    /* A greater share takes what a smaller one took, and more. */
    memset(seen, 0, sizeof(seen));
    count_split(&cfg, SPLIT_VAL, val, seen);
    cfg.val_fraction = 0.5;
    count_split(&cfg, SPLIT_VAL, val, again);
    ck_assert(val[0] == 20 && val[1] == 5);
    for (int i = 0; i < 50; i++)
        ck_assert_int_le(seen[i], again[i]);
    cfg.val_fraction = 0.999; /* something is left to train on */
    count_split(&cfg, SPLIT_TRAIN, train, seen);
    ck_assert(train[0] == 1 && train[1] == 1);
    free(where);
}
END_TEST

/* Images that were computed are kept once. */
START_TEST(computed_images_are_divided_too)
{
    struct dataset_config cfg = {.source = "procedural:classes=4,train=40", .val_fraction = 0.25};
    struct dataset *train = open_or_fail(&cfg, SPLIT_TRAIN), *val = open_or_fail(&cfg, SPLIT_VAL);
    struct dataset *all = open_or_fail(&(struct dataset_config){.source = cfg.source}, SPLIT_TRAIN);
    int64_t t = 0, v = 0;

    ck_assert_int_eq(dataset_count(val), 12); /* 10 of each class: 2.5 are 3 */
    ck_assert_uint_eq(dataset_memory(train) + dataset_memory(val), dataset_memory(all));
    for (int64_t i = 0; i < dataset_count(all); i++) {
        const uint8_t *image = dataset_image(all, i);

        if (t < dataset_count(train) && memcmp(image, dataset_image(train, t), PIXELS) == 0)
            t++;
        else if (v < dataset_count(val) && memcmp(image, dataset_image(val, v), PIXELS) == 0)
            v++;
        else
            ck_abort_msg("image %d is in no part", (int)i);
    }
    dataset_close(all);
    dataset_close(train);
    dataset_close(val);
}
END_TEST

static void hash(const struct dataset_config *cfg, char hex[SHA256_HEX])
{
    struct dataset *d = open_or_fail(cfg, SPLIT_TRAIN);

    ck_assert(dataset_sha256(d, hex, NULL));
    dataset_close(d);
}

START_TEST(identity_covers_labels_pixels_and_order)
{
    const int32_t swapped[] = {1, 0};
    char *where = source("cifar100"), a[SHA256_HEX], b[SHA256_HEX], expected[SHA256_HEX];
    struct dataset_config cfg = {.source = where};
    struct buf bytes = buf_new(0);

    for (unsigned char i = 0; i < 2; i++)
        add_record(&bytes, (unsigned char[]){i, 0, 0, 0}, 4, i);
    sha256_of(bytes.data, bytes.len, expected);
    buf_free(&bytes);
    make_cifar100("train.bin", (int[]){0, 1}, 2);
    hash(&cfg, a);
    ck_assert_str_eq(a, expected);

    cfg.classes = swapped;
    cfg.n_classes = 2;
    hash(&cfg, b);
    ck_assert_str_ne(a, b);
    cfg.n_classes = 0;
    cfg.train_limit = 1;
    hash(&cfg, b);
    ck_assert_str_ne(a, b);
    free(where);
}
END_TEST

static void expect_error(const struct dataset_config *cfg, enum err_code code, const char *text)
{
    struct error err;

    ck_assert_error(dataset_open(cfg, SPLIT_TRAIN, &err), err, text);
    ck_assert_msg(err.code == code, "%s: %s", err_name(err.code), err.msg);
}

START_TEST(bad_files_are_named_with_what_was_expected)
{
    char *where = source("cifar100"), *path = str_path(unit_dir(), "train.bin");
    struct dataset_config cfg = {.source = where};
    struct buf b = buf_new(0);

    expect_error(&(struct dataset_config){.source = "cifar10:/nonexistent"}, ERR_DATA,
                 "open /nonexistent/data_batch_1.bin: No such file");
    save("train.bin", &b);
    expect_error(&cfg, ERR_DATA, "expected whole records of 3074 bytes, got 0 bytes");

    add_record(&b, (unsigned char[]){0, 1}, 2, 5);
    buf_add(&b, "x", 1);
    save("train.bin", &b);
    expect_error(&cfg, ERR_DATA, path);
    expect_error(&cfg, ERR_DATA,
                 "expected whole records of 3074 bytes, got 3075 bytes (1 records and 1 bytes)");

    make_cifar100("train.bin", (int[]){99, 0, 100}, 3);
    expect_error(&cfg, ERR_DATA, path);
    expect_error(&cfg, ERR_DATA, "record 2: expected a label of 0 to 99, got 100");
    free(path);
    free(where);
}
END_TEST

static void save_with_bad_records(void)
{
    struct buf b = buf_new(0);

    for (int i = 0; i < 9; i++) /* of every two, one is of class 100 or above */
        add_record(&b, (unsigned char[]){0, (unsigned char)(i % 2 ? 100 + i : i)}, 2, i);
    buf_add(&b, "tail", 4);
    save("train.bin", &b);
}

START_TEST(bad_records_can_be_skipped)
{
    char *where = source("cifar100"), before[SHA256_HEX], after[SHA256_HEX];
    struct dataset_config cfg = {.source = where, .skip_corrupt = true};
    struct buf nothing = buf_new(0), good = buf_new(0);
    struct dataset *d;

    save_with_bad_records();
    d = open_or_fail(&cfg, SPLIT_TRAIN);
    ck_assert_int_eq(dataset_count(d), 5);
    ck_assert_int_eq(dataset_skipped(d), 5);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(dataset_label(d, i), 2 * i);
        ck_assert_int_eq(dataset_image(d, i)[0], 2 * i);
    }
    ck_assert(strstr(dataset_skipped_why(d, 0), "(9 records and 4 bytes)"));
    ck_assert(strstr(dataset_skipped_why(d, 1), "record 1: expected a label of 0 to 99, got 101"));
    dataset_close(d);
    hash(&cfg, before);

    /* The identity is that of the records that are left. */
    for (int i = 0; i < 9; i += 2)
        add_record(&good, (unsigned char[]){0, (unsigned char)i}, 2, i);
    save("train.bin", &good);
    hash(&cfg, after);
    ck_assert_str_eq(before, after);
    save("train.bin", &nothing);
    expect_error(&cfg, ERR_DATA, "got 0 bytes");
    free(where);
}
END_TEST

START_TEST(bad_requests_are_named)
{
    const int32_t beyond[] = {3, 120}, twice[] = {3, 3}, absent[] = {4};
    char *where = source("cifar100");
    struct dataset_config cfg;
    struct error err;

    make_cifar100("train.bin", (int[]){3}, 1);
    expect_error(&(struct dataset_config){.source = where, .classes = beyond, .n_classes = 2},
                 ERR_INVALID, "class 120 is asked for, but ");
    expect_error(&(struct dataset_config){.source = where, .classes = beyond, .n_classes = 2},
                 ERR_INVALID, "has 0 to 99");
    expect_error(&(struct dataset_config){.source = where, .classes = twice, .n_classes = 2},
                 ERR_INVALID, "class 3 is asked for twice");
    expect_error(&(struct dataset_config){.source = where, .classes = absent, .n_classes = 1},
                 ERR_DATA, "no training image");
    expect_error(&(struct dataset_config){.source = "cifar1000:/x"}, ERR_INVALID,
                 "unknown kind of data 'cifar1000'; did you mean 'cifar100'?");
    expect_error(&(struct dataset_config){.source = "/data/cifar"}, ERR_INVALID,
                 "expected KIND:DIR");
    cfg = (struct dataset_config){.source = where, .val_fraction = 0.1};
    ck_assert_error(dataset_open(&cfg, SPLIT_VAL, &err), err, "less than one image");
    free(where);
}
END_TEST

START_TEST(every_kind_says_what_it_takes)
{
    for (size_t i = 0; i < n_data_sources; i++) {
        const struct data_source *row = &data_sources[i];
        char *text = str_fmt("%s:x", row->name);

        ck_assert_ptr_eq(data_source_of(text, NULL), row);
        ck_assert_msg(row->rest[0] && row->open, "%s", row->name);
        for (int c = 0; c < 3; c++)
            ck_assert_msg(row->mean[c] > 0.1 && row->mean[c] < 0.7 && row->std[c] > 0.15 &&
                              row->std[c] < 0.4,
                          "%s", row->name);
        free(text);
    }
}
END_TEST

UNIT_MAIN(cifar10_joins_its_training_files, cifar100_uses_fine_labels,
          chosen_classes_are_relabelled_in_the_order_asked_for, a_share_of_each_class_is_held_out,
          computed_images_are_divided_too, identity_covers_labels_pixels_and_order,
          bad_files_are_named_with_what_was_expected, bad_records_can_be_skipped,
          bad_requests_are_named, every_kind_says_what_it_takes)
