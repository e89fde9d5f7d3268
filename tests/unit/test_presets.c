/* Presets: each is a job that the worker takes, with the numbers of paper.md 2.1 and 2.2. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"
#include "proto/wire/presets.h"
#include "proto/wire/validate.h"
#include "tests/unit/unit.h"
#include "worker/catalog.h"

/* The preset's job, with data and weights. */
static struct json *whole_job(const struct preset *p)
{
    struct json *job = preset_job(p);
    struct error err;

    ck_assert_ok(job_set(job, "data.source=cifar100:/data", &err), err);
    ck_assert_ok(job_set(job, "teacher.weights=/teacher.safetensors", &err), err);
    return job;
}

static struct json *job_of(const char *name)
{
    struct error err;
    const struct preset *p = preset_find(name, &err);

    ck_assert_msg(p != NULL, "%s", err.msg);
    return whole_job(p);
}

static double number(const struct json *job, const char *path)
{
    ck_assert_msg(js_path(job, path) != NULL, "no %s", path);
    return js_real(js_path(job, path), -1);
}

START_TEST(every_preset_is_a_valid_job)
{
    struct catalog known;

    worker_catalog(&known);
    for (size_t i = 0; i < n_presets; i++) {
        struct json *j = whole_job(&presets[i]);
        struct problems problems = {0};
        JobSpec *job = job_from_json(j, &problems);

        ck_assert_ptr_nonnull(job);
        job_validate(job, &known, &problems);
        ck_assert_msg(problems.list.n == 0, "%s: %s %s", presets[i].name,
                      problems.list.at[0].pointer, problems.list.at[0].detail);
        job_free(job);
        problems_free(&problems);
        js_free(j);
    }
    catalog_free(&known);
}
END_TEST

START_TEST(names_say_method_teacher_and_student)
{
    for (size_t i = 0; i < n_presets; i++) {
        struct json *job = preset_job(&presets[i]);
        const char *kind = js_string(js_path(job, "losses.1.kind"), "");
        char *pair = str_fmt("/%s-%s", js_string(js_path(job, "teacher.model"), ""),
                             js_string(js_path(job, "student.model"), ""));

        ck_assert_msg(str_ends(presets[i].name, pair), "%s is of %s", presets[i].name, pair);
        ck_assert_msg(str_starts(presets[i].name, kind), "%s has %s", presets[i].name, kind);
        ck_assert_msg(!strstr(presets[i].name, "++") == (js_len(js_get(job, "losses")) == 2),
                      "%s has %zu losses", presets[i].name, js_len(js_get(job, "losses")));
        for (size_t k = 0; k < i; k++)
            ck_assert_str_ne(presets[i].name, presets[k].name);
        free(pair);
        js_free(job);
    }
}
END_TEST

/* Six pairs and four methods for CIFAR, five pairs and three methods for ImageNet. */
START_TEST(the_tables_of_the_paper_are_complete)
{
    size_t plus = 0, large = 0;

    for (size_t i = 0; i < n_presets; i++) {
        struct json *job = preset_job(&presets[i]);
        bool imagenet = number(job, "train.epochs") == 100;

        plus += strstr(presets[i].name, "++") && !imagenet;
        large += strstr(presets[i].name, "++") && imagenet;
        js_free(job);
    }
    ck_assert_uint_eq(plus, 24);
    ck_assert_uint_eq(large, 15);
}
END_TEST

START_TEST(a_preset_has_the_authors_numbers)
{
    static const struct {
        const char *preset, *path;
        double value;
    } rows[] = {
        {"kd++/resnet56-resnet20", "train.batch", 128},
        {"kd++/resnet56-resnet20", "train.lanes", 2},
        {"kd++/resnet56-resnet20", "optimizer.lr", 0.1},
        {"kd++/resnet56-resnet20", "optimizer.weight_decay", 5e-4},
        {"kd++/resnet56-resnet20", "losses.0.weight", 1},
        {"kd++/resnet56-resnet20", "losses.1.weight", 1},
        {"kd++/resnet56-resnet20", "losses.1.temperature", 4},
        {"kd++/resnet56-resnet20", "losses.1.ramp_epochs", 20},
        {"kd++/resnet56-resnet20", "losses.2.weight", 2},
        {"kd++/resnet32x4-shufflenetv1", "optimizer.lr", 0.02},
        {"dkd++/resnet32x4-shufflenetv1", "losses.1.alpha", 0.5},
        {"dkd++/resnet32x4-shufflenetv1", "losses.1.beta", 8},
        {"dkd++/resnet32x4-shufflenetv1", "losses.1.weight", 1},
        {"dkd++/resnet32x4-shufflenetv1", "losses.2.weight", 4},
        {"dist++/wrn_40_2-wrn_40_1", "losses.1.weight", 2.5},
        {"dist++/wrn_40_2-wrn_40_1", "losses.2.weight", 3},
        {"reviewkd++/resnet50_cifar-mobilenetv2", "losses.1.weight", 6},
        {"kd++/resnet101-resnet18", "losses.1.weight", 3.5},
        {"kd++/resnet101-resnet18", "losses.1.temperature", 1},
        {"kd++/resnet101-resnet18", "losses.1.ramp_epochs", 5},
        {"kd++/resnet101-resnet18", "losses.2.weight", 4},
        {"kd++/resnet101-resnet18", "train.batch", 512},
        {"kd++/resnet101-resnet18", "optimizer.lr", 0.2},
        {"kd++/resnet101-resnet18", "schedule.milestones.2", 90},
        {"dkd++/resnet50-resnet18", "losses.2.ramp_epochs", 5},
        {"reviewkd++/resnet50-mobilenetv1", "losses.1.mid_width", 256},
        {"kd/resnet56-resnet20", "losses.0.weight", 0.1},
        {"kd/resnet56-resnet20", "losses.1.weight", 0.9},
        {"kd/resnet56-resnet20", "train.batch", 64},
        {"dkd/wrn_40_2-wrn_40_1", "losses.1.beta", 6},
        {"dist/resnet32x4-resnet8x4", "losses.1.weight", 2},
        {"reviewkd/resnet56-resnet20", "losses.1.weight", 0.6},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct json *job = job_of(rows[i].preset);

        ck_assert_msg(number(job, rows[i].path) == rows[i].value, "%s: %s is %g", rows[i].preset,
                      rows[i].path, number(job, rows[i].path));
        js_free(job);
    }
}
END_TEST

