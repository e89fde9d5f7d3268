/* daemon: hosts and slots: the file that names them, who gets which, the queue for them. */
#include <stdlib.h>
#include <string.h>

#include "daemon/hostfile.h"
#include "daemon/hosts.h"
#include "daemon/preempt.h"
#include "daemon/queue.h"
#include "daemon/share.h"
#include "proto/base/file.h"
#include "proto/base/rng.h"
#include "proto/base/str.h"
#include "tests/unit/daemon_rig.h"
#include "tests/unit/unit.h"

enum {
    HOSTS = 5,
    QUEUE = 12
};

static int64_t below(uint64_t key, uint64_t n)
{
    static uint64_t draws;

    return (int64_t)rng_below(key, draws++, n);
}

static void draw_hosts(uint64_t key, struct place_host *hosts)
{
    for (size_t i = 0; i < HOSTS; i++) {
        int64_t slots = below(key, 8);

        hosts[i] = (struct place_host){slots, below(key, (uint64_t)slots + 1)};
    }
}

/* The least number of hosts that have room for the ranks, by trying all sets; HOSTS + 1 for none. */
static size_t fewest(const struct place_host *hosts, int64_t ranks, int64_t threads)
{
    size_t best = HOSTS + 1;

    for (unsigned set = 0; set < 1U << HOSTS; set++) {
        int64_t room = 0;
        size_t n = 0;

        for (size_t i = 0; i < HOSTS; i++)
            if (set >> i & 1) {
                room += hosts[i].free / threads;
                n++;
            }
        if (room >= ranks && n < best)
            best = n;
    }
    return best;
}

START_TEST(ranks_get_whole_slots_on_the_fewest_hosts)
{
    for (uint64_t round = 0; round < 5000; round++) {
        uint64_t key = rng_key(unit_seed(), round);
        struct place_host hosts[HOSTS];
        int64_t ranks = 1 + below(key, 12), threads = 1 + below(key, 3), given[HOSTS], sum = 0;
        size_t want, used = 0;
        bool placed;

        draw_hosts(key, hosts);
        want = fewest(hosts, ranks, threads);
        placed = place_ranks(hosts, HOSTS, ranks, threads, given);
        ck_assert_msg(placed == (want <= HOSTS), "round %zu: placed %d", (size_t)round, placed);
        for (size_t i = 0; i < HOSTS; i++) {
            ck_assert_msg(given[i] >= 0 && given[i] * threads <= hosts[i].free,
                          "round %zu: host %zu has more ranks than slots", (size_t)round, i);
            sum += given[i];
            used += given[i] > 0;
        }
        ck_assert_msg(sum == (placed ? ranks : 0), "round %zu: not all ranks", (size_t)round);
        ck_assert_msg(!placed || used == want, "round %zu: %zu hosts instead of %zu", (size_t)round,
                      used, want);
    }
}
END_TEST

START_TEST(of_hosts_with_room_the_fullest_is_taken)
{
    const struct place_host hosts[] = {{8, 8}, {8, 3}, {8, 2}, {8, 1}};
    int64_t given[4];

    ck_assert(place_ranks(hosts, 4, 2, 1, given));
    ck_assert_int_eq(given[2], 2);
}
END_TEST

START_TEST(queue_keeps_its_promises)
{
    for (uint64_t round = 0; round < 2000; round++) {
        uint64_t key = rng_key(unit_seed(), round);
        struct place_host hosts[HOSTS];
        struct queue_job jobs[QUEUE];
        bool someone_waits = false;

        draw_hosts(key, hosts);
        for (size_t i = 0; i < QUEUE; i++)
            jobs[i] = (struct queue_job){
                .ranks = 1 + below(key, 8), .threads = 1 + below(key, 3), .left_ms = TIMELINE_EVER};
        queue_decide(jobs, QUEUE, NULL, 0, hosts, HOSTS, NULL);
        for (size_t i = 0; i < QUEUE; i++) {
            const struct queue_job *j = &jobs[i];

            if (j->given) {
                ck_assert_msg(!someone_waits, "round %zu: job %zu overtook", (size_t)round, i);
                for (size_t h = 0; h < HOSTS; h++)
                    hosts[h].free -= j->given[h] * j->threads;
            } else if (j->ranks <= place_capacity(hosts, HOSTS, j->threads)) {
                ck_assert_msg(someone_waits || fewest(hosts, j->ranks, j->threads) > HOSTS,
                              "round %zu: job %zu waits although it fits", (size_t)round, i);
                someone_waits = true;
            }
            free(j->given);
        }
        for (size_t h = 0; h < HOSTS; h++)
            ck_assert_msg(hosts[h].free >= 0, "round %zu: a slot of host %zu was given twice",
                          (size_t)round, h);
    }
}
END_TEST

