/* daemon: what is decided by tables: the life of a job, the meaning of an end, routes, problems. */
#include <ctype.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/daemon.h"
#include "daemon/idempotency.h"
#include "daemon/inputs.h"
#include "daemon/job_fsm.h"
#include "daemon/needs.h"
#include "daemon/oom.h"
#include "daemon/outcome.h"
#include "daemon/page.h"
#include "daemon/problem.h"
#include "daemon/routes.h"
#include "daemon/thin.h"
#include "proto/base/file.h"
#include "proto/base/rng.h"
#include "proto/base/str.h"
#include "proto/wire/validate.h"
#include "tests/unit/daemon_rig.h"
#include "tests/unit/unit.h"

static bool is_more(double a, double b)
{
    return !isnan(b) && (isnan(a) || a > b);
}

/* Steps that jump, values with spikes and holes. What stays is of what was, in its order. */
START_TEST(thin_curves_keep_their_ends_and_extremes)
{
    const uint64_t key = unit_seed();

    for (uint64_t round = 0; round < 300; round++) {
        const uint64_t k = rng_key(key, round);
        const size_t n = 1 + rng_below(k, 0, 400), max = THIN_LEAST + rng_below(k, 1, 60);
        struct thin_point *all = NEW_ARRAY(struct thin_point, n),
                          *few = NEW_ARRAY(struct thin_point, n);
        int64_t step = rng_below(k, 2, 10) ? 0 : INT64_MAX - 4000000;
        double least = INFINITY, greatest = -INFINITY;
        size_t kept, at = 0;

        for (size_t i = 0; i < n; i++) {
            step += 1 + (int64_t)rng_below(k, 10 + 3 * i, rng_below(k, 11 + 3 * i, 9) ? 3 : 5000);
            all[i] = (struct thin_point){step, rng_normal(k, 12 + 3 * i)};
            if (!rng_below(k, 13 + 3 * i, 50))
                all[i].value = (double)NAN;
        }
        memcpy(few, all, n * sizeof(*all));
        kept = thin(few, n, max);
        ck_assert_uint_eq(kept, n <= max ? n : kept);
        ck_assert_uint_le(kept, max > n ? n : max);
        ck_assert_int_eq(few[0].step, all[0].step);
        ck_assert_int_eq(few[kept - 1].step, all[n - 1].step);
        for (size_t i = 0; i < kept; i++) {
            while (at < n && all[at].step != few[i].step)
                at++;
            ck_assert_uint_lt(at, n);
            ck_assert_mem_eq(&few[i].value, &all[at].value, sizeof(double));
            least = is_more(least, few[i].value) ? few[i].value : least;
            greatest = is_more(few[i].value, greatest) ? few[i].value : greatest;
        }
        for (size_t i = 0; i < n; i++) {
            ck_assert(!is_more(least, all[i].value));
            ck_assert(!is_more(all[i].value, greatest));
        }
        free(all);
        free(few);
    }
}
END_TEST

START_TEST(every_event_has_its_place_or_none)
{
    /* -: no place; else the first letter of the next state. */
    static const char *const want[JOB_STATE_COUNT] = {
        /* start hello done again bad stopped yielded cancel retry resize hold release preempt begin */
        [JOB_QUEUED] = "t------c-qqq-r",  [JOB_STARTING] = "-rsqfcqt-ttt--",
        [JOB_RUNNING] = "--sqfcqr-rrrr-", [JOB_SUCCEEDED] = "--------------",
        [JOB_FAILED] = "--------q-----",  [JOB_CANCELLED] = "--------q-----",
    };
    static const char letters[] = "qtrsfc"; /* starting is t */

    for (enum job_state s = 0; s < JOB_STATE_COUNT; s++)
        for (enum job_event e = 0; e < JOB_EVENT_COUNT; e++) {
            const struct job_transition *t = job_fsm_find(s, e);
            char got = '-';

            if (t)
                got = letters[t->to];
            ck_assert_msg(got == want[s][e], "%s, %s: %c instead of %c", job_state_name(s),
                          job_event_name(e), got, want[s][e]);
            /* What ends or begins frees or wants slots. */
            ck_assert_msg(!t || (job_is_final(t->to) || t->to == JOB_QUEUED) ==
                                    (t->action == ACT_SCHEDULE),
                          "%s, %s: the queue is not told", job_state_name(s), job_event_name(e));
            ck_assert_msg(!t || (t->action == ACT_LAUNCH) == (e == EV_START), "%s",
                          job_event_name(e));
        }
}
END_TEST

START_TEST(names_of_states_read_back)
{
    enum job_state got;

    for (enum job_state s = 0; s < JOB_STATE_COUNT; s++) {
        ck_assert(job_state_parse(job_state_name(s), &got));
        ck_assert_int_eq(got, s);
    }
    ck_assert(!job_state_parse("", &got));
    ck_assert(!job_state_parse("Running", &got));
}
END_TEST

/* As a job without a word about it has it. */
static const char no_words[] = "{}";

