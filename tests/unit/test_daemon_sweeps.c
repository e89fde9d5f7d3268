/* daemon: jobs of sweeps are made one by one and once; what the figures of a sweep say. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/lifecycle.h"
#include "daemon/projects.h"
#include "daemon/stats.h"
#include "daemon/summary.h"
#include "daemon/sweeps.h"
#include "proto/base/clock.h"
#include "proto/base/str.h"
#include "tests/unit/daemon_rig.h"
#include "tests/unit/unit.h"

/* -- Student's distribution ------------------------------------------------------------------------ */

START_TEST(quantiles_are_those_of_the_tables)
{
    static const struct {
        double p, df, t;
    } rows[] = {
        {0.975, 1, 12.70620474},  {0.975, 2, 4.30265273},  {0.975, 3, 3.18244631},
        {0.975, 4, 2.77644511},   {0.975, 5, 2.57058184},  {0.975, 9, 2.26215716},
        {0.975, 10, 2.22813885},  {0.975, 30, 2.04227246}, {0.975, 100, 1.98397152},
        {0.975, 1e9, 1.95996398}, {0.995, 1, 63.65674116}, {0.995, 5, 4.03214298},
        {0.995, 10, 3.16927267},  {0.95, 7, 1.89457861},   {0.9, 3, 1.63774436},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        double t = stats_t_quantile(rows[i].p, rows[i].df);

        ck_assert_msg(fabs(t - rows[i].t) < 1e-6, "p %g, %g degrees: %.9g instead of %.9g",
                      rows[i].p, rows[i].df, t, rows[i].t);
        ck_assert_msg(fabs(stats_t_quantile(1 - rows[i].p, rows[i].df) + t) < 1e-9 * t, "%g",
                      rows[i].p);
    }
    ck_assert(stats_t_quantile(0.5, 3) == 0);
}
END_TEST

/* One, two and four degrees of freedom have closed forms. */
START_TEST(quantiles_are_those_of_the_closed_forms)
{
    for (int i = 1; i < 1000; i++) {
        const double p = 0.5 + i / 2001.0, a = 4 * p * (1 - p);
        const double two = (2 * p - 1) * sqrt(2 / a);
        const double four = 2 * sqrt(cos(acos(sqrt(a)) / 3) / sqrt(a) - 1);
        const double one = tan(acos(-1.0) * (p - 0.5));

        ck_assert_msg(fabs(stats_t_quantile(p, 1) - one) < 1e-9 * one, "p %g", p);
        ck_assert_msg(fabs(stats_t_quantile(p, 2) - two) < 1e-9 * two, "p %g", p);
        ck_assert_msg(fabs(stats_t_quantile(p, 4) - four) < 1e-7 * four, "p %g", p);
    }
}
END_TEST

/* The hours of sleep that two drugs gave to ten patients (Student 1908), a worked example of both tests. */
START_TEST(intervals_are_those_of_the_textbook)
{
    static const double a[] = {0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0};
    static const double b[] = {1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4};
    const struct stats x = stats_of(a, 10), y = stats_of(b, 10);
    double d[10];
    struct stats_interval i;

    for (size_t k = 0; k < 10; k++)
        d[k] = a[k] - b[k];
    ck_assert(x.n == 10 && fabs(x.mean - 0.75) < 1e-12 && fabs(x.sd - 1.78901) < 1e-5);
    i = stats_paired(d, 10);
    ck_assert(fabs(i.value + 1.58) < 1e-12);
    ck_assert_msg(fabs(i.low + 2.4598858) < 1e-7 && fabs(i.high + 0.7001142) < 1e-7, "%.9g %.9g",
                  i.low, i.high);
    i = stats_welch(&x, &y);
    ck_assert_msg(fabs(i.low + 3.3654832) < 1e-7 && fabs(i.high - 0.2054832) < 1e-7, "%.9g %.9g",
                  i.low, i.high);
}
END_TEST