/* A small cluster that lives through a queue: jobs start as decided, and end at their limits or before. */
enum {
    LIFE = 30
};

struct life {
    uint64_t key;
    struct place_host hosts[HOSTS];
    struct queue_job jobs[LIFE];
    int64_t length[LIFE];                      /* how long they really take */
    int64_t started[LIFE], ranks[LIFE][HOSTS]; /* started -1: waits */
    bool over[LIFE];
    int64_t now;
};

static bool runs(const struct life *l, size_t i)
{
    return l->started[i] >= 0 && !l->over[i];
}

static void begin_life(struct life *l, uint64_t key, bool limits)
{
    *l = (struct life){.key = key};
    draw_hosts(key, l->hosts);
    for (size_t h = 0; h < HOSTS; h++)
        l->hosts[h].free = l->hosts[h].slots;
    for (size_t i = 0; i < LIFE; i++) {
        int64_t limit = 1 + (int64_t)rng_below(key, 5000 + i, 20);

        l->started[i] = -1;
        l->jobs[i] = (struct queue_job){.ranks = 1 + (int64_t)rng_below(key, 3000 + i, 6),
                                        .threads = 1 + (int64_t)rng_below(key, 4000 + i, 2),
                                        .left_ms = limits ? limit : TIMELINE_EVER};
        l->length[i] = 1 + (int64_t)rng_below(key, 6000 + i, (uint64_t)limit);
        if (l->jobs[i].ranks > place_capacity(l->hosts, HOSTS, l->jobs[i].threads))
            l->over[i] = true; /* it would hold nobody back, but wait for ever */
    }
}

static void end_jobs(struct life *l)
{
    for (size_t i = 0; i < LIFE; i++)
        if (runs(l, i) && l->now >= l->started[i] + l->length[i]) {
            l->over[i] = true;
            for (size_t h = 0; h < HOSTS; h++)
                l->hosts[h].free += l->ranks[i][h] * l->jobs[i].threads;
        }
}

/* One decision; the number of the first job in line that goes on waiting, and when it is to start (EVER: it
 * is not known, or nobody waits). */
static size_t decide(struct life *l, int64_t *start)
{
    struct queue_job queue[LIFE];
    struct queue_running running[LIFE];
    size_t who[LIFE], n = 0, r = 0, first = LIFE;

    for (size_t i = 0; i < LIFE; i++)
        if (runs(l, i))
            running[r++] = (struct queue_running){
                l->ranks[i], l->jobs[i].threads,
                l->jobs[i].left_ms == TIMELINE_EVER ? TIMELINE_EVER
                                                    : l->started[i] + l->jobs[i].left_ms - l->now};
        else if (!l->over[i]) {
            who[n] = i;
            queue[n++] = l->jobs[i];
        }
    queue_decide(queue, n, running, r, l->hosts, HOSTS, NULL);
    *start = TIMELINE_EVER;
    for (size_t k = 0; k < n; k++) {
        if (!queue[k].given) {
            if (first == LIFE) {
                first = who[k];
                *start =
                    queue[k].start_ms == TIMELINE_EVER ? TIMELINE_EVER : l->now + queue[k].start_ms;
            }
            continue;
        }
        l->started[who[k]] = l->now;
        for (size_t h = 0; h < HOSTS; h++) {
            l->ranks[who[k]][h] = queue[k].given[h];
            l->hosts[h].free -= queue[k].given[h] * queue[k].threads;
            ck_assert_msg(l->hosts[h].free >= 0, "a slot of host %zu was given twice", h);
        }
        free(queue[k].given);
    }
    return first;
}

static size_t left_of(const struct life *l)
{
    size_t n = 0;

    for (size_t i = 0; i < LIFE; i++)
        n += !l->over[i];
    return n;
}