START_TEST(an_end_means_what_the_table_says)
{
    static const struct {
        struct attempt_exit e;
        bool cancel;
        enum job_event want;
        enum failure failure;
        const char *code, *text;
    } cases[] = {
        {{.status = 0}, false, EV_DONE, FAILURE_NONE, "", ""},
        {{.status = 0}, true, EV_DONE, FAILURE_NONE, "", ""},
        {{.status = 0, .stopped = true}, true, EV_DONE, FAILURE_NONE, "", ""},
        {{.status = 1, .message = "disk full"}, false, EV_BAD, FAILURE_USER, "failed", "disk full"},
        {{.status = 1}, false, EV_BAD, FAILURE_USER, "failed", "the worker failed"},
        {{.status = 2, .message = "#/x: y"}, false, EV_BAD, FAILURE_USER, "invalid", "#/x: y"},
        {{.status = 65, .message = "cut"}, false, EV_BAD, FAILURE_DATA, "bad_data", "cut"},
        {{.status = 9, .message = "?"}, false, EV_BAD, FAILURE_USER, "failed", "with status 9: ?"},
        {{.status = 127}, false, EV_BAD, FAILURE_USER, "failed", "ended with status 127"},
        {{.status = 128}, false, EV_BAD, FAILURE_USER, "failed", "ended with status 128"},
        {{.status = 1, .message = "distill-worker train: rank 1: diverged: step 3, ..."},
         false,
         EV_BAD,
         FAILURE_DIVERGED,
         "diverged",
         "step 3"},
        {{.status = 3}, true, EV_STOPPED, FAILURE_NONE, "cancelled", "cancelled by a user"},
        {{.status = 3}, false, EV_STOPPED, FAILURE_NONE, "cancelled", "cancelled by a user"},
        {{.status = 1}, true, EV_STOPPED, FAILURE_NONE, "cancelled", "cancelled by a user"},
        {{.status = 74}, true, EV_STOPPED, FAILURE_NONE, "cancelled", "cancelled by a user"},
        {{.status = 65}, true, EV_STOPPED, FAILURE_NONE, "cancelled", ""},
        {{.signal = 9}, true, EV_STOPPED, FAILURE_NONE, "cancelled", ""},
        {{.status = 1, .lost = true}, true, EV_STOPPED, FAILURE_NONE, "cancelled", ""},
        {{.status = 1, .stopped = true}, true, EV_STOPPED, FAILURE_NONE, "cancelled", ""},
        {{.class = FAILURE_HANG}, true, EV_STOPPED, FAILURE_NONE, "cancelled", ""},
        {{.status = 75}, false, EV_AGAIN, FAILURE_PREEMPTED, "preempted", "stopped with a check"},
        {{.status = 1, .stopped = true},
         false,
         EV_AGAIN,
         FAILURE_PREEMPTED,
         "preempted",
         "stopped from outside"},
        {{.signal = 11, .stopped = true},
         false,
         EV_AGAIN,
         FAILURE_PREEMPTED,
         "preempted",
         "stopped from outside"},
        {{.status = 137}, false, EV_AGAIN, FAILURE_INFRA, "infra", "by signal 9 (SIGKILL)"},
        {{.status = 139, .message = "rank 1"},
         false,
         EV_AGAIN,
         FAILURE_INFRA,
         "infra",
         "signal 11 (SIGSEGV): rank 1"},
        {{.signal = 9}, false, EV_AGAIN, FAILURE_INFRA, "infra", "signal 9 (SIGKILL)"},
        {{.status = 74, .message = "write /x: No space left on device"},
         false,
         EV_AGAIN,
         FAILURE_INFRA,
         "infra",
         ": a file could not be read or written: write /x: No space"},
        {{.status = 1, .message = "rank 1: no memory for an arena of 12 bytes"},
         false,
         EV_BAD,
         FAILURE_OOM,
         "attempts_exhausted",
         "(oom 1 of 1): out of memory: rank 1: no memory"},
        {{.status = 192}, false, EV_AGAIN, FAILURE_INFRA, "infra", "ended by signal 64"},
        {{.status = 193}, false, EV_AGAIN, FAILURE_INFRA, "infra", "mpirun ended with status 193"},
        {{.status = 213, .message = "Remote daemon: b"},
         false,
         EV_AGAIN,
         FAILURE_INFRA,
         "infra",
         "mpirun ended with status 213: Remote daemon: b"},
        {{.status = 1, .class = FAILURE_INFRA, .message = "fork: Resource"},
         false,
         EV_AGAIN,
         FAILURE_INFRA,
         "infra",
         "could not be started: fork: Resource"},
        {{.status = 1, .lost = true}, false, EV_AGAIN, FAILURE_INFRA, "infra", "shim was killed"},
        {{.status = 0, .lost = true}, false, EV_AGAIN, FAILURE_INFRA, "infra", "shim was killed"},
        {{.status = 3, .lost = true}, false, EV_AGAIN, FAILURE_INFRA, "infra", ""},
        {{.status = 75, .lost = true}, false, EV_AGAIN, FAILURE_INFRA, "infra", ""},
        {{.status = 1, .lost = true, .unbegun = true},
         false,
         EV_YIELDED,
         FAILURE_NONE,
         "not_begun",
         "attempt 1: the daemon ended before"},
        {{.status = 1, .lost = true, .unbegun = true},
         true,
         EV_STOPPED,
         FAILURE_NONE,
         "cancelled",
         ""},
        {{.status = 1, .class = FAILURE_HANG, .message = "rank 1"},
         false,
         EV_AGAIN,
         FAILURE_HANG,
         "hang",
         "hung: rank 1"},
        {{.status = 0, .class = FAILURE_LOST_HOST, .message = "rank 1"},
         false,
         EV_AGAIN,
         FAILURE_LOST_HOST,
         "lost_host",
         "a host was lost: rank 1"},
        /* A job that needs more memory than there is would need it again, unless its user knows better. */
        {{.status = 137, .class = FAILURE_OOM},
         false,
         EV_BAD,
         FAILURE_OOM,
         "attempts_exhausted",
         "(oom 1 of 1): out of memory"},
    };
    const struct retry_policy policy = retry_policy_of(no_words);

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct job j = {.attempt = 1, .cancel_requested = cases[i].cancel};
        struct outcome got = outcome_of(&cases[i].e, &j, &policy);

        ck_assert_msg(got.event == cases[i].want, "case %zu: %s", i, job_event_name(got.event));
        ck_assert_msg(got.failure == cases[i].failure, "case %zu: %s", i,
                      failure_name(got.failure));
        ck_assert_msg(strcmp(got.why.code, cases[i].code) == 0, "case %zu: %s", i, got.why.code);
        ck_assert_msg(strstr(got.why.message, cases[i].text), "case %zu: %s", i, got.why.message);
    }
}
END_TEST

