/* proto/wire: how a sweep becomes jobs, and what is wrong with one. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"
#include "proto/wire/sweep.h"
#include "proto/wire/validate.h"
#include "tests/unit/unit.h"

static const char base[] = "{\"kind\":\"train\",\"data\":{\"source\":\"procedural:classes=4\"},"
                           "\"student\":{\"model\":\"resnet8\"},\"losses\":[{\"kind\":\"ce\"}]}";

static struct json *parse(const char *text)
{
    struct error err = {0};
    struct json *j = js_parse(text, strlen(text), &err);

    ck_assert_ok(j, err);
    return j;
}

/* A spec with this sweep, and with further members. */
static struct json *spec_with(const char *sweep, const char *set)
{
    struct json *spec = parse(base);
    struct error err;

    js_set(spec, "sweep", parse(sweep));
    if (set)
        ck_assert_ok(job_set(spec, set, &err), err);
    return spec;
}

static struct sweep *sweep_of(const char *text)
{
    struct json *spec = spec_with(text, NULL);
    struct problems p = {0};
    struct sweep *s = sweep_new(spec, &p);
    struct error err = {0};

    ck_assert_ok(problems_none(&p, &err), err);
    ck_assert_ptr_nonnull(s);
    js_free(spec);
    return s;
}

static char *text_and_free(struct json *take)
{
    char *text = js_text(take, JS_COMPACT);

    js_free(take);
    return text;
}

START_TEST(jobs_come_in_order)
{
    static const struct {
        const char *values, *seed;
    } want[] = {
        {"{\"optimizer.lr\":0.1,\"data.classes\":[0,1]}", "7"},
        {"{\"optimizer.lr\":0.1,\"data.classes\":[0,1]}", "1"},
        {"{\"optimizer.lr\":0.1,\"data.classes\":null}", "7"},
        {"{\"optimizer.lr\":0.1,\"data.classes\":null}", "1"},
        {"{\"optimizer.lr\":1,\"data.classes\":[0,1]}", "7"},
        {"{\"optimizer.lr\":1,\"data.classes\":[0,1]}", "1"},
        {"{\"optimizer.lr\":1,\"data.classes\":null}", "7"},
        {"{\"optimizer.lr\":1,\"data.classes\":null}", "1"},
    };
    struct sweep *s =
        sweep_of("{\"grid\":[{\"field\":\"optimizer.lr\",\"values\":[0.1,1]},"
                 "{\"field\":\"data.classes\",\"values\":[[0,1],null]}],"
                 "\"seeds\":[7,1],\"baseline\":{\"optimizer.lr\":1.0},\"parallel\":3}");

    ck_assert_int_eq(sweep_jobs(s), 8);
    ck_assert_int_eq(sweep_points(s), 4);
    ck_assert_int_eq(sweep_seeds(s), 2);
    ck_assert_int_eq(sweep_parallel(s), 3);
    ck_assert_int_eq(sweep_baseline(s), 2);
    for (int64_t k = 0; k < 8; k++) {
        struct error err = {0};
        char *values = text_and_free(sweep_values(s, k / 2));
        char *seed = text_and_free(sweep_seed(s, k));
        struct json *spec = sweep_spec(s, k, &err);

        ck_assert_ok(spec, err);
        ck_assert_str_eq(values, want[k].values);
        ck_assert_str_eq(seed, want[k].seed);
        ck_assert(js_real(js_path(spec, "optimizer.lr"), 0) == (k < 4 ? 0.1 : 1));
        ck_assert_int_eq(js_kind(js_path(spec, "data.classes")), k / 2 % 2 ? JS_NULL : JS_ARRAY);
        ck_assert_int_eq(js_int(js_path(spec, "train.seed"), -1), k % 2 ? 1 : 7);
        ck_assert_ptr_null(js_get(spec, "sweep"));
        free(values);
        free(seed);
        js_free(spec);
    }
    sweep_free(s);
}
END_TEST