/* Of all jobs, the sum of their starts. */
static int64_t live(uint64_t key, bool limits)
{
    struct life l;
    size_t first = LIFE, before;
    int64_t start = TIMELINE_EVER, was, sum = 0;

    for (begin_life(&l, key, limits); left_of(&l); l.now++) {
        end_jobs(&l);
        before = first;
        was = start;
        first = decide(&l, &start);
        if (limits && first < LIFE)
            ck_assert_msg(start != TIMELINE_EVER, "nothing is planned for job %zu", first);
        ck_assert_msg(first != before || start <= was,
                      "time %ld: job %zu, first in line, was to start at %ld, now at %ld",
                      (long)l.now, first, (long)was, (long)start);
        ck_assert_msg(l.now < 100000, "a job waits for ever");
        if (!limits) /* strictly in turn */
            for (size_t i = 0; i < LIFE; i++)
                ck_assert_msg(first == LIFE || i < first || l.started[i] < 0 || l.over[i],
                              "job %zu overtook job %zu", i, first);
    }
    for (size_t i = 0; i < LIFE; i++)
        sum += l.started[i] > 0 ? l.started[i] : 0;
    return sum;
}

START_TEST(backfill_delays_nobody_who_is_first_in_line)
{
    int64_t with = 0, without = 0;

    for (uint64_t round = 0; round < 60; round++) {
        uint64_t key = rng_key(unit_seed(), round);

        with += live(key, true);
        without += live(key, false);
    }
    ck_assert_msg(with < without * 9 / 10, "limits do not shorten the wait: %ld, without %ld",
                  (long)with, (long)without);
}
END_TEST

START_TEST(a_job_starts_out_of_turn_only_beside_the_plan)
{
    /* Four slots, two of them held for 10 more; the first in line needs all four. */
    const struct place_host hosts[] = {{4, 2}};
    const int64_t two[] = {2};
    const struct queue_running running[] = {{two, 1, 10}};
    static const struct {
        int64_t ranks, left_ms;
        bool starts;
        int64_t at;
    } cases[] = {
        {2, 10, true, 0},              /* it is over in time */
        {2, 11, false, 15},            /* it would not be */
        {3, 1, false, 15},             /* it does not fit now */
        {1, TIMELINE_EVER, false, 15}, /* nobody knows */
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct queue_job jobs[] = {
            {.ranks = 4, .threads = 1, .left_ms = 5},
            {.ranks = cases[i].ranks, .threads = 1, .left_ms = cases[i].left_ms},
        };

        queue_decide(jobs, 2, running, 1, hosts, 1, NULL);
        ck_assert(!jobs[0].given);
        ck_assert_int_eq(jobs[0].start_ms, 10);
        ck_assert_msg((jobs[1].given != NULL) == cases[i].starts, "case %zu", i);
        ck_assert_msg(jobs[1].start_ms == cases[i].at, "case %zu: in %ld", i,
                      (long)jobs[1].start_ms);
        free(jobs[1].given);
    }
}
END_TEST

START_TEST(a_host_with_fewer_slots_than_are_in_use_takes_none_from_others)
{
    const struct place_host hosts[] = {{2, -4}, {4, 4}};
    struct queue_job job = {.ranks = 4, .threads = 1, .left_ms = TIMELINE_EVER};

    queue_decide(&job, 1, NULL, 0, hosts, 2, NULL);
    ck_assert(job.given && job.given[0] == 0 && job.given[1] == 4);
    free(job.given);
}
END_TEST

enum {
    CROWD = 40
};

/* Jobs as they arrive, now and then with a clock that was set back. */
static void random_crowd(uint64_t key, struct queue_place places[CROWD], int64_t priority[CROWD])
{
    int64_t now = 1000000;

    for (uint64_t i = 0; i < CROWD; i++) {
        now += (int64_t)rng_below(key, i, QUEUE_AGING_MS / 2);
        if (rng_below(key, 1000 + i, 10) == 0)
            now -= QUEUE_AGING_MS;
        priority[i] = (int64_t)rng_below(key, 2000 + i, 7) - 3;
        places[i] = (struct queue_place){
            .arrived_ms = now, .ahead_ms = queue_ahead(priority[i], false), .arrival = i};
    }
}