START_TEST(columns_of_dist_run_over_what_the_authors_gathered)
{
    struct json *small = job_of("dist++/resnet56-resnet20"),
                *large = job_of("dist/resnet34-resnet18");

    ck_assert_str_eq(js_string(js_path(small, "losses.1.scope"), ""), "batch");
    ck_assert_str_eq(js_string(js_path(large, "losses.1.scope"), ""), "lane");
    js_free(small);
    js_free(large);
}
END_TEST

/* Only dkd++ on ImageNet ramps nd. */
START_TEST(nd_is_at_full_weight_from_the_start)
{
    for (size_t i = 0; i < n_presets; i++) {
        struct json *job = preset_job(&presets[i]);
        bool ramps = str_starts(presets[i].name, "dkd++/") && number(job, "train.epochs") == 100;

        ck_assert_msg(!js_path(job, "losses.2.ramp_epochs") == !ramps, "%s", presets[i].name);
        js_free(job);
    }
}
END_TEST

START_TEST(lanes_are_replicas_of_64)
{
    for (size_t i = 0; i < n_presets; i++) {
        struct json *job = preset_job(&presets[i]);

        ck_assert_msg(number(job, "train.batch") == 64 * number(job, "train.lanes"), "%s",
                      presets[i].name);
        js_free(job);
    }
}
END_TEST

START_TEST(what_no_longer_fits_is_said)
{
    static const char small[] = "kd++/resnet56-resnet20", large[] = "kd++/resnet34-resnet18";
    static const struct {
        const char *preset, *sets[3], *said; /* NULL: nothing */
    } rows[] = {
        {small, {"train.seed=7", "losses.1.weight=3"}, NULL},
        {small, {"train.batch=256", "train.lanes=4", "optimizer.lr=0.2"}, NULL},
        {small, {"train.batch=256", "train.lanes=4"}, "a learning rate of 0.2 for 256 samples"},
        {small, {"train.lanes=8"}, "lanes of 64 samples, which a batch norm sees; these have 16"},
        {small, {"train.epochs=30"}, NULL},
        {large, {"train.epochs=30"}, "milestones for 100 epochs"},
        {large, {"train.epochs=30", "schedule.milestones=[10,20]"}, NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct preset *p = preset_find(rows[i].preset, NULL);
        struct json *job = preset_job(p);
        struct buf said = buf_new(0);
        struct error err;

        for (size_t k = 0; k < 3 && rows[i].sets[k]; k++)
            ck_assert_ok(job_set(job, rows[i].sets[k], &err), err);
        preset_doubts(p, job, &said);
        ck_assert_msg(rows[i].said ? strstr(buf_text(&said), rows[i].said) != NULL : said.len == 0,
                      "%zu: %s", i, buf_text(&said));
        buf_free(&said);
        js_free(job);
    }
}
END_TEST

START_TEST(an_unknown_preset_is_named)
{
    struct error err;

    ck_assert_error(preset_find("kd++/resnet56-resnet21", &err), err, "kd++/resnet56-resnet20");
}
END_TEST

UNIT_MAIN(every_preset_is_a_valid_job, names_say_method_teacher_and_student,
          the_tables_of_the_paper_are_complete, a_preset_has_the_authors_numbers,
          columns_of_dist_run_over_what_the_authors_gathered, nd_is_at_full_weight_from_the_start,
          lanes_are_replicas_of_64, what_no_longer_fits_is_said, an_unknown_preset_is_named)