START_TEST(the_kernels_log_names_who_was_short_of_memory)
{
    static const char record[] = "3,812,35885810123,-;Memory cgroup out of memory: Killed process "
                                 "6792 (distill-worker) total-vm:533352kB";
    const int64_t at = INT64_C(35885810123) * 1000;

    ck_assert(oom_record_names(record, 6792, at - 5000));
    ck_assert(!oom_record_names(record, 679, 0));
    ck_assert(!oom_record_names(record, 67920, 0));
    ck_assert_msg(!oom_record_names(record, 6792, at + INT64_C(2000000000)),
                  "an old process of the same number");
    ck_assert(!oom_record_names("6,813,1,-;Killed by death", 6792, 0));
    ck_assert(!oom_record_names("6", 6792, 0));
    ck_assert(!oom_record_names("", 6792, 0));
    ck_assert(!oom_record_names(";Killed process 6792 (x)", 6792, 0));
}
END_TEST

START_TEST(each_class_has_its_own_budget)
{
    static const struct {
        const char *spec;
        enum failure failure; /* of which `before` attempts ended so, and this one does */
        int64_t before;
        bool again;
        const char *text;
    } cases[] = {
        {no_words, FAILURE_INFRA, 1, true, "infra 2 of 3"},
        {no_words, FAILURE_INFRA, 2, false, "infra 3 of 3"},
        {no_words, FAILURE_HANG, 1, true, "hang 2 of 3"},
        {no_words, FAILURE_HANG, 2, false, "hang 3 of 3"},
        {no_words, FAILURE_LOST_HOST, 8, true, "lost_host 9 of 10"},
        {no_words, FAILURE_LOST_HOST, 9, false, "lost_host 10 of 10"},
        {no_words, FAILURE_PREEMPTED, 98, true, "preempted 99 of 100"},
        {no_words, FAILURE_PREEMPTED, 99, false, "preempted 100 of 100"},
        {"{\"retry\":{\"max_attempts\":5,\"max_hangs\":1}}", FAILURE_INFRA, 3, true, "4 of 5"},
        {"{\"retry\":{\"max_attempts\":5,\"max_hangs\":1}}", FAILURE_HANG, 0, false, "1 of 1"},
        {"{\"retry\":{\"max_out_of_memory\":2}}", FAILURE_OOM, 0, true, "oom 1 of 2"},
        {"{\"retry\":{\"max_attempts\":null}}", FAILURE_INFRA, 0, true, "infra 1 of 3"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct retry_policy policy = retry_policy_of(cases[i].spec);
        const struct attempt_exit e = {.status = 1, .class = cases[i].failure};
        struct job j = {.attempt = 40};
        struct outcome got;

        for (enum failure f = 0; f < FAILURE_COUNT; f++)
            j.failures[f] = f == cases[i].failure ? cases[i].before : 0;
        got = outcome_of(&e, &j, &policy);
        ck_assert_msg((got.event == EV_AGAIN) == cases[i].again, "case %zu: %s", i,
                      got.why.message);
        ck_assert_msg(strstr(got.why.message, cases[i].text), "case %zu: %s", i, got.why.message);
        /* Those of all other classes do not use it up. */
        for (enum failure f = 0; f < FAILURE_COUNT; f++)
            j.failures[f] = f == cases[i].failure ? cases[i].before : 1000;
        got = outcome_of(&e, &j, &policy);
        ck_assert_msg((got.event == EV_AGAIN) == cases[i].again, "case %zu", i);
    }
}
END_TEST

START_TEST(pauses_double_up_to_a_limit_and_are_spread)
{
    const struct retry_policy policy =
        retry_policy_of("{\"retry\":{\"backoff_s\":4,\"backoff_max_s\":60}}");
    double least = 1e9, most = 0, sum = 0;
    int64_t count[FAILURE_COUNT] = {0};

    for (int n = 1; n <= 12; n++) {
        double base = fmin(60, 4 * pow(2, n - 1));

        count[n % 2 ? FAILURE_INFRA : FAILURE_HANG]++;
        for (uint64_t seed = 0; seed < 200; seed++) {
            double s = (double)retry_delay_ms(&policy, count, seed) / 1e3 / base;

            ck_assert_msg(s >= 0.799 && s <= 1.2, "%d failures: %g of %g s", n, s, base);
            least = fmin(least, s);
            most = fmax(most, s);
            sum += s / (12 * 200);
        }
    }
    ck_assert_msg(least < 0.82 && most > 1.18 && fabs(sum - 1) < 0.02, "%g .. %g, mean %g", least,
                  most, sum);
    ck_assert_int_eq(retry_delay_ms(&policy, count, 7), retry_delay_ms(&policy, count, 7));
}
END_TEST

START_TEST(no_pause_stays_none_however_often_it_doubles)
{
    const struct retry_policy policy = retry_policy_of("{\"retry\":{\"backoff_s\":0}}");
    const int64_t count[FAILURE_COUNT] = {[FAILURE_INFRA] = 999, [FAILURE_HANG] = 999};

    ck_assert_int_eq(retry_delay_ms(&policy, count, 1), 0);
}
END_TEST

START_TEST(only_a_stop_that_was_asked_for_costs_no_pause)
{
    const struct retry_policy policy = retry_policy_of(no_words);
    const struct attempt_exit e = {.status = 75}, killed = {.signal = 9};
    struct job j = {.attempt = 3, .failures = {[FAILURE_PREEMPTED] = 2}, .yield_requested = true};
    struct outcome got = outcome_of(&e, &j, &policy);

    ck_assert(got.event == EV_YIELDED && got.wait_ms == 0);
    j.yield_requested = false;
    got = outcome_of(&e, &j, &policy);
    ck_assert(got.event == EV_AGAIN && got.wait_ms >= 6400 && got.wait_ms <= 9600);
    got = outcome_of(&killed, &(struct job){.attempt = 3}, &policy);
    ck_assert(got.event == EV_AGAIN && got.wait_ms >= 1600 && got.wait_ms <= 2400);
    ck_assert_msg(strstr(got.why.message, "(infra 1 of 3, goes on after "), "%s", got.why.message);
}
END_TEST

START_TEST(a_job_whose_time_is_over_is_not_tried_again)
{
    static const struct {
        struct attempt_exit e;
        int64_t ran_ms;
        bool cancel, resize;
        enum job_event want;
        const char *code;
    } cases[] = {
        {{.status = 75}, 999, false, false, EV_AGAIN, "preempted"},
        {{.status = 75}, 1000, false, false, EV_BAD, "time_limit"},
        {{.status = 1, .stopped = true}, 1000, false, false, EV_BAD, "time_limit"},
        {{.signal = 9}, 1000, false, false, EV_BAD, "time_limit"},
        {{.status = 0}, 1000, false, false, EV_DONE, ""},
        {{.status = 1}, 1000, false, false, EV_BAD, "failed"},
        {{.status = 75}, 1000, true, false, EV_STOPPED, "cancelled"},
        {{.status = 75}, 999, false, true, EV_YIELDED, "resizing"},
        {{.status = 75}, 1000, false, true, EV_BAD, "time_limit"},
    };
    const struct retry_policy policy = retry_policy_of(no_words);

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct job j = {.attempt = 1,
                              .limit_ms = 1000,
                              .ran_ms = cases[i].ran_ms,
                              .cancel_requested = cases[i].cancel,
                              .resize_requested = cases[i].resize};
        struct outcome got = outcome_of(&cases[i].e, &j, &policy);

        ck_assert_msg(got.event == cases[i].want, "case %zu: %s", i, job_event_name(got.event));
        ck_assert_msg(strcmp(got.why.code, cases[i].code) == 0, "case %zu: %s", i, got.why.code);
    }
}
END_TEST