START_TEST(too_few_values_have_no_interval)
{
    static const double some[] = {3, 3};
    const struct stats none = stats_of(some, 0), one = stats_of(some, 1), two = stats_of(some, 2);
    struct stats_interval i = stats_welch(&two, &one);

    ck_assert(none.n == 0 && isnan(none.mean) && isnan(none.sd));
    ck_assert(one.mean == 3 && isnan(one.sd) && two.sd == 0);
    ck_assert(i.value == 0 && isnan(i.low) && isnan(i.high));
    i = stats_paired(some, 1);
    ck_assert(i.value == 3 && isnan(i.low));
    i = stats_welch(&two, &two);
    ck_assert(i.low == 0 && i.high == 0);
}
END_TEST

/* -- Summaries ------------------------------------------------------------------------------------- */

static struct json *spec_of(const char *sweep)
{
    char *text = str_fmt("{\"kind\":\"train\",\"name\":\"s\",\"data\":{\"source\":\"idx:/x\"},"
                         "\"student\":{\"model\":\"resnet8\"},\"sweep\":%s}",
                         sweep);
    struct error err;
    struct json *j = js_parse(text, strlen(text), &err);

    ck_assert_msg(j, "%s", err.msg);
    free(text);
    return j;
}

/* The items for values in the order of the jobs; NAN: not succeeded, and below 0: not made. */
static struct json *summary_of(const char *sweep, const double *values, size_t n)
{
    static const char *const figures[] = {"best.top1"};
    struct json *spec = spec_of(sweep), *items;
    struct problems p = {0};
    struct sweep *s = sweep_new(spec, &p);
    struct summary *sum = summary_new(s, 0, sweep_points(s), figures, 1);

    for (size_t i = 0; i < n; i++) {
        const bool failed = isnan(values[i]);
        char *result = str_fmt("{\"final\":{\"top1\":1},\"best (test)\":{\"top1\":%.17g}}",
                               failed ? 77 : values[i]);

        if (failed || values[i] >= 0)
            summary_add(sum, &(struct sweep_row){(int64_t)i, "job_x",
                                                 failed ? "failed" : "succeeded", result});
        free(result);
    }
    items = summary_items(sum);
    summary_free(sum);
    sweep_free(s);
    js_free(spec);
    return items;
}

static const struct json *difference(const struct json *items, size_t point)
{
    return js_get(js_get(js_get(js_at(items, point), "figures"), "best.top1"), "difference");
}

static void check_difference(const struct json *items, size_t point, const char *method,
                             int64_t pairs, double value, double low, double high)
{
    const struct json *d = difference(items, point);

    ck_assert_str_eq(js_string(js_get(d, "method"), "none"), method);
    ck_assert_int_eq(js_int(js_get(d, "pairs"), -1), pairs);
    ck_assert_msg(fabs(js_real(js_get(d, "value"), (double)NAN) - value) < 1e-9, "%g",
                  js_real(js_get(d, "value"), 0));
    if (isnan(low))
        ck_assert(js_kind(js_get(d, "low")) == JS_NULL &&
                  js_kind(js_get(d, "contains_zero")) == JS_NULL);
    else
        ck_assert_msg(fabs(js_real(js_get(d, "low"), (double)NAN) - low) < 1e-4 &&
                          fabs(js_real(js_get(d, "high"), (double)NAN) - high) < 1e-4 &&
                          js_bool(js_get(d, "contains_zero"), false) == (low <= 0 && high >= 0),
                      "%g %g", js_real(js_get(d, "low"), 0), js_real(js_get(d, "high"), 0));
}

