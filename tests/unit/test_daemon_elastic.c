/* daemon: jobs that leave their ranks to the queue: what they get, give up, and get back. */
#include <stdlib.h>
#include <string.h>

#include "daemon/attempts.h"
#include "daemon/elastic.h"
#include "daemon/hosts.h"
#include "daemon/lifecycle.h"
#include "daemon/sched.h"
#include "proto/base/clock.h"
#include "proto/base/rng.h"
#include "proto/base/str.h"
#include "tests/unit/daemon_rig.h"
#include "tests/unit/unit.h"

enum {
    HOSTS = 3,
    LIFE = 24,
    PROJECTS = 2
};

/* -- A small cluster that lives through a queue ------------------------------------------------------- */

enum stage {
    WAITS,
    RUNS,
    STOPS,
    OVER
};

struct life_job {
    enum stage stage;
    int64_t arrives, length, limit;
    int64_t min, max, threads;
    size_t project;
    /* Of one that runs. */
    int64_t ranks, on[HOSTS], ran, since;
    int64_t want; /* it stopped, or stops, to go on with so many; 0: it did not */
};

struct life {
    struct place_host hosts[HOSTS];
    struct queue_quota quotas[PROJECTS];
    struct life_job jobs[LIFE];
    int64_t now, grow_after;
    size_t changes; /* in the newest step */
    /* A job for which another one gave up ranks: it, or one before it, starts in the next step. */
    size_t promised;
    size_t first; /* that waits after the newest step; LIFE: nobody */
    int64_t first_starts;
};

static bool is_elastic(const struct life_job *j)
{
    return j->min < j->max;
}

static int64_t draw(uint64_t key, uint64_t what, size_t i, uint64_t n)
{
    return (int64_t)rng_below(key, 1000 * what + i, n);
}

/* spread: jobs come one after the other, not all at once. */
static void begin(struct life *l, uint64_t key, bool limits, bool spread)
{
    *l = (struct life){.grow_after = 3, .promised = LIFE, .first = LIFE};
    for (size_t h = 0; h < HOSTS; h++)
        l->hosts[h].slots = l->hosts[h].free = 1 + draw(key, 1, h, 8);
    for (size_t p = 0; p < PROJECTS; p++)
        l->quotas[p].limit = l->quotas[p].left = draw(key, 9, p, 3) ? INT64_MAX : 6;
    for (size_t i = 0; i < LIFE; i++) {
        struct life_job *j = &l->jobs[i];

        j->arrives = spread ? 2 * (int64_t)i : 0;
        j->threads = 1 + draw(key, 2, i, 2);
        j->min = INT64_C(1) << draw(key, 3, i, 3);
        j->max = j->min << draw(key, 4, i, 4);
        j->length = 2 + draw(key, 5, i, 20);
        j->limit = limits ? j->length + draw(key, 6, i, 5) : TIMELINE_EVER;
        j->project = (size_t)draw(key, 7, i, PROJECTS);
        if (j->min > place_capacity(l->hosts, HOSTS, j->threads) ||
            j->min * j->threads > l->quotas[j->project].limit)
            j->stage = OVER; /* it would wait for ever */
    }
}

static void hold(struct life *l, const struct life_job *j, int64_t sign)
{
    for (size_t h = 0; h < HOSTS; h++) {
        l->hosts[h].free -= sign * j->on[h] * j->threads;
        ck_assert_msg(l->hosts[h].free >= 0 && l->hosts[h].free <= l->hosts[h].slots,
                      "a slot of host %zu was given twice", h);
    }
    l->quotas[j->project].left -= sign * j->ranks * j->threads;
    ck_assert_msg(l->quotas[j->project].left >= 0, "project %zu has more than its quota",
                  j->project);
}

static int64_t left_of(const struct life_job *j)
{
    return j->limit == TIMELINE_EVER ? TIMELINE_EVER : j->limit - j->ran;
}

/* How many ended, other than to go on with other ranks. */
static size_t pass_time(struct life *l)
{
    size_t ended = 0;

    for (size_t i = 0; i < LIFE; i++) {
        struct life_job *j = &l->jobs[i];

        if (j->stage != RUNS && j->stage != STOPS)
            continue;
        j->ran++;
        if (j->ran < j->length && j->stage == RUNS)
            continue;
        hold(l, j, -1);
        j->stage = j->ran < j->length ? WAITS : OVER;
        ended += j->stage == OVER;
    }
    return ended;
}