START_TEST(priority_comes_first_and_waiting_makes_up_for_it)
{
    for (uint64_t round = 0; round < 500; round++) {
        struct queue_place queue[CROWD];
        int64_t latest = 0, priority[CROWD], arrived[CROWD];
        bool seen[CROWD] = {false};

        random_crowd(rng_key(unit_seed(), round), queue, priority);
        for (size_t i = 0; i < CROWD; i++) {
            latest = queue[i].arrived_ms > latest ? queue[i].arrived_ms : latest;
            arrived[i] = latest;
        }
        queue_order(queue, CROWD);
        for (size_t i = 0; i < CROWD; i++) {
            ck_assert_msg(!seen[queue[i].arrival], "round %zu: a job stands twice", (size_t)round);
            seen[queue[i].arrival] = true;
        }
        for (size_t i = 0; i < CROWD; i++)
            for (size_t k = i + 1; k < CROWD; k++) {
                size_t a = queue[i].arrival, b = queue[k].arrival;
                int64_t points = priority[b] - priority[a];
                int64_t waited = arrived[b] - arrived[a]; /* by how much a has waited longer */

                /* First come, first served within a priority. */
                ck_assert_msg(points != 0 || a < b, "round %zu: %zu overtook %zu", (size_t)round, a,
                              b);
                /* Whoever stands before a more important job has waited longer, one aging time for
                 * each point: so a job can be overtaken only by those that come soon after it. */
                ck_assert_msg(points <= 0 || waited >= points * QUEUE_AGING_MS,
                              "round %zu: %zu stands before %zu", (size_t)round, a, b);
                ck_assert_msg(points >= 0 || -waited <= -points * QUEUE_AGING_MS,
                              "round %zu: %zu starves %zu", (size_t)round, a, b);
            }
    }
}
END_TEST

START_TEST(a_share_is_bounded_and_even_in_sum)
{
    for (uint64_t round = 0; round < 500; round++) {
        uint64_t key = rng_key(unit_seed(), round);
        struct share all[5];
        size_t n = 1 + (size_t)rng_below(key, 0, 5);
        int64_t sum = 0, most = SHARE_POINTS * (int64_t)QUEUE_AGING_MS;

        for (size_t i = 0; i < n; i++)
            all[i] = (struct share){
                .weight = 0.1 + rng_uniform(key, 10 + i),
                .used = rng_below(key, 20 + i, 4) ? 1e6 * rng_uniform(key, 30 + i) : 0};
        share_out(all, n);
        for (size_t i = 0; i < n; i++) {
            sum += all[i].ahead_ms;
            ck_assert_msg(llabs(all[i].ahead_ms) <= most, "round %zu: %ld ms", (size_t)round,
                          (long)all[i].ahead_ms);
            /* Of two with the same weight the one that had less comes first. */
            for (size_t k = 0; k < i; k++)
                ck_assert(all[i].weight != all[k].weight || all[i].used == all[k].used ||
                          (all[i].used < all[k].used) == (all[i].ahead_ms > all[k].ahead_ms));
        }
        ck_assert_msg(llabs(sum) <= (int64_t)n, "round %zu: the sum is %ld", (size_t)round,
                      (long)sum);
        ck_assert_msg(n > 1 || all[0].ahead_ms == 0, "a project alone has %ld",
                      (long)all[0].ahead_ms);
    }
}
END_TEST

START_TEST(shares_follow_weight_and_use)
{
    struct share even[] = {{1, 30, 0}, {3, 90, 0}}, all[] = {{1, 100, 0}, {1, 0, 0}},
                 idle[] = {{1, 0, 0}, {2, 0, 0}};

    share_out(even, 2);
    ck_assert(even[0].ahead_ms == 0 && even[1].ahead_ms == 0); /* each has what it is due */
    share_out(all, 2);
    ck_assert_int_eq(all[1].ahead_ms, SHARE_POINTS * QUEUE_AGING_MS / 2);
    share_out(idle, 2);
    ck_assert(idle[0].ahead_ms == 0 && idle[1].ahead_ms == 0);
    ck_assert_double_eq_tol(share_decayed(8, 2 * (int64_t)SHARE_HALF_LIFE_MS), 2, 1e-9);
    ck_assert_double_eq_tol(share_decayed(8, -5), 8, 1e-9);
}
END_TEST