START_TEST(points_are_compared_by_the_seeds_that_both_have)
{
    static const char sweep[] = "{\"grid\":[{\"field\":\"optimizer.lr\",\"values\":[1,2,3,4,5]}],"
                                "\"seeds\":[1,2,3],\"baseline\":{\"optimizer.lr\":2}}";
    static const double values[] = {
        12, 15,  17, /* three pairs: 2, 4, 5 */
        10, 11,  12, /* the baseline */
        13, NAN, 14, /* two pairs: 3, 2 */
        20, -1,  -1, /* one job */
        -1, -1,  -1, /* none */
    };
    struct json *items = summary_of(sweep, values, ARRAY_LEN(values));
    const double sd = sqrt(7.0 / 3), error = 4.30265273 * sd / sqrt(3);
    const struct json *first = js_get(js_get(js_at(items, 0), "figures"), "best.top1");

    ck_assert_int_eq(js_int(js_get(first, "n"), 0), 3);
    ck_assert(fabs(js_real(js_get(first, "mean"), 0) - 44.0 / 3) < 1e-12);
    ck_assert(fabs(js_real(js_get(first, "sd"), 0) - sqrt(19.0 / 3)) < 1e-12);
    check_difference(items, 0, "paired", 3, 11.0 / 3, 11.0 / 3 - error, 11.0 / 3 + error);
    ck_assert_int_eq(js_kind(difference(items, 1)), JS_NULL);
    check_difference(items, 2, "paired", 2, 2.5, 2.5 - 12.70620474 * 0.5, 2.5 + 12.70620474 * 0.5);
    check_difference(items, 3, "none", 1, 9, (double)NAN, (double)NAN);
    ck_assert_int_eq(js_kind(difference(items, 4)), JS_NULL);
    ck_assert_uint_eq(js_len(js_get(js_at(items, 2), "jobs")), 3);
    ck_assert_uint_eq(js_len(js_get(js_at(items, 4), "jobs")), 0);
    js_free(items);
}
END_TEST

/* That of the best student on the test images, whatever has chosen it; not what it reached on others. */
START_TEST(the_best_students_figure_is_on_the_test_images)
{
    static const struct {
        const char *result;
        double best, val;
    } cases[] = {
        {"{\"best (test)\":{\"top1\":71,\"step\":9}}", 71, -1},
        {"{\"best (val)\":{\"top1\":80,\"test_top1\":70,\"step\":9}}", 70, 80},
        {"{\"best (val)\":{\"top1\":80,\"step\":9}}", -1, 80},
        {"{\"final\":{\"top1\":1}}", -1, -1},
    };
    static const char *const figures[] = {"best.top1", "best (val).top1"};
    struct json *spec = spec_of("{\"seeds\":[1,2,3,4]}"), *items;
    struct problems p = {0};
    struct sweep *s = sweep_new(spec, &p);
    struct summary *sum = summary_new(s, 0, 1, figures, 2);

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        summary_add(sum, &(struct sweep_row){(int64_t)i, "job_x", "succeeded", cases[i].result});
    items = summary_items(sum);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct json *got = js_get(js_at(js_get(js_at(items, 0), "jobs"), i), "figures");
        const double best = js_real(js_get(got, figures[0]), -1);
        const double val = js_real(js_get(got, figures[1]), -1);

        ck_assert_msg(best == cases[i].best && val == cases[i].val, "row %zu: %g %g", i, best, val);
    }
    js_free(items);
    summary_free(sum);
    sweep_free(s);
    js_free(spec);
}
END_TEST

START_TEST(groups_without_common_seeds_are_compared_as_wholes)
{
    static const char sweep[] = "{\"grid\":[{\"field\":\"optimizer.lr\",\"values\":[1,2]}],"
                                "\"seeds\":[1,2,3,4]}";
    static const double values[] = {10, 12, NAN, NAN, NAN, NAN, 15, 19};
    struct json *items = summary_of(sweep, values, ARRAY_LEN(values));
    /* Variances 2 and 8 of two each: (1 + 4)^2 / (1 + 16) degrees of freedom. */
    const double error = stats_t_quantile(0.975, 25.0 / 17) * sqrt(5);

    check_difference(items, 1, "welch", 0, 6, 6 - error, 6 + error);
    js_free(items);
}
END_TEST

/* -- Jobs ------------------------------------------------------------------------------------------ */

static void open_rig(struct daemon *d, const char *name)
{
    struct error err;
    uint64_t first;

    rig_open(d, name, 256);
    ck_assert_ok(store_first_event_id(d->store, &first, &err), err);
    events_free(d->events); /* what was given before the restart is not given again */
    d->events = events_new(first, 256, 1 << 20, NULL, NULL);
    catalog_init(&d->catalog);
    catalog_add(&d->catalog, CATALOG_MODELS, (struct catalog_entry){.name = "resnet8"});
    catalog_add(&d->catalog, CATALOG_DATA, (struct catalog_entry){.name = "idx"});
    catalog_add(&d->catalog, CATALOG_OPTIMIZERS, (struct catalog_entry){.name = "sgd"});
    catalog_add(&d->catalog, CATALOG_SCHEDULES, (struct catalog_entry){.name = "multistep"});
    ck_assert_ok(lifecycle_load(d, &err), err);
}