START_TEST(a_job_waits_for_what_it_needs)
{
    static const struct {
        bool must_succeed[2];
        enum job_state state[2];
        enum needs_verdict want;
        const char *code;
    } cases[] = {
        {{true, true}, {JOB_SUCCEEDED, JOB_SUCCEEDED}, NEEDS_MET, NULL},
        {{true, false}, {JOB_SUCCEEDED, JOB_FAILED}, NEEDS_MET, NULL},
        {{false, false}, {JOB_CANCELLED, JOB_FAILED}, NEEDS_MET, NULL},
        {{true, true}, {JOB_SUCCEEDED, JOB_RUNNING}, NEEDS_WAIT, "waiting_for_jobs"},
        {{false, true}, {JOB_QUEUED, JOB_SUCCEEDED}, NEEDS_WAIT, "waiting_for_jobs"},
        {{true, true}, {JOB_SUCCEEDED, JOB_FAILED}, NEEDS_BROKEN, "dependency_failed"},
        {{true, true}, {JOB_STARTING, JOB_CANCELLED}, NEEDS_BROKEN, "dependency_failed"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct job_need needs[2] = {{"job_a", cases[i].must_succeed[0], cases[i].state[0]},
                                    {"job_b", cases[i].must_succeed[1], cases[i].state[1]}};
        const struct job j = {.n_needs = 2, .needs = needs};
        struct reason why;

        ck_assert_msg(needs_verdict(&j) == cases[i].want, "case %zu", i);
        if (!cases[i].code)
            continue;
        needs_describe(&j, &why);
        ck_assert_msg(strcmp(why.code, cases[i].code) == 0, "case %zu: %s", i, why.code);
    }
    ck_assert(needs_verdict(&(struct job){.n_needs = 0}) == NEEDS_MET);
}
END_TEST

START_TEST(the_names_of_what_it_waits_for_fit_a_reason)
{
    struct job_need needs[JOB_MAX_NEEDS];
    const struct job j = {.n_needs = JOB_MAX_NEEDS, .needs = needs};
    struct reason why;

    for (int i = 0; i < JOB_MAX_NEEDS; i++) {
        needs[i] = (struct job_need){.must_succeed = true, .state = JOB_QUEUED};
        snprintf(needs[i].id, sizeof(needs[i].id), "job_%026d", i);
    }
    needs_describe(&j, &why);
    ck_assert_msg(strstr(why.message, "waits for job_00000000000000000000000000 to succeed, ") &&
                      strstr(why.message, " and 16 more"),
                  "%s", why.message);
}
END_TEST

START_TEST(what_a_job_was_stopped_for_costs_nothing)
{
    static const struct {
        bool resize, hold, yield;
        enum job_event want;
        const char *code;
    } cases[] = {
        {false, false, false, EV_BAD, "attempts_exhausted"},
        {false, true, false, EV_BAD, "attempts_exhausted"}, /* it was held after it had ended */
        {false, true, true, EV_YIELDED, "held"},
        {true, true, true, EV_YIELDED, "held"},
        {true, false, false, EV_YIELDED, "resizing"},
        {false, false, true, EV_YIELDED, "yielded"}, /* held, and released since */
    };
    const struct retry_policy policy = retry_policy_of("{\"retry\":{\"max_preemptions\":1}}");
    const struct attempt_exit e = {.status = 75};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct job j = {.attempt = 1,
                              .ranks = 2,
                              .resize_requested = cases[i].resize,
                              .hold_requested = cases[i].hold,
                              .yield_requested = cases[i].yield};
        struct outcome got = outcome_of(&e, &j, &policy);

        ck_assert_msg(got.event == cases[i].want, "case %zu: %s", i, job_event_name(got.event));
        ck_assert_msg(strcmp(got.why.code, cases[i].code) == 0, "case %zu: %s", i, got.why.code);
        ck_assert_msg((got.failure == FAILURE_NONE) == (cases[i].want == EV_YIELDED), "case %zu",
                      i);
    }
}
END_TEST