/* Whatever the shares are: within a project and a priority first come, first served, and nobody is overtaken by
 * one that came later than priorities, shares and aging explain. */
START_TEST(shares_change_no_order_within_a_project_and_starve_nobody)
{
    for (uint64_t round = 0; round < 300; round++) {
        uint64_t key = rng_key(unit_seed(), 900000 + round);
        struct queue_place queue[CROWD];
        int64_t now = 0, priority[CROWD], came[CROWD];
        struct share shares[3];

        for (size_t i = 0; i < 3; i++)
            shares[i] = (struct share){.weight = 1 + (double)i, .used = rng_uniform(key, i)};
        share_out(shares, 3);
        for (uint64_t i = 0; i < CROWD; i++) {
            now += (int64_t)rng_below(key, 100 + i, QUEUE_AGING_MS);
            came[i] = now;
            priority[i] = (int64_t)rng_below(key, 200 + i, 5);
            queue[i] = (struct queue_place){.arrived_ms = now,
                                            .ahead_ms = queue_ahead(priority[i], false) +
                                                        shares[i % 3].ahead_ms,
                                            .arrival = i};
        }
        queue_order(queue, CROWD);
        for (size_t i = 0; i < CROWD; i++)
            for (size_t k = i + 1; k < CROWD; k++) {
                size_t a = queue[i].arrival, b = queue[k].arrival; /* a before b */

                ck_assert_msg(a % 3 != b % 3 || priority[a] != priority[b] || a < b,
                              "round %zu: %zu overtook %zu", (size_t)round, a, b);
                ck_assert_msg(came[a] - came[b] <=
                                  (priority[a] - priority[b] + 2 * SHARE_POINTS) * QUEUE_AGING_MS,
                              "round %zu: %zu starves %zu", (size_t)round, a, b);
            }
    }
}
END_TEST

START_TEST(a_quota_holds_back_its_own_project_alone)
{
    const struct place_host hosts[] = {{8, 8}};
    struct queue_quota quotas[] = {{4, 3, false}, {INT64_MAX, INT64_MAX, false}};
    struct queue_job jobs[] = {
        {.ranks = 2, .threads = 1, .left_ms = 9, .project = 0},
        {.ranks = 5, .threads = 1, .left_ms = 9, .project = 0}, /* never: it holds nobody back */
        {.ranks = 2, .threads = 1, .left_ms = 9, .project = 0}, /* closes the project */
        {.ranks = 1, .threads = 1, .left_ms = 9, .project = 0}, /* would fit */
        {.ranks = 3, .threads = 2, .left_ms = 9, .project = 1},
    };
    static const bool starts[] = {true, false, false, false, true};

    queue_decide(jobs, ARRAY_LEN(jobs), NULL, 0, hosts, 1, quotas);
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
        ck_assert_msg((jobs[i].given != NULL) == starts[i], "job %zu", i);
        ck_assert_msg(jobs[i].over_quota == (i > 0 && i < 4), "job %zu: quota", i);
        free(jobs[i].given);
    }
    ck_assert(quotas[0].closed && !quotas[1].closed);
}
END_TEST

/* What is planned for a job is its: no later job of its project takes the quota from it meanwhile. */
START_TEST(a_quota_keeps_what_is_planned)
{
    const struct place_host hosts[] = {{4, 1}};
    const int64_t three[] = {3};
    const struct queue_running running[] = {{three, 1, 10}};
    struct queue_quota quotas[] = {{4, 4, false}};
    struct queue_job jobs[] = {{.ranks = 4, .threads = 1, .left_ms = 9},
                               {.ranks = 1, .threads = 1, .left_ms = 5}};

    queue_decide(jobs, 2, running, 1, hosts, 1, quotas);
    ck_assert(jobs[0].start_ms == 10 && !jobs[1].given && jobs[1].over_quota);
}
END_TEST

enum {
    RUNS = 6
};