static void close_rig(struct daemon *d)
{
    rig_close(d);
    catalog_free(&d->catalog);
}

/* A sweep that the daemon has accepted; its id. */
static void submit(struct daemon *d, const char *sweep, char id[JOB_ID_SIZE])
{
    struct json *spec = spec_of(sweep);
    struct problems p = {0};
    struct sweep *s = sweep_new(spec, &p);
    JobSpec *first = job_from_json(sweep_base(s), &p);
    struct job *j = job_new("", first, 1000);
    struct error err;

    job_become_sweep(j, spec, s);
    ck_assert_ok(lifecycle_submit(d, j, &err), err);
    memcpy(id, j->id, JOB_ID_SIZE);
    job_free(first);
    sweep_free(s);
    js_free(spec);
}

static void pass(struct daemon *d)
{
    for (int i = 0; i < 5; i++)
        sweeps_pass(d);
}

/* The job of a sweep with this number, if it is not over. */
static struct active *find_child(const struct daemon *d, int64_t index)
{
    for (size_t i = 0; i < d->active.n; i++)
        if (d->active.at[i]->job->origin.sweep[0] && d->active.at[i]->job->origin.index == index)
            return d->active.at[i];
    return NULL;
}

static struct active *child(const struct daemon *d, int64_t index)
{
    struct active *a = find_child(d, index);

    ck_assert_msg(a, "job %d is not there", (int)index);
    ASSERT(a);
    return a;
}

/* As if it ran, without processes. */
static void run(struct daemon *d, int64_t index)
{
    struct job *j = child(d, index)->job;
    enum job_state before = j->state;

    rig_set_state(d, j, JOB_RUNNING);
    sweeps_note(d, j, before);
}

static void finish(struct daemon *d, int64_t index, enum job_event event)
{
    struct error err;

    ck_assert_ok(lifecycle_apply(d, child(d, index), event, NULL, &err), err);
}

static struct job *stored(struct daemon *d, const char *id)
{
    struct error err;
    struct job *j = store_job_get(d->store, id, &err);

    ck_assert_msg(j, "%s", err.msg);
    return j;
}

static void check_made(struct daemon *d, const char *id, int64_t made, enum job_state state)
{
    struct job *j = stored(d, id);

    ck_assert_msg(job_sweep_made(j) == made && j->state == state, "%d of %d, %s",
                  (int)job_sweep_made(j), (int)made, job_state_name(j->state));
    job_destroy(j);
}

START_TEST(jobs_are_made_when_there_is_room)
{
    char id[JOB_ID_SIZE];
    struct daemon d;
    struct error err;
    struct job *twice;

    open_rig(&d, "room");
    d.paused = true;
    submit(&d, "{\"seeds\":\"1..4\",\"parallel\":2}", id);
    pass(&d);
    check_made(&d, id, 0, JOB_QUEUED);
    d.paused = false;
    pass(&d);
    check_made(&d, id, 1, JOB_RUNNING); /* it waits: no other one is made */
    run(&d, 0);
    pass(&d);
    run(&d, 1);
    pass(&d);
    check_made(&d, id, 2, JOB_RUNNING); /* two run: no more at a time */
    finish(&d, 0, EV_DONE);
    pass(&d);
    check_made(&d, id, 3, JOB_RUNNING);

    /* A number that is taken stays taken. */
    twice = rig_job(1);
    memcpy(twice->origin.sweep, id, JOB_ID_SIZE);
    twice->origin.index = 2;
    ck_assert(!store_jobs_add(d.store, &twice, 1, &err));
    job_destroy(twice);

    finish(&d, 1, EV_DONE);
    run(&d, 2);
    finish(&d, 2, EV_DONE);
    pass(&d);
    run(&d, 3);
    finish(&d, 3, EV_DONE);
    ck_assert_ptr_nonnull(daemon_active(&d, id));
    pass(&d);
    check_made(&d, id, 4, JOB_SUCCEEDED);
    ck_assert_ptr_null(daemon_active(&d, id));
    close_rig(&d);
}
END_TEST