/* Those that stopped for other ranks come first, then the others as they came. */
static size_t line_up(const struct life *l, size_t *who)
{
    size_t n = 0;

    for (int first = 1; first >= 0; first--)
        for (size_t i = 0; i < LIFE; i++)
            if (l->jobs[i].stage == WAITS && l->jobs[i].arrives <= l->now &&
                (l->jobs[i].want != 0) == first)
                who[n++] = i;
    return n;
}

static struct queue_job in_line(const struct life_job *j)
{
    return (struct queue_job){.ranks = j->min,
                              .most = j->want ? j->want : j->max,
                              .threads = j->threads,
                              .left_ms = left_of(j),
                              .project = j->project};
}

static struct queue_running running_of(const struct life_job *j)
{
    return (struct queue_running){j->on, j->threads, left_of(j)};
}

static void start(struct life *l, struct life_job *j, const struct queue_job *q)
{
    int64_t sum = 0;

    for (size_t h = 0; h < HOSTS; h++)
        sum += q->given[h];
    ck_assert_msg(sum == q->ranks && sum >= j->min && sum <= j->max && !(sum & (sum - 1)),
                  "a job of %ld to %ld ranks got %ld", (long)j->min, (long)j->max, (long)sum);
    memcpy(j->on, q->given, sizeof(j->on));
    j->ranks = sum;
    j->stage = RUNS;
    j->since = l->now;
    j->want = 0;
    hold(l, j, 1);
}

/* Starts who may; the first in line afterwards. Jobs that start are marked. */
static void decide(struct life *l, bool *began)
{
    struct queue_job queue[LIFE];
    struct queue_running running[LIFE];
    struct queue_quota quotas[PROJECTS];
    size_t who[LIFE], n = line_up(l, who), r = 0;

    for (size_t i = 0; i < n; i++)
        queue[i] = in_line(&l->jobs[who[i]]);
    for (size_t i = 0; i < LIFE; i++)
        if (l->jobs[i].stage == RUNS || l->jobs[i].stage == STOPS)
            running[r++] = running_of(&l->jobs[i]);
    memcpy(quotas, l->quotas, sizeof(quotas));
    queue_decide(queue, n, running, r, l->hosts, HOSTS, quotas);
    l->first = LIFE;
    for (size_t i = 0; i < n; i++) {
        const struct queue_job *q = &queue[i];

        if (q->given) {
            began[who[i]] = true;
            start(l, &l->jobs[who[i]], q);
            free(q->given);
        } else if (l->first == LIFE) {
            /* Nothing is promised to one that waits for its project. */
            l->first = who[i];
            l->first_starts = q->start_ms == TIMELINE_EVER ? TIMELINE_EVER : l->now + q->start_ms;
        }
    }
}

static bool may_change(const struct life_job *j)
{
    return is_elastic(j) && j->stage == RUNS;
}

static void apply(struct life *l, const struct elastic_job *e, size_t n, const size_t *whose)
{
    for (size_t i = 0; i < n; i++) {
        struct life_job *j = &l->jobs[whose[i]];

        if (e[i].want == e[i].ranks)
            continue;
        ck_assert_msg(!e[i].stopping && e[i].want >= j->min && e[i].want <= j->max,
                      "%ld ranks for a job of %ld to %ld", (long)e[i].want, (long)j->min,
                      (long)j->max);
        ck_assert_msg(e[i].want < j->ranks || l->now >= j->since + l->grow_after,
                      "more ranks too soon");
        j->want = e[i].want;
        j->stage = STOPS;
        l->changes++;
    }
}