START_TEST(a_resize_is_no_failed_attempt)
{
    static const struct {
        struct attempt_exit e;
        bool cancel;
        enum job_event want;
        const char *code;
    } cases[] = {
        {{.status = 75}, false, EV_YIELDED, "resizing"},
        {{.status = 138}, false, EV_YIELDED, "resizing"},
        {{.signal = SIGUSR1}, false, EV_YIELDED, "resizing"},
        {{.status = 75}, true, EV_STOPPED, "cancelled"},
        /* What else happens meanwhile is what it is. */
        {{.status = 0}, false, EV_DONE, ""},
        {{.status = 1}, false, EV_BAD, "failed"},
        {{.status = 137}, false, EV_BAD, "attempts_exhausted"},
        {{.status = 75, .lost = true}, false, EV_BAD, "attempts_exhausted"},
        {{.status = 75, .class = FAILURE_HANG}, false, EV_BAD, "attempts_exhausted"},
        {{.status = 75, .class = FAILURE_LOST_HOST}, false, EV_AGAIN, "lost_host"},
    };
    const struct retry_policy policy = retry_policy_of(no_words);

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct job j = {.attempt = 3,
                              .failures = {[FAILURE_INFRA] = 2, [FAILURE_HANG] = 2},
                              .ranks = 2,
                              .resize_requested = true,
                              .cancel_requested = cases[i].cancel};
        struct outcome got = outcome_of(&cases[i].e, &j, &policy);

        ck_assert_msg(got.event == cases[i].want, "case %zu: %s", i, job_event_name(got.event));
        ck_assert_msg(strcmp(got.why.code, cases[i].code) == 0, "case %zu: %s", i, got.why.code);
    }
}
END_TEST

static void clear(char *params[HTTP_PARAMS])
{
    for (size_t i = 0; i < HTTP_PARAMS; i++) {
        free(params[i]);
        params[i] = NULL;
    }
}