START_TEST(a_sweep_goes_on_after_a_restart)
{
    char id[JOB_ID_SIZE];
    struct daemon d;

    open_rig(&d, "restart");
    submit(&d, "{\"seeds\":\"1..3\"}", id);
    close_rig(&d);
    for (int64_t k = 0; k < 3; k++) {
        open_rig(&d, "restart");
        pass(&d);
        check_made(&d, id, k + 1, JOB_RUNNING);
        close_rig(&d);
        open_rig(&d, "restart");
        pass(&d);
        check_made(&d, id, k + 1, JOB_RUNNING);
        run(&d, k);
        finish(&d, k, k == 1 ? EV_BAD : EV_DONE);
        close_rig(&d);
    }
    open_rig(&d, "restart");
    pass(&d);
    check_made(&d, id, 3, JOB_FAILED);
    close_rig(&d);
}
END_TEST

START_TEST(what_failed_is_done_again_with_its_sweep)
{
    char id[JOB_ID_SIZE], failed[JOB_ID_SIZE];
    struct daemon d;
    struct error err;

    open_rig(&d, "again");
    submit(&d, "{\"seeds\":\"1..3\"}", id);
    for (int64_t k = 0; k < 2; k++) {
        pass(&d);
        run(&d, k);
        memcpy(failed, child(&d, k)->job->id, JOB_ID_SIZE);
        finish(&d, k, k ? EV_BAD : EV_DONE);
    }
    ck_assert_ok(lifecycle_cancel(&d, id, -1, &err), err);
    pass(&d);
    check_made(&d, id, 2, JOB_CANCELLED);
    ck_assert_error(lifecycle_retry(&d, failed, &err), err, "run the sweep again");

    ck_assert_ok(lifecycle_retry(&d, id, &err), err);
    pass(&d);
    ck_assert_str_eq(child(&d, 1)->job->id, failed);
    check_made(&d, id, 2, JOB_RUNNING);
    run(&d, 1);
    finish(&d, 1, EV_BAD); /* not a third time by itself */
    close_rig(&d);
    open_rig(&d, "again");
    pass(&d);
    ck_assert_ptr_null(find_child(&d, 1));
    check_made(&d, id, 3, JOB_RUNNING);
    run(&d, 2);
    finish(&d, 2, EV_DONE);
    pass(&d);
    check_made(&d, id, 3, JOB_FAILED);
    close_rig(&d);
}
END_TEST

START_TEST(cancel_reaches_every_job)
{
    char id[JOB_ID_SIZE], other[JOB_ID_SIZE];
    struct daemon d;
    struct error err;

    open_rig(&d, "cancel");
    submit(&d,
           "{\"seeds\":\"1..500\",\"grid\":[{\"field\":\"labels.x\",\"values\":[\"a\",\"b\"]}]}",
           id);
    submit(&d, "{\"seeds\":[1]}", other);
    pass(&d);
    check_made(&d, id, 1, JOB_RUNNING);
    ck_assert_ok(lifecycle_cancel(&d, id, -1, &err), err);
    ck_assert_ok(lifecycle_cancel(&d, id, -1, &err), err); /* is so already */
    /* Killed before it gets to the jobs. */
    close_rig(&d);
    open_rig(&d, "cancel");
    pass(&d);
    check_made(&d, id, 1, JOB_CANCELLED);
    check_made(&d, other, 1, JOB_RUNNING);
    close_rig(&d);
}
END_TEST

static int64_t left_s(const struct daemon *d)
{
    return (child(d, 0)->kill_at_ns - clock_mono_ns()) / 1000000000;
}

START_TEST(a_cancel_is_hastened_but_never_put_off)
{
    char id[JOB_ID_SIZE];
    struct daemon d;
    struct error err;

    open_rig(&d, "hasten");
    submit(&d, "{\"seeds\":[1]}", id);
    pass(&d);
    run(&d, 0);
    ck_assert_ok(lifecycle_cancel(&d, id, 3000, &err), err);
    pass(&d);
    ck_assert_int_gt(left_s(&d), 2000);
    ck_assert_ok(lifecycle_cancel(&d, id, -1, &err), err);
    ck_assert_ok(lifecycle_cancel(&d, id, 3600, &err), err);
    pass(&d);
    ck_assert_int_gt(left_s(&d), 1000);
    ck_assert_int_lt(left_s(&d), 3001);
    ck_assert_ok(lifecycle_cancel(&d, id, 1000, &err), err);
    pass(&d);
    ck_assert_int_lt(left_s(&d), 1001);
    ck_assert_ok(lifecycle_cancel(&d, id, 0, &err), err);
    pass(&d);
    ck_assert_int_le(left_s(&d), 0);
    finish(&d, 0, EV_STOPPED);
    close_rig(&d);
}
END_TEST