/* Those that run and did not start in this step. */
static void change(struct life *l, const bool *began)
{
    struct queue_job queue[LIFE];
    struct queue_running running[LIFE];
    struct elastic_job elastic[LIFE];
    size_t who[LIFE], whose[LIFE], n = line_up(l, who), r = 0, e = 0, starts;
    struct elastic_view v;

    for (size_t i = 0; i < n; i++)
        queue[i] = in_line(&l->jobs[who[i]]);
    for (size_t i = 0; i < LIFE; i++) {
        const struct life_job *j = &l->jobs[i];

        if (began[i] || (j->stage == RUNS && !is_elastic(j))) {
            running[r++] = running_of(j);
        } else if (may_change(j)) {
            whose[e] = i;
            elastic[e++] = (struct elastic_job){
                .run = running_of(j),
                .ranks = j->ranks,
                .project = j->project,
                .least = j->min,
                .most = l->now >= j->since + l->grow_after ? j->max : j->ranks};
        }
    }
    v = (struct elastic_view){queue, n, running, r, l->hosts, HOSTS, l->quotas, PROJECTS, 1};
    l->changes = 0;
    l->promised = LIFE;
    if (!elastic_decide(&v, elastic, e, &starts))
        return;
    apply(l, elastic, e, whose);
    ck_assert_msg(l->changes > 0, "a change of nothing");
    if (starts < n)
        l->promised = who[starts];
    else
        ck_assert_msg(l->changes == 1, "%zu jobs get more ranks at once", l->changes);
}

static void step(struct life *l)
{
    const size_t promised = l->promised, first = l->first;
    const int64_t was = l->first_starts;
    /* What was decided held for the world as it was: an end changes all plans. */
    const bool same = pass_time(l) == 0 || l->changes == 0;
    bool began[LIFE] = {false}, kept = promised == LIFE || !same;

    decide(l, began);
    for (size_t i = 0; !kept && i <= promised; i++)
        kept = began[i] && (i == promised || l->jobs[i].ran == 0);
    ck_assert_msg(kept, "time %ld: ranks were given up for job %zu, which did not start",
                  (long)l->now, promised);
    ck_assert_msg(!same || first == LIFE || l->first != first || l->first_starts <= was,
                  "time %ld: job %zu, first in line, was to start at %ld, now at %ld", (long)l->now,
                  first, (long)was, (long)l->first_starts);
    change(l, began);
    l->now++;
}

static bool is_over(const struct life *l)
{
    for (size_t i = 0; i < LIFE; i++)
        if (l->jobs[i].stage != OVER)
            return false;
    return true;
}

static const struct {
    bool limits, spread;
} worlds[] = {{false, false}, {true, false}, {false, true}, {true, true}};

START_TEST(ranks_change_within_their_range_and_for_a_reason)
{
    for (uint64_t round = 0; round < 200; round++) {
        const size_t w = round % ARRAY_LEN(worlds);
        struct life l;

        for (begin(&l, rng_key(unit_seed(), round), worlds[w].limits, worlds[w].spread);
             !is_over(&l); step(&l))
            ck_assert_msg(l.now < 10000, "round %zu: a job waits for ever", (size_t)round);
    }
}
END_TEST

START_TEST(ranks_settle_when_nothing_happens)
{
    size_t changed = 0;

    for (uint64_t round = 0; round < 60; round++) {
        struct life l;

        begin(&l, rng_key(unit_seed(), round), false, false);
        l.grow_after = 0;
        for (size_t i = 0; i < LIFE; i++) {
            l.jobs[i].length = TIMELINE_EVER;
            l.jobs[i].arrives = (int64_t)i / 4;
        }
        for (; l.now < 3 * LIFE; step(&l))
            ck_assert_msg(l.now < 2 * LIFE || !l.changes, "round %zu: ranks change for ever",
                          (size_t)round);
        for (size_t i = 0; i < LIFE; i++)
            changed += l.jobs[i].stage == RUNS && l.jobs[i].since > l.jobs[i].arrives;
    }
    ck_assert_int_gt(changed, 0);
}
END_TEST

/* -- Single decisions ---------------------------------------------------------------------------------- */

static void look(struct elastic_job *e, const struct queue_job *line, size_t n, int64_t free_slots,
                 size_t *starts)
{
    const struct place_host hosts[] = {{8, free_slots}};
    const struct queue_quota quotas[] = {{.limit = INT64_MAX, .left = INT64_MAX / 2}};
    const struct elastic_view v = {line, n, NULL, 0, hosts, 1, quotas, 1, 0};

    elastic_decide(&v, e, 1, starts);
}