START_TEST(patterns_match_whole_paths)
{
    static const struct {
        const char *pattern, *path, *first, *second; /* first NULL: no match; "": no parameter */
    } cases[] = {
        {"/", "/", "", NULL},
        {"/", "//", NULL, NULL},
        {"/a", "/a", "", NULL},
        {"/a", "/a/", NULL, NULL},
        {"/a", "/", NULL, NULL},
        {"/a", "", NULL, NULL},
        {"/{x}", "/a", "a", NULL},
        {"/{x}", "/", NULL, NULL},
        {"/{x}", "/a/b", NULL, NULL},
        {"/{x}", "/%2F", "%2F", NULL},
        {"/j/{x}", "/j/", NULL, NULL},
        {"/j/{x}", "/j", NULL, NULL},
        {"/j/{x}:go", "/j/a:go", "a", NULL},
        {"/j/{x}:go", "/j/:go", NULL, NULL},
        {"/j/{x}:go", "/j/a:gone", NULL, NULL},
        {"/j/{x}:go", "/j/a", NULL, NULL},
        {"/j/{x}", "/j/a:go", NULL, NULL},
        {"/j/{x}/f/{y}", "/j/a/f/b", "a", "b"},
        {"/j/{x}/f/{y}", "/j/a/f/", NULL, NULL},
        {"/j/{x}/f/{y}", "/j//f/b", NULL, NULL},
        {"/j/{x}/f/{y}", "/j/a/f/b/c", NULL, NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *params[HTTP_PARAMS] = {NULL};
        bool got = routes_match(cases[i].pattern, cases[i].path, params);

        ck_assert_msg(got == (cases[i].first != NULL), "case %zu: %s, %s", i, cases[i].pattern,
                      cases[i].path);
        if (got && cases[i].first[0])
            ck_assert_str_eq(params[0], cases[i].first);
        else
            ck_assert_msg(!params[0], "case %zu: a parameter is left", i);
        if (cases[i].second)
            ck_assert_str_eq(params[1], cases[i].second);
        clear(params);
    }
}
END_TEST

/* The pattern with every {..} filled in. */
static char *example(const char *pattern)
{
    struct buf b = buf_new(0);

    for (; *pattern; pattern++)
        if (*pattern == '{') {
            buf_str(&b, "x");
            pattern = strchr(pattern, '}');
        } else {
            buf_add(&b, pattern, 1);
        }
    return buf_take(&b);
}

/* The row that a request reaches. */
static size_t reached(const char *method, const char *path)
{
    char *params[HTTP_PARAMS] = {NULL};
    size_t i = 0;

    while (i < n_routes && !(strcmp(routes[i].method, method) == 0 &&
                             routes_match(routes[i].pattern, path, params)))
        i++;
    clear(params);
    return i;
}

START_TEST(every_route_is_reached_and_guarded)
{
    for (size_t i = 0; i < n_routes; i++) {
        const struct route *r = &routes[i];
        char *path = example(r->pattern);
        bool reads = strcmp(r->method, "GET") == 0;

        ck_assert_msg(reads ? !r->done : r->done / 100 == 2, "%s %s", r->method, r->pattern);
        ck_assert_msg(reached(r->method, path) == i, "%s %s is hidden by an earlier one", r->method,
                      r->pattern);
        if (strcmp(r->pattern, "/api/v1/session") == 0)
            ck_assert_int_eq(r->access,
                             strcmp(r->method, "POST") == 0 ? ACCESS_TOKEN : ACCESS_READ);
        else if (str_starts(r->pattern, "/api/v1/tokens") ||
                 str_starts(r->pattern, "/api/v1/audit") ||
                 str_starts(r->pattern, "/api/v1/admin:") || str_starts(r->pattern, "/api/v1/gc:"))
            ck_assert_msg(r->access == ACCESS_ADMIN, "%s %s", r->method, r->pattern);
        else if (str_starts(r->pattern, "/api/v1/webhooks")) /* their addresses may be secrets */
            ck_assert_msg(r->access == ACCESS_OPERATE, "%s %s", r->method, r->pattern);
        else if (str_starts(r->pattern, "/api/"))
            ck_assert_msg(reads ? r->access == ACCESS_READ
                                : r->access == ACCESS_SUBMIT || r->access == ACCESS_OPERATE,
                          "%s %s", r->method, r->pattern);
        else
            ck_assert_msg(reads, "%s changes something", r->pattern);
        free(path);
    }
}
END_TEST

START_TEST(only_whole_escapes_are_decoded)
{
    static const struct {
        const char *in, *out; /* NULL: refused */
    } cases[] = {
        {"", ""},       {"a+b", "a+b"},         {"%41%2f%2F", "A//"}, {"%25%32", "%2"},
        {"%", NULL},    {"%4", NULL},           {"a%4", NULL},        {"%4g", NULL},
        {"%g4", NULL},  {"%00", NULL},          {"a%00b", NULL},      {"%zz", NULL},
        {"%%41", NULL}, {"%c3%bc", "\xc3\xbc"}, {"%ff", "\xff"},      {"%0a", "\n"},
        {"%-1", NULL},  {"% 1", NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *text = str_dup(cases[i].in);
        bool ok = http_decode(text);

        ck_assert_msg(ok == (cases[i].out != NULL), "case %zu: %s", i, cases[i].in);
        if (ok)
            ck_assert_msg(strcmp(text, cases[i].out) == 0, "case %zu: %s", i, text);
        free(text);
    }
}
END_TEST

START_TEST(every_error_has_a_problem_of_its_status)
{
    for (enum err_code c = 0; c < ERR_CODE_COUNT; c++) {
        const struct problem_kind *k = problem_find(err_name(c));

        if (err_http_status(c) < 400)
            continue;
        ck_assert_msg(k, "no problem \"%s\"", err_name(c));
        ck_assert_msg(k->status == err_http_status(c), "%s: %d and %d", k->code, k->status,
                      err_http_status(c));
        ck_assert_msg(k->title[0] && k->text[0], "%s says nothing", k->code);
    }
    ck_assert_ptr_null(problem_find("none"));
    ck_assert_ptr_null(problem_find(""));
}
END_TEST

/* -- The description of the API ---------------------------------------------------------------- */

static bool is_method(const char *name)
{
    static const char *const names[] = {"get", "post", "patch", "put", "delete"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* Calls fn with "METHOD PATH" of every operation, and returns the document. Its layout is fixed: paths
 * at two spaces, methods at four. */
static char *read_description(void (*fn)(const char *method, const char *path, void *arg),
                              void *arg)
{
    char *name = str_path(getenv("srcdir") ? getenv("srcdir") : ".", "proto/wire/openapi.yaml");
    struct buf text = buf_new(1 << 20);
    char path[128] = "", method[16];
    struct error err;

    ck_assert_ok(file_read(name, &text, &err), err);
    for (const char *line = buf_text(&text); line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (sscanf(line, "  /%126[^\n]", path + 1) == 1 && str_starts(line, "  /")) {
            path[0] = '/';
            ck_assert_msg(str_ends(path, ":"), "%s", path);
            path[strlen(path) - 1] = '\0';
        } else if (str_starts(line, "    ") && sscanf(line, "    %15[a-z]:", method) == 1 &&
                   is_method(method)) {
            for (char *c = method; *c; c++)
                *c = (char)(*c - 'a' + 'A');
            fn(method, path, arg);
        }
    }
    free(name);
    return buf_take(&text);
}

static void mark_route(const char *method, const char *path, void *arg)
{
    bool *seen = arg;

    for (size_t i = 0; i < n_routes; i++)
        if (strcmp(routes[i].method, method) == 0 && strcmp(routes[i].pattern, path) == 0) {
            ck_assert_msg(!seen[i], "%s %s is described twice", method, path);
            seen[i] = true;
            return;
        }
    ck_assert_msg(false, "%s %s is described, but there is no such route", method, path);
}

START_TEST(what_is_described_is_what_there_is)
{
    bool *seen = NEW_ARRAY(bool, n_routes);
    char *text = read_description(mark_route, seen);

    for (size_t i = 0; i < n_routes; i++)
        ck_assert_msg(seen[i], "%s %s is not described", routes[i].method, routes[i].pattern);
    for (size_t i = 0; i < n_problem_kinds; i++) {
        char *entry = str_fmt("        - %s\n", problem_kinds[i].code);

        ck_assert_msg(strstr(text, entry), "the problem %s is not described",
                      problem_kinds[i].code);
        free(entry);
    }
    for (enum job_state s = 0; s < JOB_STATE_COUNT; s++) {
        const char *at = strstr(text, "enum: [queued,");

        ck_assert_msg(strstr(at, job_state_name(s)) &&
                          strstr(at, job_state_name(s)) < strchr(at, ']'),
                      "the state %s is not described", job_state_name(s));
    }
    free(text);
    free(seen);
}
END_TEST

/* Both lists are short: " a b* " holds " a " and " b* ". */
static bool is_listed(const char *names, const char *name)
{
    char *all = str_fmt(" %s ", names), *one = str_fmt(" %s ", name);
    const bool found = strstr(all, one);

    free(all);
    free(one);
    return found;
}

/* The query parameters that the operation describes, as inputs.h lists names. */
static char *described_names(const struct json *operation)
{
    const struct json *parameters = js_get(operation, "parameters");
    struct buf names = buf_new(0);

    for (size_t i = 0; i < js_len(parameters); i++) {
        const struct json *p = js_at(parameters, i);
        const char *name = js_string(js_get(p, "name"), "");
        const bool list = strcmp(js_string(js_path(p, "schema.type"), ""), "array") == 0;

        if (strcmp(js_string(js_get(p, "in"), ""), "query") == 0)
            buf_fmt(&names, "%s%s%s", names.len ? " " : "", name,
                    list && js_bool(js_get(p, "explode"), true) ? "*" : "");
    }
    return buf_take(&names);
}

static void check_names(const struct route *r, const char *described)
{
    char *taken = str_dup(inputs_parameters(r)), *copy = str_dup(described), *rest = taken;

    for (char *name = strtok_r(taken, " ", &rest); name; name = strtok_r(NULL, " ", &rest))
        ck_assert_msg(is_listed(described, name), "%s %s: %s is not described so", r->method,
                      r->pattern, name);
    rest = copy;
    for (char *name = strtok_r(copy, " ", &rest); name; name = strtok_r(NULL, " ", &rest))
        ck_assert_msg(is_listed(inputs_parameters(r), name), "%s %s: %s is not taken so", r->method,
                      r->pattern, name);
    free(taken);
    free(copy);
}

START_TEST(what_a_request_brings_is_as_described)
{
    struct buf answer = buf_new(0);
    struct sockaddr_in a;
    struct daemon d;
    struct json *all;

    rig_open(&d, "described", 16);
    a = rig_serve(&d);
    ck_assert_int_eq(rig_ask(&d, &a, "GET", "/api/v1/openapi.json", "", "", &answer), 200);
    all = rig_json(&answer);
    for (size_t i = 0; i < n_routes; i++) {
        const struct route *r = &routes[i];
        char method[8] = "", *names;
        const struct json *operation;

        for (size_t k = 0; r->method[k]; k++)
            method[k] = (char)tolower((unsigned char)r->method[k]);
        operation = js_get(js_get(js_get(all, "paths"), r->pattern), method);
        names = described_names(operation);
        if (strcmp(inputs_parameters(r), INPUTS_ANY) != 0)
            check_names(r, names);
        ck_assert_msg(inputs_have_body(r) == (js_get(operation, "requestBody") != NULL),
                      "%s %s: a body is taken or described, but not both", r->method, r->pattern);
        free(names);
    }
    js_free(all);
    buf_free(&answer);
    rig_hang_up(&d);
    rig_close(&d);
}
END_TEST

/* -- Keys and tokens --------------------------------------------------------------------------- */

START_TEST(keys_are_strings_with_or_without_quotes)
{
    static const struct {
        const char *text, *key; /* NULL: refused */
    } cases[] = {
        {"\"a\"", "a"},         {"a", "a"},           {" \"a b\" ", "a b"}, {"a b", "a b"},
        {"\"a\\\"b\"", "a\"b"}, {"\"a\\\\\"", "a\\"}, {"\"\"", NULL},       {"", NULL},
        {"  ", NULL},           {"\"", NULL},         {"\"a", NULL},        {"a\"", NULL},
        {"\"a\"b\"", NULL},     {"\"a\\\"", NULL},    {"\"a\\b\"", NULL},   {"\"a\";x=1", NULL},
        {"\xc3\xbc", NULL},     {"a\x01", NULL},
    };
    char key[IDEMPOTENCY_KEY_MAX + 1], text[300];
    struct error err;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool ok = idempotency_parse(cases[i].text, strlen(cases[i].text), key, &err);

        ck_assert_msg(ok == (cases[i].key != NULL), "case %zu: %s", i, cases[i].text);
        if (ok)
            ck_assert_msg(strcmp(key, cases[i].key) == 0, "case %zu: %s", i, key);
    }
    memset(text, 'k', sizeof(text));
    ck_assert(idempotency_parse(text, IDEMPOTENCY_KEY_MAX, key, &err));
    ck_assert_uint_eq(strlen(key), IDEMPOTENCY_KEY_MAX);
    ck_assert(!idempotency_parse(text, IDEMPOTENCY_KEY_MAX + 1, key, &err));
}
END_TEST

START_TEST(a_page_token_is_good_for_its_list_only)
{
    char token[PAGE_TOKEN_SIZE], bad[PAGE_TOKEN_SIZE];
    int64_t seq;

    for (int64_t want = 1; want > 0 && want < INT64_MAX / 9; want *= 7) {
        page_token("secret", "&state=failed", want, token);
        ck_assert(page_token_read("secret", "&state=failed", token, &seq));
        ck_assert_int_eq(seq, want);
        ck_assert(!page_token_read("secret", "", token, &seq));
        ck_assert(!page_token_read("other", "&state=failed", token, &seq));
        for (size_t i = 0; token[i]; i++) {
            memcpy(bad, token, sizeof(bad));
            bad[i] = bad[i] == '0' ? '1' : '0';
            ck_assert_msg(!page_token_read("secret", "&state=failed", bad, &seq), "%s", bad);
        }
    }
    ck_assert(!page_token_read("secret", "", "", &seq));
    ck_assert(!page_token_read("secret", "", "17", &seq));
}
END_TEST

/* Those that run, in the same order as all. */
static void check_busy(const struct daemon *d, uint64_t round)
{
    size_t at = 0;

    for (size_t i = 0; i < d->active.n; i++)
        if (d->active.at[i]->job->state == JOB_RUNNING)
            ck_assert_msg(at < d->busy.n && d->busy.at[at++] == d->active.at[i],
                          "round %d: a job that runs is not among the busy ones", (int)round);
    ck_assert_uint_eq(at, d->busy.n);
}

START_TEST(active_jobs_stand_in_the_order_of_arrival)
{
    struct daemon d = {.settings = {.slots = 1}};
    uint64_t key = rng_key(unit_seed(), 1);

    for (uint64_t round = 0; round < 300; round++) {
        int64_t seq = 1000 * (int64_t)rng_below(key, round, 1000) + (int64_t)round;
        struct job *j = rig_job((int)seq); /* ids rise with it */
        struct active *any;

        j->seq = seq;
        if (rng_below(key, 2000 + round, 2))
            j->state = JOB_RUNNING;
        daemon_add_active(&d, j);
        check_busy(&d, round);
        any = d.active.at[rng_below(key, 3000 + round, d.active.n)];
        any->job->state = any->job->state == JOB_RUNNING ? JOB_QUEUED : JOB_RUNNING;
        daemon_note_change(&d, any);
        check_busy(&d, round);
        if (d.active.n > 20) /* any one leaves */
            daemon_drop_active(&d, d.active.at[rng_below(key, 1000 + round, d.active.n)]);
        for (size_t i = 1; i < d.active.n; i++)
            ck_assert_msg(d.active.at[i - 1]->job->seq <= d.active.at[i]->job->seq,
                          "round %d: out of order", (int)round);
    }
    while (d.active.n) {
        struct active *a = d.active.at[d.active.n / 2];
        char id[JOB_ID_SIZE];

        memcpy(id, a->job->id, sizeof(id));
        ck_assert_ptr_eq(daemon_active(&d, id), a);
        daemon_drop_active(&d, a);
        ck_assert_ptr_null(daemon_active(&d, id));
        check_busy(&d, d.active.n);
    }
    daemon_drop_all(&d);
}
END_TEST

UNIT_MAIN(thin_curves_keep_their_ends_and_extremes, every_event_has_its_place_or_none,
          names_of_states_read_back, an_end_means_what_the_table_says,
          a_job_waits_for_what_it_needs, the_names_of_what_it_waits_for_fit_a_reason,
          what_a_job_was_stopped_for_costs_nothing, a_resize_is_no_failed_attempt,
          a_job_whose_time_is_over_is_not_tried_again, each_class_has_its_own_budget,
          the_kernels_log_names_who_was_short_of_memory, pauses_double_up_to_a_limit_and_are_spread,
          no_pause_stays_none_however_often_it_doubles,
          only_a_stop_that_was_asked_for_costs_no_pause, patterns_match_whole_paths,
          every_route_is_reached_and_guarded, only_whole_escapes_are_decoded,
          every_error_has_a_problem_of_its_status, what_is_described_is_what_there_is,
          what_a_request_brings_is_as_described, keys_are_strings_with_or_without_quotes,
          a_page_token_is_good_for_its_list_only, active_jobs_stand_in_the_order_of_arrival)