START_TEST(a_combination_that_cannot_be_fails_alone)
{
    char id[JOB_ID_SIZE];
    struct daemon d;
    struct job *j;

    open_rig(&d, "combination");
    submit(&d,
           "{\"grid\":[{\"field\":\"train.lanes\",\"values\":[2,1]},{\"field\":\"resources.ranks\","
           "\"values\":[2]}]}",
           id);
    pass(&d);
    run(&d, 0);
    finish(&d, 0, EV_DONE);
    pass(&d);
    check_made(&d, id, 2, JOB_FAILED);
    j = stored(&d, id);
    ck_assert(j->sweep.made[JOB_FAILED] == 1 && j->sweep.made[JOB_SUCCEEDED] == 1);
    ck_assert_str_eq(job_why(j), "of 2 jobs 1 failed and 0 were cancelled");
    job_destroy(j);
    close_rig(&d);
}
END_TEST

/* It has no ranks that would have to stop. */
START_TEST(a_sweep_that_is_released_goes_on_at_once)
{
    char id[JOB_ID_SIZE];
    struct daemon d;
    struct error err;
    struct job *j;
    bool already;

    open_rig(&d, "held");
    submit(&d, "{\"seeds\":\"1..3\"}", id);
    pass(&d);
    run(&d, 0);
    ck_assert_ok(lifecycle_hold(&d, id, true, &already, &err), err);
    pass(&d);
    check_made(&d, id, 1, JOB_RUNNING);
    ck_assert_ok(lifecycle_hold(&d, id, false, &already, &err), err);
    j = daemon_active(&d, id)->job;
    ck_assert_str_eq(j->reason.code, "");
    ck_assert(!j->yield_requested);
    pass(&d);
    check_made(&d, id, 2, JOB_RUNNING);
    /* Nor has a job that has stopped already. */
    j = child(&d, 1)->job;
    j->hold_requested = j->yield_requested = true;
    ck_assert_ok(lifecycle_hold(&d, j->id, false, &already, &err), err);
    ck_assert_str_eq(j->reason.code, "");
    close_rig(&d);
}
END_TEST

START_TEST(running_again_counts_for_the_quota)
{
    struct project p = {.name = "default", .weight = 1, .quota_queued = 1};
    struct daemon d;
    struct error err;
    struct job *j = rig_job(2);

    open_rig(&d, "quota");
    ck_assert_ok(projects_put(&d, &p, &err), err);
    j->state = JOB_FAILED;
    ck_assert_ok(store_jobs_add(d.store, &j, 1, &err), err);
    rig_submit(&d, 3);
    ck_assert(!lifecycle_retry(&d, j->id, &err));
    ck_assert_msg(err.code == ERR_QUOTA, "%s", err.msg);
    ck_assert_ok(lifecycle_cancel(&d, d.active.at[0]->job->id, -1, &err), err);
    ck_assert_ok(lifecycle_retry(&d, j->id, &err), err);
    job_destroy(j);
    close_rig(&d);
}
END_TEST

UNIT_MAIN(quantiles_are_those_of_the_tables, quantiles_are_those_of_the_closed_forms,
          intervals_are_those_of_the_textbook, too_few_values_have_no_interval,
          points_are_compared_by_the_seeds_that_both_have,
          the_best_students_figure_is_on_the_test_images,
          groups_without_common_seeds_are_compared_as_wholes, jobs_are_made_when_there_is_room,
          a_sweep_goes_on_after_a_restart, what_failed_is_done_again_with_its_sweep,
          cancel_reaches_every_job, a_cancel_is_hastened_but_never_put_off,
          a_combination_that_cannot_be_fails_alone, a_sweep_that_is_released_goes_on_at_once,
          running_again_counts_for_the_quota)