START_TEST(no_more_is_given_up_than_is_needed)
{
    const int64_t on[] = {8};
    static const struct {
        int64_t ranks, want;
    } cases[] = {{1, 4}, {4, 4}, {5, 2}, {7, 1}, {8, 8}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct elastic_job e = {.run = {on, 1, TIMELINE_EVER}, .ranks = 8, .least = 1, .most = 8};
        const struct queue_job waits = {
            .ranks = cases[i].ranks, .threads = 1, .left_ms = TIMELINE_EVER};
        size_t starts;

        look(&e, &waits, 1, 0, &starts);
        ck_assert_msg(e.want == cases[i].want, "for %ld ranks: %ld are left", (long)cases[i].ranks,
                      (long)e.want);
        ck_assert_int_eq(starts, cases[i].want == 8);
    }
}
END_TEST

START_TEST(nobody_grows_into_what_is_planned)
{
    const int64_t on[] = {2}, others[] = {2};
    const struct place_host hosts[] = {{8, 4}};
    const struct queue_running running[] = {{others, 1, 10}};
    const struct queue_quota quotas[] = {{.limit = INT64_MAX, .left = INT64_MAX / 2}};
    static const struct {
        int64_t left_ms, want;
    } cases[] = {{10, 4}, {11, 2}, {TIMELINE_EVER, 2}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct elastic_job e = {
            .run = {on, 1, cases[i].left_ms}, .ranks = 2, .least = 2, .most = 4};
        const struct queue_job waits = {.ranks = 6, .threads = 1, .left_ms = 5};
        const struct elastic_view v = {&waits, 1, running, 1, hosts, 1, quotas, 1, 0};
        size_t starts;

        elastic_decide(&v, &e, 1, &starts);
        ck_assert_msg(e.want == cases[i].want, "case %zu: %ld ranks", i, (long)e.want);
    }
}
END_TEST

START_TEST(nobody_is_moved_into_what_is_planned)
{
    /* One rank fits the second host best, all of which the first in line is to have at 10. */
    const int64_t on[] = {2, 0}, others[] = {0, 3};
    const struct place_host hosts[] = {{3, 1}, {4, 1}};
    const struct queue_running running[] = {{others, 1, 10}};
    const struct queue_quota quotas[] = {{.limit = INT64_MAX, .left = INT64_MAX / 2}};
    const struct queue_job line[] = {{.ranks = 1, .threads = 4, .left_ms = 5},
                                     {.ranks = 1, .threads = 3, .left_ms = 5}};

    for (size_t first = 0; first < 2; first++) {
        const struct elastic_view v = {line + first, 2 - first, running, 1, hosts, 2, quotas, 1, 0};
        struct elastic_job e = {.run = {on, 1, 30}, .ranks = 2, .least = 1, .most = 2};
        size_t starts;

        elastic_decide(&v, &e, 1, &starts);
        ck_assert_int_eq(e.want, first ? 1 : 2);
    }
}
END_TEST

START_TEST(a_start_takes_what_nobody_else_can_use)
{
    static const struct {
        int64_t others, got;
    } cases[] = {{1, 4}, {4, 4}, {6, 2}, {7, 1}, {8, 8}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct place_host hosts[] = {{8, 8}};
        struct queue_job jobs[] = {
            {.ranks = 1, .most = 16, .threads = 1, .left_ms = TIMELINE_EVER},
            {.ranks = cases[i].others, .threads = 1, .left_ms = TIMELINE_EVER},
        };

        queue_decide(jobs, 2, NULL, 0, hosts, 1, NULL);
        ck_assert(jobs[0].given && (jobs[1].given || cases[i].others == 8));
        ck_assert_msg(jobs[0].ranks == cases[i].got, "beside %ld: %ld ranks", (long)cases[i].others,
                      (long)jobs[0].ranks);
        free(jobs[0].given);
        free(jobs[1].given);
    }
}
END_TEST

/* -- In a daemon --------------------------------------------------------------------------------------- */

static struct job *running(struct daemon *d, int n, int64_t ranks)
{
    struct job *j = rig_submit(d, n);
    char placement[32];
    struct error err;

    snprintf(placement, sizeof(placement), HOST_ALONE ":%d", (int)ranks);
    rig_set_state(d, j, JOB_RUNNING);
    j->attempt = 1;
    j->ranks_min = 1;
    j->ranks_max = 2;
    j->ranks = j->attempt_ranks = ranks;
    j->placement = str_dup(placement);
    ck_assert_ok(store_attempt_add(d->store, j->id, 1, 1, "", placement, &err), err);
    ck_assert_ok(store_job_update(d->store, j, &err), err);
    return j;
}

