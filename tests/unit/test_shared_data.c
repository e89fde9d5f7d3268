/* The real CIFAR-100, the golden vectors and a teacher of others, where ../shared stands beside the
 * checkout: files that were not made by this code. */
#define _GNU_SOURCE
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"
#include "worker/ckpt/safetensors.h"
#include "worker/data/dataset.h"

static struct dataset *open_or_fail(const char *source, enum split split)
{
    struct error err;
    struct dataset *d = dataset_open(&(struct dataset_config){.source = source}, split, &err);

    ck_assert_msg(d, "%s", err.msg);
    return d;
}

static void check_split(const char *source, enum split split, int classes, int each)
{
    struct dataset *d = open_or_fail(source, split);
    int counts[100] = {0};

    ck_assert_int_eq(dataset_classes(d), classes);
    ck_assert_int_eq(dataset_count(d), classes * each);
    for (int64_t i = 0; i < dataset_count(d); i++)
        counts[dataset_label(d, i)]++;
    for (int c = 0; c < classes; c++)
        ck_assert_int_eq(counts[c], each);
    dataset_close(d);
}

START_TEST(cifar100_is_whole_and_has_the_known_means)
{
    char *source = unit_cifar_source();
    const struct data_source *row = data_source_of(source, NULL);
    struct dataset *d = open_or_fail(source, SPLIT_TRAIN);

    check_split(source, SPLIT_TRAIN, 100, 500);
    check_split(source, SPLIT_TEST, 100, 100);
    for (int c = 0; c < 3; c++) {
        double sum = 0;

        for (int64_t i = 0; i < dataset_count(d); i++)
            for (int k = 0; k < 1024; k++)
                sum += dataset_image(d, i)[c * 1024 + k];
        ck_assert_double_eq_tol(sum / 255 / 1024 / (double)dataset_count(d), row->mean[c], 2e-4);
    }
    dataset_close(d);
    free(source);
}
END_TEST

/* Its mean is 0.2860 by the literature. */
START_TEST(fashion_mnist_is_whole_and_has_the_known_mean)
{
    char *source = unit_shared_source("idx", "fashion-mnist");
    struct dataset *d = open_or_fail(source, SPLIT_TEST);
    double sum = 0;

    check_split(source, SPLIT_TRAIN, 10, 6000);
    check_split(source, SPLIT_TEST, 10, 1000);
    ck_assert_int_eq(dataset_size(d), 28);
    for (int64_t i = 0; i < dataset_count(d); i++)
        for (int k = 0; k < 784; k++)
            sum += dataset_image(d, i)[k];
    ck_assert_double_eq_tol(sum / 255 / 784 / (double)dataset_count(d), 0.286, 2e-3);
    dataset_close(d);
    free(source);
}
END_TEST

static int opened;

static int open_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    struct safetensors *s;
    struct error err;
    (void)st;
    (void)ftw;

    if (type != FTW_F || !str_ends(path, ".safetensors"))
        return 0;
    s = st_open(path, &err);
    ck_assert_msg(s, "%s", err.msg);
    ck_assert_str_eq(st_meta(s, "format"), "kdpp-vectors-1");
    ck_assert_uint_gt(st_tensors(s), 0);
    st_close(s);
    opened++;
    return 0;
}

START_TEST(every_golden_vector_opens)
{
    char *dir = unit_shared_path("vectors");

    ck_assert_int_eq(nftw(dir, open_one, 16, FTW_PHYS), 0);
    ck_assert_msg(opened > 100, "%d files in %s", opened, dir);
    free(dir);
}
END_TEST

START_TEST(a_foreign_teacher_opens)
{
    char *path = unit_shared_path("teachers/resnet20-cifar100.safetensors");
    struct error err;
    struct safetensors *s = st_open(path, &err);
    const struct st_tensor *t;
    float *w;

    ck_assert_msg(s, "%s", err.msg);
    t = st_find(s, "conv1.weight");
    ck_assert(t && t->dtype == ST_F32 && st_count(t) == 16 * 3 * 9);
    w = NEW_ARRAY(float, (size_t)st_count(t));
    ck_assert(st_to_float(t, w));
    free(w);
    st_close(s);
    free(path);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {cifar100_is_whole_and_has_the_known_means,
                                  fashion_mnist_is_whole_and_has_the_known_mean,
                                  every_golden_vector_opens, a_foreign_teacher_opens};

    if (!getenv("SHARED") || !file_exists(getenv("SHARED"))) {
        puts("SKIP: needs ../shared (data sets, vectors and teachers)");
        return 77;
    }
    return unit_run(__FILE__, tests, ARRAY_LEN(tests));
}
