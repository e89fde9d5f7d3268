#include <math.h>
#include <string.h>

#include "client/view.h"
#include "tests/unit/unit.h"

static void feed(struct view *v, void (*take)(struct view *v, const struct json *j),
                 const char *text)
{
    struct json *j = js_parse(text, strlen(text), NULL);

    ck_assert_ptr_nonnull(j);
    take(v, j);
    js_free(j);
}

static struct view running(void)
{
    struct view v;

    view_init(&v);
    feed(&v, view_job,
         "{\"id\":\"job_1\",\"name\":\"n\",\"state\":\"running\",\"finished_at\":null,"
         "\"progress\":{\"step\":420,\"total_steps\":1000,\"epoch\":5,\"eta_s\":205}}");
    return v;
}

START_TEST(a_line_tells_what_is_known)
{
    struct view v = running();
    struct buf b = buf_new(0);

    view_progress(&v, false, &b);
    ck_assert_str_eq(buf_text(&b), " 42 %  step 420/1000  epoch 5  ETA 3m25s");
    feed(&v, view_point, "{\"split\":\"test\",\"name\":\"top1\",\"step\":400,\"value\":61.5}");
    feed(&v, view_point, "{\"split\":\"train\",\"name\":\"top1\",\"step\":400,\"value\":99}");
    feed(&v, view_last_point,
         "{\"split\":\"train\",\"name\":\"loss/total\",\"points\":[[1,9],[410,0.123456]]}");
    buf_reset(&b);
    view_progress(&v, true, &b);
    ck_assert_str_eq(buf_text(&b), "[########............]   42 %  step 420/1000  epoch 5  "
                                   "loss 0.1235  top-1 61.50  ETA 3m25s");
    buf_free(&b);
}
END_TEST

START_TEST(a_sweep_counts_jobs)
{
    struct buf b = buf_new(0);
    struct view v;

    view_init(&v);
    feed(&v, view_job,
         "{\"state\":\"running\",\"progress\":{\"step\":3,\"total_steps\":8,\"epoch\":0},"
         "\"sweep\":{\"total\":8,\"done\":2,\"failed\":1,\"running\":2}}");
    view_progress(&v, false, &b);
    ck_assert_str_eq(buf_text(&b), " 37 %  job 3/8  2 running  1 failed");
    buf_free(&b);
}
END_TEST

START_TEST(before_the_first_step_there_is_no_percentage)
{
    struct buf b = buf_new(0);
    struct view v;

    view_init(&v);
    view_progress(&v, false, &b);
    ck_assert_str_eq(buf_text(&b), "no steps yet");
    feed(&v, view_job, "{\"progress\":{\"step\":null,\"phase\":\"class means\"}}");
    buf_reset(&b);
    view_progress(&v, false, &b);
    ck_assert_str_eq(buf_text(&b), "class means");
    buf_free(&b);
}
END_TEST

START_TEST(older_points_do_not_replace_newer_ones)
{
    struct view v = running();

    feed(&v, view_point, "{\"split\":\"test\",\"name\":\"top1\",\"step\":400,\"value\":61.5}");
    feed(&v, view_point, "{\"split\":\"test\",\"name\":\"top1\",\"step\":300,\"value\":50}");
    ck_assert_double_eq(v.figure[VIEW_TOP1], 61.5);
}
END_TEST

START_TEST(parts_of_a_job_leave_the_rest_alone)
{
    struct view v = running();

    feed(&v, view_job, "{\"id\":\"job_1\",\"progress\":{\"step\":421}}");
    ck_assert_int_eq(v.step, 421);
    ck_assert_int_eq(v.total_steps, 1000);
    ck_assert_str_eq(v.state, "running");
    ck_assert(!v.finished);
}
END_TEST

START_TEST(the_outcome_is_the_exit_status)
{
    static const struct {
        const char *job, *says;
        int exit;
    } rows[] = {
        {"{\"id\":\"j\",\"state\":\"failed\",\"finished_at\":\"2026-01-31T12:00:00Z\","
         "\"reason\":{\"code\":\"bad_data\",\"message\":\"no such file\"}}",
         "j failed (bad_data): no such file", 1},
        {"{\"id\":\"j\",\"state\":\"cancelled\",\"finished_at\":\"2026-01-31T12:00:00Z\"}",
         "j cancelled", 3},
        {"{\"id\":\"j\",\"state\":\"failed\",\"finished_at\":\"2026-01-31T12:00:00Z\","
         "\"reason\":{\"code\":\"time_limit\",\"message\":\"ran for 6.0 s\"}}",
         "j failed (time_limit): ran for 6.0 s", 4},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct error err = {0};
        struct view v;

        view_init(&v);
        feed(&v, view_job, rows[i].job);
        ck_assert(v.finished);
        ck_assert_error(view_outcome(&v, &err), err, rows[i].says);
        ck_assert_int_eq(err_exit_status(err.code), rows[i].exit);
    }
}
END_TEST

UNIT_MAIN(a_sweep_counts_jobs, a_line_tells_what_is_known,
          before_the_first_step_there_is_no_percentage, older_points_do_not_replace_newer_ones,
          parts_of_a_job_leave_the_rest_alone, the_outcome_is_the_exit_status)