static bool fits_without(const struct place_host *hosts, const struct preempt_victim *v,
                         size_t without, int64_t ranks, int64_t threads)
{
    struct place_host after[HOSTS];
    int64_t given[HOSTS];

    memcpy(after, hosts, sizeof(after));
    for (size_t i = 0; i < RUNS; i++)
        for (size_t h = 0; v[i].chosen && i != without && h < HOSTS; h++)
            after[h].free += v[i].ranks[h] * v[i].threads;
    return place_ranks(after, HOSTS, ranks, threads, given);
}

START_TEST(nobody_is_preempted_in_vain)
{
    size_t chosen = 0, refused = 0;

    for (uint64_t round = 0; round < 3000; round++) {
        uint64_t key = rng_key(unit_seed(), 700000 + round);
        struct place_host hosts[HOSTS];
        struct preempt_victim v[RUNS], all[RUNS];
        int64_t held[RUNS][HOSTS] = {{0}};
        int64_t ranks = 1 + (int64_t)rng_below(key, 1, 6),
                threads = 1 + (int64_t)rng_below(key, 2, 2);
        int64_t priority = (int64_t)rng_below(key, 3, 4);
        bool free_now, got;

        for (size_t h = 0; h < HOSTS; h++)
            hosts[h] = (struct place_host){8, (int64_t)rng_below(key, 10 + h, 3)};
        for (size_t i = 0; i < RUNS; i++) {
            held[i][rng_below(key, 20 + i, HOSTS)] = 1 + (int64_t)rng_below(key, 30 + i, 3);
            v[i] = (struct preempt_victim){.ranks = held[i],
                                           .threads = 1,
                                           .priority = (int64_t)rng_below(key, 40 + i, 4),
                                           .ran_ms = (int64_t)rng_below(key, 50 + i, 100),
                                           .may = rng_below(key, 60 + i, 4) > 0};
            all[i] = v[i];
            all[i].chosen = v[i].may && v[i].priority < priority;
        }
        free_now = fits_without(hosts, v, RUNS, ranks, threads);
        got = preempt_choose(hosts, HOSTS, ranks, threads, priority, v, RUNS);
        ck_assert_msg(got == (!free_now && fits_without(hosts, all, RUNS, ranks, threads)),
                      "round %zu: %s", (size_t)round, got ? "chosen" : "not chosen");
        for (size_t i = 0; i < RUNS; i++) {
            ck_assert_msg(!v[i].chosen || (got && v[i].may && v[i].priority < priority),
                          "round %zu: victim %zu", (size_t)round, i);
            ck_assert_msg(!v[i].chosen || !fits_without(hosts, v, i, ranks, threads),
                          "round %zu: victim %zu stops in vain", (size_t)round, i);
        }
        ck_assert_msg(!got || fits_without(hosts, v, RUNS, ranks, threads),
                      "round %zu: it cannot start", (size_t)round);
        chosen += got;
        refused += !got;
    }
    ck_assert_msg(chosen > 100 && refused > 100, "%zu and %zu", chosen, refused);
}
END_TEST

START_TEST(the_least_important_and_youngest_is_preempted)
{
    const struct place_host host = {8, 0};
    static const int64_t two[] = {2};
    struct preempt_victim v[] = {{two, 1, 1, 10, true, false},
                                 {two, 1, 0, 50, true, false},
                                 {two, 1, 0, 20, true, false},
                                 {two, 1, 0, 5, false, false}};

    ck_assert(preempt_choose(&host, 1, 2, 1, 2, v, 4));
    ck_assert(v[2].chosen && !v[0].chosen && !v[1].chosen && !v[3].chosen);
    ck_assert(preempt_choose(&host, 1, 4, 1, 2, v, 4));
    ck_assert(v[1].chosen && v[2].chosen && !v[0].chosen);
    ck_assert(!preempt_choose(&host, 1, 1, 1, 0, v, 4)); /* of equal priority: never */
    ck_assert(!preempt_choose(&host, 1, 8, 1, 2, v, 4));
}
END_TEST

START_TEST(what_is_resized_goes_before_everything)
{
    const int64_t late = INT64_C(1) << 41;
    struct queue_place queue[] = {
        {.arrived_ms = 1000, .ahead_ms = queue_ahead(INT32_MAX, false), .arrival = 0},
        {.arrived_ms = late, .ahead_ms = queue_ahead(INT32_MIN, true), .arrival = 1},
        {.arrived_ms = late, .ahead_ms = queue_ahead(0, true), .arrival = 2}};

    queue_order(queue, ARRAY_LEN(queue));
    ck_assert(queue[0].arrival == 2 && queue[1].arrival == 1 && queue[2].arrival == 0);
}
END_TEST