static void look_at_queue(struct daemon *d)
{
    d->pass_s = 0; /* or it would rest after the last one */
    sched_soon(d);
    rig_turn(d);
}

static void changes_to(struct daemon *d, const char *id, int64_t ranks, const char *code)
{
    struct error err;
    struct job *stored = store_job_get(d->store, id, &err);
    const struct job *j = daemon_active(d, id)->job;

    ck_assert_msg(stored, "%s", err.msg);
    ck_assert_int_eq(j->ranks, ranks);
    ck_assert_str_eq(j->reason.code, code);
    ck_assert(j->resize_requested && stored->resize_requested);
    ck_assert_int_eq(stored->ranks, ranks);
    ck_assert_str_eq(job_why(stored), job_why(j));
    job_destroy(stored);
}

START_TEST(a_running_job_gives_way_and_that_is_durable)
{
    struct daemon d;
    struct job *e, *waits;

    rig_open(&d, "shrink", 16);
    e = running(&d, 1, 2);
    waits = rig_submit(&d, 2);
    look_at_queue(&d);
    changes_to(&d, e->id, 1, "shrinking");
    ck_assert_ptr_nonnull(strstr(job_why(e), waits->id));
    /* Asked once, it is not asked for less, or for another one that waits. */
    rig_submit(&d, 3);
    look_at_queue(&d);
    changes_to(&d, e->id, 1, "shrinking");
    rig_close(&d);
}
END_TEST

START_TEST(who_can_give_way_is_not_stopped_whole)
{
    struct daemon d;
    struct job *e, *takes;

    rig_open(&d, "prefer", 16);
    e = running(&d, 1, 2);
    e->preemptible = true;
    e->min_runtime_ms = 0;
    takes = rig_submit(&d, 2);
    takes->preempt = true;
    takes->priority = 5;
    snprintf(takes->project, sizeof(takes->project), "other");
    look_at_queue(&d);
    changes_to(&d, e->id, 1, "shrinking");
    ck_assert(!e->yield_requested);
    /* Nobody is told what others call theirs. */
    ck_assert_msg(!strstr(job_why(e), takes->id), "%s", job_why(e));
    /* All of it is needed: then it stops. */
    e->resize_requested = false;
    e->ranks = 2;
    takes->ranks = 2;
    look_at_queue(&d);
    ck_assert(e->yield_requested && !e->resize_requested);
    ck_assert_str_eq(e->reason.code, "preempted");
    ck_assert_msg(!strstr(job_why(e), takes->id), "%s", job_why(e));
    rig_close(&d);
}
END_TEST

START_TEST(free_slots_are_taken_up_in_time)
{
    struct daemon d;
    struct job *j;

    rig_open(&d, "grow", 16);
    j = running(&d, 1, 1);
    ck_assert(job_can_grow(j));
    daemon_active(&d, j->id)->since_ns = clock_mono_ns();
    d.settings.grow_after_s = 1000;
    look_at_queue(&d);
    ck_assert(!j->resize_requested);
    d.settings.grow_after_s = 0;
    look_at_queue(&d);
    changes_to(&d, j->id, 2, "growing");
    rig_close(&d);
}
END_TEST

START_TEST(slots_are_taken_up_when_they_are_free)
{
    struct daemon d;
    struct job *j, *ends;

    rig_open(&d, "leaving", 16);
    j = running(&d, 1, 1);
    ends = running(&d, 2, 1);
    ends->cancel_requested = true;
    look_at_queue(&d);
    ck_assert(!j->resize_requested);
    daemon_drop_active(&d, daemon_active(&d, ends->id));
    look_at_queue(&d);
    changes_to(&d, j->id, 2, "growing");
    rig_close(&d);
}
END_TEST

