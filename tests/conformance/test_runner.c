/* The runner of golden vectors on a set made here: right values pass, wrong ones fail, and whatever
 * cannot be judged is never taken for a success. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"
#include "worker/conformance/conformance.h"

static char *file_in(const char *set, const char *name)
{
    return str_fmt("%s/%s/%s", unit_dir(), set, name);
}

/* Cross-entropy of two samples; `off` is added to the expected value. */
static void write_ce(const char *set, const char *file, double off)
{
    static const float logits[] = {1, 2, 3, 0, 0, 0};
    static const int64_t labels[] = {2, 0};
    const double wanted[] = {
        (log(exp(-2.) + exp(-1.) + 1) + log(3)) / 2 + off,
    };
    double grad[6];
    const struct st_tensor tensors[] = {
        {"in.labels", ST_I64, 1, {2}, labels, sizeof(labels)},
        {"in.logits", ST_F32, 2, {2, 3}, logits, sizeof(logits)},
        {"out.value", ST_F64, 0, {0}, wanted, sizeof(wanted)},
        {"grad.logits", ST_F64, 2, {2, 3}, grad, sizeof(grad)},
    };
    static const struct st_meta meta[] = {
        {"format", "kdpp-vectors-1"},
        {"hyper", "{}"},
        {"kind", "loss.ce"},
        {"name", "ce"},
        {"tolerance", "{\"out.value\":{\"rtol\":2e-6,\"atol\":0},"
                      "\"grad.logits\":{\"rtol\":1e-5,\"atol\":0}}"},
    };
    char *path = file_in(set, file);
    struct error err;

    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++) {
            double sum = exp((double)logits[3 * i]) + exp((double)logits[3 * i + 1]) +
                         exp((double)logits[3 * i + 2]);

            grad[3 * i + j] = (exp((double)logits[3 * i + j]) / sum - (j == labels[i])) / 2;
        }
    ck_assert_ok(st_write(path, tensors, ARRAY_LEN(tensors), meta, ARRAY_LEN(meta), NULL, &err),
                 err);
    free(path);
}

static void write_index(const char *set, const char *text)
{
    char *path = file_in(set, "index.json"), *dir = str_fmt("%s/%s", unit_dir(), set);
    struct error err;

    ck_assert_ok(file_make_dirs(dir, 0755, &err), err);
    ck_assert_ok(file_replace(path, text, strlen(text), 0644, &err), err);
    free(path);
    free(dir);
}

/* Exit status of a run; what it printed is in *out, free(). */
static int run(const char *set, const char *kinds, char **out)
{
    char *dir = str_fmt("%s/%s", unit_dir(), set);
    struct conformance_options o = {.dir = dir, .kinds = kinds, .backend = "cpu"};
    struct error err = {0};
    size_t size;
    int status;

    o.out = open_memstream(out, &size);
    status = conformance_run(&o, &err);
    if (status < 0)
        fprintf(o.out, "%s\n", err.msg);
    fclose(o.out);
    free(dir);
    return status;
}

static void expect(const char *set, const char *kinds, int status, const char *text)
{
    char *out;
    int got = run(set, kinds, &out);

    ck_assert_msg(got == status, "%s: status %d\n%s", set, got, out);
    ck_assert_msg(strstr(out, text) != NULL, "%s: no %s in\n%s", set, text, out);
    free(out);
}

#define CASE(name, kind, file) "{\"name\":\"" name "\",\"kind\":\"" kind "\",\"file\":\"" file "\"}"

START_TEST(right_values_pass)
{
    write_index("right", "{\"cases\":[" CASE("a", "loss.ce", "a.safetensors") "]}");
    write_ce("right", "a.safetensors", 0);
    expect("right", NULL, 0, "\"status\":\"pass\"");
    expect("right", "loss.ce", 0, "{\"summary\":true,\"pass\":1,\"fail\":0,\"unsupported\":0}");
}
END_TEST

START_TEST(a_wrong_value_fails)
{
    write_index("wrong", "{\"cases\":[" CASE("a", "loss.ce", "a.safetensors") "]}");
    write_ce("wrong", "a.safetensors", 1e-5);
    expect("wrong", NULL, 1, "\"worst\":\"out.value\"");
    expect("wrong", "loss.ce", 1, "\"status\":\"fail\"");
}
END_TEST

START_TEST(an_unreadable_case_fails)
{
    char *path;
    struct error err;

    write_index(
        "broken",
        "{\"cases\":[" CASE("a", "loss.ce", "a.safetensors") "," CASE(
            "b", "loss.ce", "missing.safetensors") "," CASE("c", "loss.ce", "c.safetensors") "]}");
    write_ce("broken", "a.safetensors", 0);
    path = file_in("broken", "c.safetensors");
    ck_assert_ok(file_replace(path, "not a tensor", 12, 0644, &err), err);
    free(path);
    expect("broken", NULL, 1, "{\"summary\":true,\"pass\":1,\"fail\":2,\"unsupported\":0}");
}
END_TEST

START_TEST(a_set_without_cases_fails)
{
    write_index("empty", "{\"cases\":[]}");
    expect("empty", NULL, 1, "\"pass\":0");
    expect("nowhere", NULL, -1, "index.json");
    write_index("list", "[]");
    expect("list", NULL, -1, "no list of cases");
}
END_TEST

/* Without --kinds, what cannot be run does no harm as long as something passes; asked for, it does. */
START_TEST(a_kind_that_is_asked_for_must_be_there_and_supported)
{
    write_index("mixed", "{\"cases\":[" CASE("a", "loss.ce", "a.safetensors") "," CASE(
                             "b", "loss.none", "a.safetensors") "]}");
    write_ce("mixed", "a.safetensors", 0);
    expect("mixed", NULL, 0, "\"status\":\"unsupported\"");
    expect("mixed", "loss.ce", 0, "\"unsupported\":0");
    expect("mixed", "loss.none", 1, "\"unsupported\":1");
    expect("mixed", "loss.ce,loss.none", 1, "\"pass\":1");
    expect("mixed", "loss.kd", 1, "\"pass\":0");
    expect("mixed", "loss.ce,nonsense", 1, "\"pass\":1");
}
END_TEST

UNIT_MAIN(right_values_pass, a_wrong_value_fails, an_unreadable_case_fails,
          a_set_without_cases_fails, a_kind_that_is_asked_for_must_be_there_and_supported)