START_TEST(who_steps_back_keeps_its_place_or_gives_it_up)
{
    for (uint64_t round = 0; round < 500; round++) {
        struct queue_place queue[CROWD], before;
        int64_t priority[CROWD];

        random_crowd(rng_key(unit_seed(), 7000 + round), queue, priority);
        queue_order(queue, CROWD); /* times are in order from here on */
        for (size_t i = 1; i < CROWD; i++) {
            before = queue[0];
            queue_go_behind(&queue[0], &queue[i]);
            ck_assert_msg(queue[0].ahead_ms <= before.ahead_ms, "round %zu", (size_t)round);
            /* Behind it, and by no more than that takes. */
            ck_assert_msg(queue[0].ahead_ms - queue[0].arrived_ms <
                              queue[i].ahead_ms - queue[i].arrived_ms,
                          "round %zu: still before %zu", (size_t)round, i);
            ck_assert_msg(queue[0].ahead_ms == before.ahead_ms ||
                              queue[0].ahead_ms - queue[0].arrived_ms + 1 ==
                                  queue[i].ahead_ms - queue[i].arrived_ms,
                          "round %zu: too far behind %zu", (size_t)round, i);
        }
    }
}
END_TEST

START_TEST(a_host_file_is_read_or_refused_with_its_line)
{
    static const struct {
        const char *text, *error; /* NULL: two hosts, a with 2 slots and b.c with 16 */
    } cases[] = {
        {"a slots=2\nb.c slots=16\n", NULL},
        {"# all\n\n  a\tslots=2 # fast\r\nb.c slots=16", NULL},
        {"", "f: names no host"},
        {"# nothing\n", "f: names no host"},
        {"a slots=2\nb\n", "f:2: expected `NAME slots=N`"},
        {"a slots=0\n", "f:1: expected `NAME slots=N` with N from 1"},
        {"a slots=two\n", "got \"a slots=two\""},
        {"a slots=2 max_slots=4\n", "f:1: expected `NAME slots=N`"},
        {"a:1 slots=2\n", "f:1: expected a host's name"},
        {"-x slots=2\n", "f:1: expected a host's name"},
        {"a,b slots=2\n", "f:1: expected a host's name"},
        {"a slots=2\na slots=3\n", "f:2: this host has a line already"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *text = str_dup(cases[i].text);
        hostfile_list got = {0};
        struct error err = {0};
        bool ok = hostfile_parse("f", text, &got, &err);

        ck_assert_msg(ok == !cases[i].error, "case %zu: %s", i, err.msg);
        if (!ok)
            ck_assert_msg(strstr(err.msg, cases[i].error), "case %zu: %s", i, err.msg);
        else
            ck_assert_msg(got.n == 2 && got.at[0].slots == 2 && got.at[1].slots == 16 &&
                              strcmp(got.at[0].name, "a") == 0 &&
                              strcmp(got.at[1].name, "b.c") == 0,
                          "case %zu", i);
        vec_free(&got);
        free(text);
    }
}
END_TEST

/* A daemon with the hosts a (2 slots), ab (4) and b (1). */
static void open_three(struct daemon *d)
{
    static const char text[] = "a slots=2\nab slots=4\nb slots=1\n";
    struct error err;

    rig_open(d, "hosts", 16);
    hosts_close(d);
    d->settings.hostfile = str_path(unit_dir(), "hostfile");
    ck_assert_ok(file_replace(d->settings.hostfile, text, strlen(text), 0644, &err), err);
    ck_assert_ok(hosts_open(d, &err), err);
    ck_assert_int_eq(d->settings.slots, 7);
}

static void place(struct daemon *d, int n, enum job_state state, int64_t threads,
                  const char *placement)
{
    struct job *j = rig_submit(d, n);

    rig_set_state(d, j, state);
    j->threads = threads;
    j->placement = str_dup(placement);
}

START_TEST(slots_in_use_follow_from_the_jobs)
{
    struct daemon d;
    struct place_host *hosts;

    open_three(&d);
    place(&d, 1, JOB_RUNNING, 2, "a:1,ab:1");
    place(&d, 2, JOB_STARTING, 1, "b:1");
    place(&d, 3, JOB_QUEUED, 1, "ab:2"); /* where it was before */
    place(&d, 4, JOB_RUNNING, 1, "gone:7");
    hosts = hosts_free(&d);
    ck_assert_int_eq(hosts[0].free, 0);
    ck_assert_int_eq(hosts[1].free, 2);
    ck_assert_int_eq(hosts[2].free, 0);
    ck_assert_int_eq(hosts_used(&d), 5);
    free(hosts);
    free((char *)(uintptr_t)d.settings.hostfile);
    rig_close(&d);
}
END_TEST

/* What a user has closed takes nothing, gives nothing back as jobs there end, and stays so in the next daemon. */
START_TEST(a_drained_host_takes_no_jobs)
{
    struct daemon d;
    struct place_host *hosts;
    int64_t *ranks;
    char text[100];
    struct error err;

    open_three(&d);
    ck_assert_ok(hosts_drain(&d, "ab", true, &err), err);
    ck_assert_ok(hosts_drain(&d, "ab", true, &err), err);
    ck_assert(!hosts_drain(&d, "a:b", true, &err) && err.code == ERR_NOT_FOUND);
    hosts_close(&d);
    ck_assert_ok(hosts_open(&d, &err), err);
    hosts = hosts_free(&d);
    ranks = hosts_ranks(&d, "a:1,ab:2");
    ck_assert_int_eq(hosts[0].free, 2);
    ck_assert_int_eq(hosts[1].slots + hosts[1].free, 0);
    ck_assert_int_eq(ranks[0], 1);
    ck_assert_int_eq(ranks[1], 0);
    free(hosts);
    free(ranks);
    hosts_describe_closed(&d, text, sizeof(text));
    ck_assert_str_eq(text, "; host ab is drained");
    ck_assert_ok(hosts_drain(&d, "ab", false, &err), err);
    hosts_close(&d);
    ck_assert_ok(hosts_open(&d, &err), err);
    hosts = hosts_free(&d);
    ck_assert_int_eq(hosts[1].free, 4);
    free(hosts);
    free((char *)(uintptr_t)d.settings.hostfile);
    rig_close(&d);
}
END_TEST

START_TEST(what_can_never_fit_is_said_at_once)
{
    struct daemon d;
    struct error err = {0};

    open_three(&d);
    ck_assert(hosts_can_take(&d, 7, 1, &err));
    ck_assert(hosts_can_take(&d, 3, 2, &err));
    ck_assert(!hosts_can_take(&d, 8, 1, &err));
    ck_assert_msg(strstr(err.msg, "need 8 slots; this daemon has 7"), "%s", err.msg);
    ck_assert(!hosts_can_take(&d, 2, 3, &err)); /* 6 slots there are, but not 3 on two hosts */
    ck_assert_msg(strstr(err.msg, "3 hosts have room for 1 such ranks"), "%s", err.msg);
    free((char *)(uintptr_t)d.settings.hostfile);
    rig_close(&d);
}
END_TEST

UNIT_MAIN(ranks_get_whole_slots_on_the_fewest_hosts, of_hosts_with_room_the_fullest_is_taken,
          queue_keeps_its_promises, backfill_delays_nobody_who_is_first_in_line,
          a_job_starts_out_of_turn_only_beside_the_plan,
          a_host_with_fewer_slots_than_are_in_use_takes_none_from_others,
          priority_comes_first_and_waiting_makes_up_for_it, what_is_resized_goes_before_everything,
          who_steps_back_keeps_its_place_or_gives_it_up, nobody_is_preempted_in_vain,
          the_least_important_and_youngest_is_preempted, a_share_is_bounded_and_even_in_sum,
          shares_follow_weight_and_use, shares_change_no_order_within_a_project_and_starve_nobody,
          a_quota_holds_back_its_own_project_alone, a_quota_keeps_what_is_planned,
          a_host_file_is_read_or_refused_with_its_line, slots_in_use_follow_from_the_jobs,
          what_can_never_fit_is_said_at_once, a_drained_host_takes_no_jobs)
