#include "daemon/queue.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

enum {
    DIGIT_BITS = 11, /* times and a few priorities differ in two or three such digits */
    DIGIT_MASK = (1 << DIGIT_BITS) - 1
};

/* More than priorities (of 32 bits) and times can differ by. */
static const int64_t FIRST = INT64_C(1) << 61;

int64_t queue_ahead(int64_t priority, bool first)
{
    return priority * QUEUE_AGING_MS + (first ? FIRST : 0);
}

/* The difference of two is that of effective priorities, in units of waiting time, at any moment. */
static int64_t rank_of(const struct queue_place *p)
{
    return p->ahead_ms - p->arrived_ms;
}

/* How far behind the first one it stands. */
static uint64_t key_of(const struct queue_place *p, int64_t first)
{
    return (uint64_t)first - (uint64_t)rank_of(p);
}

/* By one digit of the keys; those that have the same stay in order, which is that of arrival. */
static void sort_digit(const struct queue_place *from, struct queue_place *to, size_t n,
                       int64_t first, int shift)
{
    size_t at[1 << DIGIT_BITS] = {0}, sum = 0;

    for (size_t i = 0; i < n; i++)
        at[key_of(&from[i], first) >> shift & DIGIT_MASK]++;
    for (size_t k = 0; k <= DIGIT_MASK; k++) {
        const size_t count = at[k];

        at[k] = sum;
        sum += count;
    }
    for (size_t i = 0; i < n; i++)
        to[at[key_of(&from[i], first) >> shift & DIGIT_MASK]++] = from[i];
}

/* The lowest digit first: a long queue is sorted anew in each pass, and no comparison of two places is as cheap. */
static void sort(struct queue_place *places, size_t n, int64_t first, int64_t last)
{
    struct queue_place *other = NEW_ARRAY(struct queue_place, n), *from = places, *to = other;
    const uint64_t most = (uint64_t)first - (uint64_t)last;

    for (int shift = 0; shift < 64 && most >> shift; shift += DIGIT_BITS) {
        struct queue_place *sorted = to;

        sort_digit(from, to, n, first, shift);
        to = from;
        from = sorted;
    }
    if (from != places)
        memcpy(places, from, n * sizeof(*places));
    free(other);
}

void queue_order(struct queue_place *places, size_t n)
{
    int64_t first = INT64_MIN, last = INT64_MAX, before = INT64_MAX;
    bool ordered = true;

    for (size_t i = 0; i < n; i++) {
        int64_t rank;

        /* The clock may have been set back; whoever came later did not wait longer. */
        if (i && places[i].arrived_ms < places[i - 1].arrived_ms)
            places[i].arrived_ms = places[i - 1].arrived_ms;
        rank = rank_of(&places[i]);
        ordered = ordered && rank <= before;
        first = rank > first ? rank : first;
        last = rank < last ? rank : last;
        before = rank;
    }
    /* Mostly all have one priority, and stand in order already. */
    if (!ordered)
        sort(places, n, first, last);
}

void queue_go_behind(struct queue_place *p, const struct queue_place *other)
{
    const int64_t before = rank_of(p) - rank_of(other);

    if (before >= 0)
        p->ahead_ms -= before + 1;
}

/* The earliest start that is free of all plans made before. */
static void plan(struct queue_job *j, struct timeline *t, size_t n_hosts)
{
    int64_t *given = NEW_ARRAY(int64_t, n_hosts);

    j->start_ms = timeline_find(t, j->ranks, j->threads, j->left_ms, given);
    if (j->start_ms != TIMELINE_EVER)
        timeline_take(t, j->start_ms, j->left_ms, given, j->threads);
    if (j->start_ms == 0)
        j->given = given;
    else
        free(given);
}

static int by_end(const void *a, const void *b)
{
    const struct queue_running *const *x = a, *const *y = b;

    return ((*x)->left_ms > (*y)->left_ms) - ((*x)->left_ms < (*y)->left_ms);
}

/* What running jobs leave, and when. One whose time is over is about to end. */
static struct timeline *future(const struct queue_running *running, size_t n_running,
                               const struct place_host *hosts, size_t n_hosts)
{
    const struct queue_running **ends = NEW_ARRAY(const struct queue_running *, n_running);
    struct timeline *t = timeline_new(hosts, n_hosts);

    for (size_t i = 0; i < n_running; i++)
        ends[i] = &running[i];
    if (n_running)
        qsort(ends, n_running, sizeof(*ends), by_end);
    for (size_t i = 0; i < n_running && ends[i]->left_ms != TIMELINE_EVER; i++)
        timeline_release(t, ends[i]->left_ms > 1 ? ends[i]->left_ms : 1, ends[i]->ranks,
                         ends[i]->threads);
    free(ends);
    return t;
}

static bool allows(struct queue_quota *q, const struct queue_job *j)
{
    int64_t slots = j->ranks * j->threads;

    if (slots > q->limit)
        return false;
    q->closed |= slots > q->left;
    return !q->closed;
}

/* Starts it with more ranks, if no plan is in the way. */
static bool widen(struct queue_job *j, int64_t ranks, struct timeline *t, size_t n_hosts)
{
    int64_t *given = NEW_ARRAY(int64_t, n_hosts), *other = given;
    bool ok;

    timeline_take_back(t, 0, j->left_ms, j->given, j->threads);
    ok = timeline_find(t, ranks, j->threads, j->left_ms, given) == 0;
    if (ok) {
        other = j->given;
        j->given = given;
        j->ranks = ranks;
    }
    free(other);
    timeline_take(t, 0, j->left_ms, j->given, j->threads);
    return ok;
}

static bool may_widen(const struct queue_job *j, const struct queue_quota *quotas)
{
    const struct queue_quota *q = quotas ? &quotas[j->project] : NULL;

    return j->given && 2 * j->ranks <= j->most &&
           (!q || (!q->closed && j->ranks * j->threads <= q->left));
}

static void widen_all(struct queue_job *jobs, size_t n, struct timeline *t, size_t n_hosts,
                      struct queue_quota *quotas)
{
    bool again = true;

    while (again) {
        again = false;
        for (size_t i = 0; i < n; i++) {
            struct queue_job *j = &jobs[i];
            const int64_t more = j->ranks;

            if (!may_widen(j, quotas) || !widen(j, 2 * more, t, n_hosts))
                continue;
            if (quotas)
                quotas[j->project].left -= more * j->threads;
            again = true;
        }
    }
}

size_t queue_decide(struct queue_job *jobs, size_t n, const struct queue_running *running,
                    size_t n_running, const struct place_host *hosts, size_t n_hosts,
                    struct queue_quota *quotas)
{
    struct timeline *t = future(running, n_running, hosts, n_hosts);
    size_t waiting = 0, i;
    bool held = false;

    for (i = 0; i < n; i++)
        jobs[i].start_ms = TIMELINE_EVER;
    for (i = 0; i < n && !held && waiting < QUEUE_DEPTH; i++) {
        struct queue_job *j = &jobs[i];

        if (j->ranks > place_capacity(hosts, n_hosts, j->threads))
            continue;
        j->over_quota = quotas && !allows(&quotas[j->project], j);
        if (j->over_quota)
            continue;
        plan(j, t, n_hosts);
        if (quotas)
            quotas[j->project].left -= j->ranks * j->threads;
        held = j->start_ms == TIMELINE_EVER;
        waiting += j->start_ms != 0;
    }
    widen_all(jobs, i, t, n_hosts, quotas);
    timeline_free(t);
    return i;
}