/* It stopped for other ranks, and was held before it went on. */
START_TEST(who_is_held_keeps_no_slots)
{
    struct daemon d;
    struct active *a;
    struct job *j, *urgent;
    struct error err;
    bool already;

    rig_open(&d, "held", 16);
    d.paused = true;
    j = running(&d, 1, 2);
    a = daemon_active(&d, j->id);
    ck_assert_ok(lifecycle_resize(&d, a, 1, NULL, &err), err);
    ck_assert_ok(lifecycle_hold(&d, j->id, true, &already, &err), err);
    ck_assert_ok(lifecycle_apply(&d, a, EV_YIELDED, NULL, &err), err);
    ck_assert_ok(lifecycle_hold(&d, j->id, false, &already, &err), err);
    urgent = rig_submit(&d, 2);
    urgent->priority = 9;
    look_at_queue(&d);
    ck_assert_uint_eq(d.line.n, 2);
    ck_assert_int_eq(d.line.at[0].seq, urgent->seq);
    ck_assert_int_eq(job_most(j), 2);
    rig_close(&d);
}
END_TEST

/* A user lets others go before it: those that wait when it has stopped, however unimportant; not those that come
 * later. Also in the next run of the daemon. */
START_TEST(everybody_is_told_how_many_are_ahead)
{
    enum {
        JOBS = 40
    };
    struct job *jobs[JOBS];
    struct daemon d;

    rig_open(&d, "ahead", 64);
    d.paused = true;
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = rig_submit(&d, i);
        jobs[i]->priority = i % 2;
    }
    look_at_queue(&d);
    for (int twice = 0; twice < 2; twice++)
        for (int i = 0; i < JOBS; i++) {
            const int ahead = i % 2 ? i / 2 : JOBS / 2 + i / 2;
            char *want = str_fmt("; %d job%s ahead", ahead, ahead == 1 ? " is" : "s are");

            sched_explain(&d, daemon_active(&d, jobs[i]->id));
            ck_assert_msg(strstr(job_why(jobs[i]), want), "job %d: expected %s, got %s", i, want,
                          job_why(jobs[i]));
            free(want);
        }
    rig_close(&d);
}
END_TEST

START_TEST(who_was_made_to_stop_goes_behind_those_who_wait)
{
    struct daemon d;
    struct job *j, *waits, *later, *stored;
    struct error err;
    bool already;

    rig_open(&d, "behind", 16);
    d.paused = true;
    j = running(&d, 1, 2);
    j->priority = 9;
    waits = rig_submit(&d, 2);
    waits->priority = -9;
    ck_assert_ok(lifecycle_step_back(&d, j->id, &already, &err), err);
    ck_assert(!already && j->yield_requested);
    ck_assert_ok(lifecycle_step_back(&d, j->id, &already, &err), err);
    ck_assert(already);
    ck_assert_ok(lifecycle_apply(&d, daemon_active(&d, j->id), EV_YIELDED, NULL, &err), err);
    stored = store_job_get(d.store, j->id, &err);
    ck_assert_int_eq(stored->behind, waits->seq);
    job_destroy(stored);
    later = rig_submit(&d, 3);
    later->priority = -9;
    later->created_ms = waits->created_ms + 1000;
    look_at_queue(&d);
    ck_assert_uint_eq(d.line.n, 3);
    ck_assert_int_eq(d.line.at[0].seq, waits->seq);
    ck_assert_int_eq(d.line.at[1].seq, j->seq);
    ck_assert_int_eq(d.line.at[2].seq, later->seq);
    ck_assert_ok(lifecycle_step_back(&d, j->id, &already, &err), err);
    ck_assert(already);
    /* Once they are gone, it has its old place. */
    daemon_drop_active(&d, daemon_active(&d, waits->id));
    later->priority = 5;
    look_at_queue(&d);
    ck_assert_int_eq(d.line.at[0].seq, j->seq);
    ck_assert(!lifecycle_step_back(&d, later->id, &already, &err));
    ck_assert_int_eq(err.code, ERR_CONFLICT);
    rig_close(&d);
}
END_TEST

static void step_back(struct daemon *d, struct job *j)
{
    struct error err;
    bool already;

    ck_assert_ok(lifecycle_step_back(d, j->id, &already, &err), err);
    ck_assert_ok(lifecycle_apply(d, daemon_active(d, j->id), EV_YIELDED, NULL, &err), err);
}

static void check_line(struct daemon *d, const struct job *const *expected, size_t n)
{
    look_at_queue(d);
    ck_assert_uint_eq(d->line.n, n);
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(d->line.at[i].ahead == i && d->line.at[i].seq == expected[i]->seq,
                      "place %zu: job %d, not %d", i, (int)d->line.at[i].seq,
                      (int)expected[i]->seq);
}