START_TEST(any_field_can_be_swept)
{
    static const struct {
        const char *sweep, *path, *last;
    } cases[] = {
        {"{\"grid\":[{\"field\":\"losses\",\"values\":[[{\"kind\":\"ce\"}],"
         "[{\"kind\":\"ce\",\"weight\":2}]]}]}",
         "losses.0.weight", "2"},
        {"{\"grid\":[{\"field\":\"student.model\",\"values\":[\"a\",\"b\"]}]}", "student.model",
         "\"b\""},
        {"{\"grid\":[{\"field\":\"losses.0.weight\",\"values\":[1,3]}]}", "losses.0.weight", "3"},
        {"{\"grid\":[{\"field\":\"labels.method\",\"values\":[\"x\",\"y\"]}]}", "labels.method",
         "\"y\""},
        {"{\"grid\":[{\"field\":\"losses\",\"values\":[[{\"kind\":\"ce\"}]]},"
         "{\"field\":\"losses.0.weight\",\"values\":[1,4]}]}",
         "losses.0.weight", "4"},
        {"{\"seeds\":\"3..5\"}", "train.seed", "5"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sweep *s = sweep_of(cases[i].sweep);
        struct error err = {0};
        struct json *spec = sweep_spec(s, sweep_jobs(s) - 1, &err);
        char *text;

        ck_assert_ok(spec, err);
        text = js_text(js_path(spec, cases[i].path), JS_COMPACT);
        ck_assert_msg(strcmp(text, cases[i].last) == 0, "row %zu: %s", i, text);
        free(text);
        js_free(spec);
        sweep_free(s);
    }
}
END_TEST

/* A default that follows from a swept field is that of its value, not of the sweep. */
START_TEST(defaults_follow_the_values)
{
    struct sweep *s = sweep_of("{\"grid\":[{\"field\":\"train.epochs\",\"values\":[8,16]}]}");
    struct problems p = {0};
    struct json *spec = sweep_spec(s, 1, NULL);
    JobSpec *job = job_from_json(spec, &p);

    ck_assert_int_eq(job->schedule->milestones[0], 10);
    job_free(job);
    js_free(spec);
    sweep_free(s);
}
END_TEST

START_TEST(a_million_jobs_cost_no_more_than_their_fields)
{
    struct json *values = js_new_array(), *spec;
    struct problems p = {0};
    struct sweep *s;

    for (int i = 0; i < 1000; i++)
        js_push(values, js_new_real(1e-3 * (i + 1)));
    spec = spec_with("{\"grid\":[{\"field\":\"optimizer.lr\"},{\"field\":\"train.seed\"}]}", NULL);
    js_set(js_at(js_path(spec, "sweep.grid"), 0), "values", js_copy(values));
    js_free(values);
    values = js_new_array();
    for (int i = 0; i < 1000; i++)
        js_push(values, js_new_int(i));
    js_set(js_at(js_path(spec, "sweep.grid"), 1), "values", values);
    s = sweep_new(spec, &p);
    ck_assert_uint_eq(p.list.n, 0);
    ck_assert_int_eq(sweep_jobs(s), 1000000);
    js_free(spec);
    spec = sweep_spec(s, 999998, NULL);
    ck_assert_int_eq(js_int(js_path(spec, "train.seed"), -1), 998);
    ck_assert(js_real(js_path(spec, "optimizer.lr"), 0) == 1e-3 * 1000);
    js_free(spec);
    sweep_free(s);
}
END_TEST

static void rules(const JobSpec *job, struct problems *p, void *arg)
{
    ++*(int *)arg;
    job_validate(job, NULL, p);
}

START_TEST(mistakes_are_named_where_they_stand)
{
    static const struct {
        const char *sweep, *set, *want;
    } cases[] = {
        {"{}", NULL, "#/sweep: a grid or seeds are required"},
        {"{\"grid\":[{\"values\":[1]}]}", NULL, "#/sweep/grid/0/field: is required"},
        {"{\"grid\":[{\"field\":\"optimizer.lr\"}]}", NULL,
         "#/sweep/grid/0/values: at least one value is required"},
        {"{\"grid\":[{\"field\":\"optimizer.lr\",\"values\":[0.1,-1,\"x\"]}]}", NULL,
         "#/sweep/grid/0/values/1: must be greater than 0, got -1; "
         "#/sweep/grid/0/values/2: expected a number, got \"x\""},
        {"{\"grid\":[{\"field\":\"optimizer.lr\",\"values\":[-1,0.1,-2]}]}", NULL,
         "#/sweep/grid/0/values/0: must be greater than 0, got -1; "
         "#/sweep/grid/0/values/2: must be greater than 0, got -2"},
        {"{\"grid\":[{\"field\":\"losses\",\"values\":[[{\"kind\":\"ce\"}],[{\"kind\":\"ce\","
         "\"weight\":-1}]]}]}",
         NULL, "#/sweep/grid/0/values/1/0/weight: must be at least 0, got -1"},
        {"{\"grid\":[{\"field\":\"optimizer.speed\",\"values\":[1,2]}]}", NULL,
         "#/sweep/grid/0/values/0: unknown field"},
        {"{\"grid\":[{\"field\":\"losses.3.weight\",\"values\":[1]}]}", NULL,
         "#: \"losses.3\" is no member of an object here"},
        {"{\"grid\":[{\"field\":\"losses\",\"values\":[[{\"kind\":\"ce\"}],[]]},"
         "{\"field\":\"losses.0.weight\",\"values\":[1]}]}",
         NULL, "#/sweep/grid/0/values/1: #: \"losses.0\" is no member of an object here"},
        /* one that shows in another field */
        {"{\"grid\":[{\"field\":\"train.lanes\",\"values\":[4,1]}]}", "resources.ranks=2",
         "#/sweep/grid/0/values/1: #/resources/ranks: ranks must be a power of two and at most the "
         "lanes: 2 ranks do not fit 1 lanes"},
        {"{\"seeds\":[1,2]}", "optimizer.lr=-1", "#/optimizer/lr: must be greater than 0, got -1"},
        {"{\"grid\":[{\"field\":\"train\",\"values\":[{}]}],\"seeds\":[1,1,-1]}", NULL,
         "#/sweep/grid/0/field: \"train\" would be undone by the seeds"},
        {"{\"seeds\":[1,1]}", NULL, "#/sweep/seeds: seed 1 stands there twice"},
        {"{\"seeds\":[1],\"parallel\":0}", NULL, "#/sweep/parallel: must be at least 1, got 0"},
        {"{\"grid\":[{\"field\":\"sweep.parallel\",\"values\":[1]}]}", NULL,
         "#/sweep/grid/0/field: \"sweep\" is the same in all jobs"},
        {"{\"grid\":[{\"field\":\"project\",\"values\":[\"a\"]}]}", NULL,
         "#/sweep/grid/0/field: \"project\" is the same in all jobs"},
        {"{\"grid\":[{\"field\":\"losses.0.weight\",\"values\":[1]},{\"field\":\"losses\","
         "\"values\":[[]]}]}",
         NULL, "#/sweep/grid/1/field: \"losses\" stands there already, with \"losses.0.weight\""},
        {"{\"seeds\":[1],\"baseline\":{\"optimizer.lr\":1}}", NULL,
         "#/sweep/baseline: no value of the grid is that of \"optimizer.lr\""},
        {"{\"seeds\":[1],\"baseline\":3}", NULL,
         "#/sweep/baseline: expected an object of values by field, got 3"},
        {"{\"grid\":[{\"field\":\"optimizer.lr\",\"values\":[1,0.5,1.0,0.5]}]}", NULL,
         "#/sweep/grid/0/values/2: \"optimizer.lr\" has the value 1.0 already, at place 0; "
         "#/sweep/grid/0/values/3: \"optimizer.lr\" has the value 0.5 already, at place 1"},
        {"{\"grid\":[{\"field\":\"losses\",\"values\":[[{\"kind\":\"ce\",\"weight\":1}],"
         "[{\"weight\":1.0,\"kind\":\"ce\",\"alpha\":null}]]}]}",
         NULL, "#/sweep/grid/0/values/1: \"losses\" has the value [{\"weight\":1.0,"},
        {"{\"grid\":3,\"x\":1}", NULL,
         "#/sweep/grid: expected an array, got 3; #/sweep/x: unknown field"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct json *spec = spec_with(cases[i].sweep, cases[i].set);
        struct problems p = {0};
        struct error err = {0};
        int judged = 0;

        job_free(sweep_check(spec, rules, &judged, &p));
        problems_none(&p, &err);
        ck_assert_msg(str_starts(err.msg, cases[i].want), "row %zu: \"%s\" instead of \"%s\"", i,
                      err.msg, cases[i].want);
        problems_free(&p);
        js_free(spec);
    }
}
END_TEST

START_TEST(values_are_tried_one_by_one)
{
    struct json *spec = spec_with("{\"grid\":[{\"field\":\"optimizer.lr\",\"values\":[1,2,3]},"
                                  "{\"field\":\"train.batch\",\"values\":[8,16,32]}],"
                                  "\"seeds\":\"1..1000\"}",
                                  NULL);
    struct problems p = {0};
    struct error err = {0};
    int judged = 0;
    JobSpec *job = sweep_check(spec, rules, &judged, &p);

    ck_assert_ok(problems_none(&p, &err), err);
    ck_assert_int_eq(judged, 5);
    ck_assert_int_eq(job->train->batch, 8);
    ck_assert_ptr_null(job->sweep);
    job_free(job);
    js_free(spec);
}
END_TEST

START_TEST(values_that_only_look_alike_are_two)
{
    struct json *spec =
        spec_with("{\"grid\":[{\"field\":\"labels.x\",\"values\":[\"1\",\"1.0\",\"\",null]},"
                  "{\"field\":\"losses\",\"values\":[[{\"kind\":\"ce\"}],"
                  "[{\"kind\":\"ce\",\"weight\":0}]]},"
                  "{\"field\":\"optimizer.nesterov\",\"values\":[true,false]}]}",
                  NULL);
    struct problems p = {0};
    struct error err = {0};
    int judged = 0;

    job_free(sweep_check(spec, rules, &judged, &p));
    ck_assert_ok(problems_none(&p, &err), err);
    js_free(spec);
}
END_TEST

START_TEST(there_are_limits)
{
    struct json *spec = spec_with("{\"grid\":[{\"field\":\"optimizer.lr\"}]}", NULL);
    struct json *values = js_new_array();
    struct problems p = {0};
    struct error err = {0};

    for (int i = 0; i <= SWEEP_MAX_VALUES; i++)
        js_push(values, js_new_int(i + 1));
    js_set(js_at(js_path(spec, "sweep.grid"), 0), "values", values);
    ck_assert_ptr_null(sweep_new(spec, &p));
    js_set(js_get(spec, "sweep"), "grid", parse("[]"));
    js_set(js_get(spec, "sweep"), "seeds", js_new_string("0..999"));
    for (int i = 0; i < 7; i++)
        js_push(js_path(spec, "sweep.grid"),
                parse("{\"field\":\"labels.x\",\"values\":[1,2,3,4,5,6,"
                      "7,8,9,10]}"));
    ck_assert_ptr_null(sweep_new(spec, &p));
    problems_none(&p, &err);
    ck_assert(strstr(err.msg, "#/sweep/grid: at most 4096 values, got 4097"));
    ck_assert(strstr(err.msg, "#/sweep: at most 1000000000 jobs, got 1e+10"));
    problems_free(&p);
    for (int i = 0; i < SWEEP_MAX_FIELDS; i++)
        js_push(js_path(spec, "sweep.grid"), js_copy(js_path(spec, "sweep.grid.0")));
    ck_assert_ptr_null(sweep_new(spec, &p));
    ck_assert_error(problems_none(&p, &err), err, "#/sweep/grid: at most 64 fields, got 71");
    problems_free(&p);
    js_free(spec);
}
END_TEST

static char *mark(const char *pointer, const char *path, void *arg)
{
    (void)pointer;
    return *path == '/' ? NULL : str_path(arg, path);
}

START_TEST(paths_in_the_grid_are_visited)
{
    struct json *spec =
        spec_with("{\"grid\":[{\"field\":\"student.weights\",\"values\":[\"a\",null,"
                  "\"/b\"]},{\"field\":\"data\",\"values\":[{\"source\":\"idx:c\"}]},"
                  "{\"field\":\"losses.0.weight\",\"values\":[1]}]}",
                  NULL);
    char *text;

    job_visit_paths(spec, mark, (void *)(uintptr_t) "/home");
    text = js_text(js_path(spec, "sweep.grid"), JS_COMPACT);
    ck_assert_str_eq(text, "[{\"field\":\"student.weights\",\"values\":[\"/home/a\",null,\"/b\"]},"
                           "{\"field\":\"data\",\"values\":[{\"source\":\"idx:/home/c\"}]},"
                           "{\"field\":\"losses.0.weight\",\"values\":[1]}]");
    free(text);
    js_free(spec);
}
END_TEST

START_TEST(a_single_job_must_not_be_a_sweep)
{
    struct json *spec = spec_with("{\"seeds\":[1]}", NULL);
    struct problems p = {0};
    struct error err = {0};
    JobSpec *job = job_from_json(spec, &p);

    job_validate(job, NULL, &p);
    problems_none(&p, &err);
    ck_assert_str_eq(err.msg,
                     "#/sweep: is for distilld, which makes many jobs of it: this is to be one");
    problems_free(&p);
    job_free(job);
    js_free(spec);
}
END_TEST

UNIT_MAIN(jobs_come_in_order, any_field_can_be_swept, defaults_follow_the_values,
          a_million_jobs_cost_no_more_than_their_fields, mistakes_are_named_where_they_stand,
          values_are_tried_one_by_one, values_that_only_look_alike_are_two, there_are_limits,
          paths_in_the_grid_are_visited, a_single_job_must_not_be_a_sweep)