/* Whoever stopped later stands behind, however important, in whatever order they came and as often as they go on. */
START_TEST(who_was_made_to_stop_goes_behind_those_who_were_before)
{
    static const size_t orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                       {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    const struct job *line[4];
    struct job *jobs[3], *stored, *waits;
    struct daemon d;
    struct error err;

    rig_open(&d, "turns", 16);
    d.paused = true;
    for (int i = 0; i < 3; i++) {
        jobs[i] = running(&d, i + 1, 2);
        jobs[i]->priority = 9 * (i - 1);
    }
    waits = rig_submit(&d, 4);
    waits->priority = -9;
    line[0] = waits;
    for (size_t round = 0; round < ARRAY_LEN(orders); round++) {
        for (size_t i = 0; i < 3; i++) {
            struct job *j = jobs[orders[round][i]];

            step_back(&d, j);
            line[i + 1] = j;
            stored = store_job_get(d.store, j->id, &err);
            ck_assert(stored->turn == j->turn && stored->behind == waits->seq);
            job_destroy(stored);
        }
        check_line(&d, line, 4);
        for (size_t i = 0; i < 3; i++) { /* they start again */
            jobs[i]->behind = 0;
            jobs[i]->yield_requested = false;
            rig_set_state(&d, jobs[i], JOB_RUNNING);
        }
    }
    rig_close(&d);
}
END_TEST

/* Its number is older, but it has come later. */
START_TEST(who_is_retried_later_is_not_let_by)
{
    struct job *old, *j, *waits;
    struct daemon d;
    struct error err;
    char id[JOB_ID_SIZE];

    rig_open(&d, "retried", 16);
    d.paused = true;
    old = rig_submit(&d, 1);
    old->priority = -9;
    memcpy(id, old->id, sizeof(id));
    ck_assert_ok(store_job_edit(d.store, old, &err), err);
    ck_assert_ok(lifecycle_apply(&d, daemon_active(&d, id), EV_CANCEL, NULL, &err), err);
    ck_assert_ptr_null(daemon_active(&d, id));
    j = running(&d, 2, 2);
    waits = rig_submit(&d, 3);
    step_back(&d, j);
    ck_assert_ok(lifecycle_retry(&d, id, &err), err);
    old = daemon_active(&d, id)->job;
    check_line(&d, (const struct job *[]){waits, j, old}, 3);
    rig_close(&d);
}
END_TEST

START_TEST(who_was_made_to_stop_stops_nobody)
{
    struct daemon d;
    struct job *runs, *back;

    rig_open(&d, "gentle", 16);
    runs = running(&d, 1, 2);
    runs->ranks_min = 2;
    runs->preemptible = true;
    runs->min_runtime_ms = 0;
    back = rig_submit(&d, 2);
    back->ranks = back->ranks_min = back->ranks_max = 2;
    back->preempt = true;
    back->priority = 5;
    back->behind = back->seq;
    look_at_queue(&d);
    ck_assert(!runs->yield_requested);
    back->behind = 0;
    look_at_queue(&d);
    ck_assert(runs->yield_requested);
    rig_close(&d);
}
END_TEST

START_TEST(while_the_queue_is_paused_nothing_stops)
{
    struct daemon d;
    struct job *j;

    rig_open(&d, "paused", 16);
    j = running(&d, 1, 1);
    d.paused = true;
    look_at_queue(&d);
    ck_assert(!j->resize_requested);
    rig_close(&d);
}
END_TEST

UNIT_MAIN(ranks_change_within_their_range_and_for_a_reason, ranks_settle_when_nothing_happens,
          no_more_is_given_up_than_is_needed, nobody_grows_into_what_is_planned,
          nobody_is_moved_into_what_is_planned, a_start_takes_what_nobody_else_can_use,
          a_running_job_gives_way_and_that_is_durable, who_can_give_way_is_not_stopped_whole,
          free_slots_are_taken_up_in_time, slots_are_taken_up_when_they_are_free,
          while_the_queue_is_paused_nothing_stops, who_is_held_keeps_no_slots,
          everybody_is_told_how_many_are_ahead, who_was_made_to_stop_goes_behind_those_who_wait,
          who_was_made_to_stop_goes_behind_those_who_were_before,
          who_is_retried_later_is_not_let_by, who_was_made_to_stop_stops_nobody)
