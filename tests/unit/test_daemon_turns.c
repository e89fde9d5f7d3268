/* daemon: of what reads a lot only so much is done at a time. HTTP is played here: what it is asked for is noted, and the
 * test says when work is over. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/hashes.h"
#include "daemon/logsearch.h"
#include "daemon/problem.h"
#include "proto/base/rng.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"

enum {
    REQUESTS = 200,
    CLIENTS = 7,
    BLOCKS = 20
};

enum stage {
    NEW_ONE,
    HELD,
    RELEASED,
    WORKING,
    ANSWERED,
    REFUSED
};

static struct played {
    struct request r;
    enum stage stage;
    int worked, answered, dropped;
    int patience; /* looks that still find its client there */
    int looks;
    void (*work)(void *arg);
    void (*then)(struct request *r, void *arg);
    void *arg;
} all[REQUESTS];

static struct played *played(struct request *r)
{
    return (struct played *)r;
}

void http_work(struct request *r, void (*work)(void *arg),
               void (*then)(struct request *r, void *arg), void *arg)
{
    struct played *p = played(r);

    p->stage = WORKING;
    p->work = work;
    p->then = then;
    p->arg = arg;
}

void http_hold(struct request *r, void (*then)(struct request *r, void *arg), void *arg)
{
    struct played *p = played(r);

    p->stage = HELD;
    p->then = then;
    p->arg = arg;
}

void http_release(struct request *r)
{
    ck_assert_int_eq(played(r)->stage, HELD);
    played(r)->stage = RELEASED;
}

bool http_is_gone(const struct request *r)
{
    struct played *p = played((struct request *)(uintptr_t)r);

    return ++p->looks > p->patience;
}

bool http_network(const struct request *r, char out[HTTP_PEER_SIZE])
{
    (void)r;
    snprintf(out, HTTP_PEER_SIZE, "%s", "an address");
    return false;
}

void problem_reply_later(struct request *r, const char *code, int64_t after_s, const char *fmt, ...)
{
    (void)code;
    (void)fmt;
    ck_assert_int_eq(after_s, 1);
    played(r)->stage = REFUSED;
}

static void work(void *arg, struct turn *t)
{
    (void)t;
    ((struct played *)arg)->worked++;
}

/* Of one of so many clients; those without a token share an address. */
static struct played *arrive(size_t i, size_t clients)
{
    struct played *p = &all[i];

    p->patience = INT_MAX;
    if (i % clients)
        p->r.caller.id[0] = (char)('a' + i % clients);
    return p;
}

static void give_answer(struct request *r, void *arg)
{
    ck_assert_ptr_eq(r, arg);
    played(r)->answered++;
    played(r)->stage = ANSWERED;
}

static void drop(void *arg)
{
    ((struct played *)arg)->dropped++;
}

static size_t count(enum stage s)
{
    size_t n = 0;

    for (size_t i = 0; i < REQUESTS; i++)
        n += all[i].stage == s;
    return n;
}

static size_t held_of(const struct played *p)
{
    size_t n = 0;

    for (size_t i = 0; i < REQUESTS; i++)
        n += all[i].stage == HELD && strcmp(all[i].r.caller.id, p->r.caller.id) == 0;
    return n;
}

static struct played *first(enum stage s)
{
    for (size_t i = 0; i < REQUESTS; i++)
        if (all[i].stage == s)
            return &all[i];
    return NULL;
}

/* What the loop would do next: begin what was released, or end some work. False: there is nothing. */
static bool go_on(bool begin)
{
    struct played *p = first(begin ? RELEASED : WORKING);

    if (!p)
        return false;
    if (!begin)
        p->work(p->arg);
    p->then(&p->r, p->arg);
    return true;
}

static void check_all_have_ended(void)
{
    for (size_t i = 0; i < REQUESTS; i++) {
        const struct played *p = &all[i];
        const bool answered = p->stage == ANSWERED;

        ck_assert_msg(answered || p->stage == REFUSED, "request %zu: stage %d", i, (int)p->stage);
        ck_assert_msg(p->worked == answered && p->answered == answered && p->dropped == 1,
                      "request %zu: %d %d %d", i, p->worked, p->answered, p->dropped);
    }
}

START_TEST(few_at_a_time_and_in_order)
{
    struct daemon d = {0};
    const uint64_t key = rng_key(unit_seed(), 1);
    size_t sent = 0;

    for (uint64_t round = 0; sent < REQUESTS; round++) {
        if (rng_below(key, round, 3)) {
            struct played *p = arrive(sent++, CLIENTS);
            const size_t busy = count(WORKING) + count(RELEASED), held = count(HELD);
            const bool room = held < TURNS_WAITING && held_of(p) < TURNS_EACH;

            turns_work(&d, &p->r, work, give_answer, drop, p);
            ck_assert_msg(p->stage == (busy < TURNS_AT_A_TIME ? WORKING
                                       : room                 ? HELD
                                                              : REFUSED),
                          "request %zu: stage %d, %zu at work, %zu wait", sent, (int)p->stage, busy,
                          held);
        } else {
            go_on(rng_below(key, 100000 + round, 2));
        }
        ck_assert_uint_le(count(WORKING) + count(RELEASED), TURNS_AT_A_TIME);
        /* Who came first is released first. */
        ck_assert(!first(HELD) || !first(RELEASED) || first(RELEASED) < first(HELD));
    }
    while (go_on(true) || go_on(false))
        ;
    check_all_have_ended();
    ck_assert_uint_gt(count(REFUSED), 0);
    ck_assert_uint_eq(d.turns.running, 0);
    turns_stop(&d);
}
END_TEST

START_TEST(nobody_waits_when_the_daemon_stops)
{
    struct daemon d = {0};

    for (size_t i = 0; i < REQUESTS; i++) {
        if (i == REQUESTS / 2) {
            d.stopping = true;
            turns_stop(&d);
            ck_assert_uint_eq(count(HELD), 0);
        }
        turns_work(&d, &arrive(i, CLIENTS)->r, work, give_answer, drop, &all[i]);
    }
    while (go_on(true) || go_on(false))
        ;
    check_all_have_ended();
    ck_assert_uint_eq(count(ANSWERED), TURNS_AT_A_TIME);
    ck_assert_uint_eq(d.turns.running, 0);
}
END_TEST

/* One client has as many places as it may have, and leaves the others to others. */
START_TEST(nobody_takes_all_places)
{
    struct daemon d = {0};

    for (size_t i = 0; i < REQUESTS; i++)
        turns_work(&d, &arrive(i, i < REQUESTS / 2 ? 1 : 2)->r, work, give_answer, drop, &all[i]);
    ck_assert_uint_eq(held_of(&all[0]), TURNS_EACH);
    ck_assert_uint_eq(held_of(&all[REQUESTS - 1]), TURNS_EACH);
    while (go_on(true) || go_on(false))
        ;
    check_all_have_ended();
    turns_stop(&d);
}
END_TEST

/* -- Work that nobody wants any more ---------------------------------------------------------------- */

static int large = -1; /* an open file of BLOCKS blocks */

static void open_large(void)
{
    char *path = str_path(unit_dir(), "large");

    large = open(path, O_RDWR | O_CREAT, 0600);
    ck_assert_int_eq(ftruncate(large, BLOCKS * LOGSEARCH_PART), 0);
    free(path);
}

static void search_it(void *arg, struct turn *t)
{
    struct logsearch s = {.fd = large,
                          .to = BLOCKS * LOGSEARCH_PART,
                          .older = -1,
                          .text = "x",
                          .lines = 9,
                          .turn = t};

    work(arg, t);
    logsearch_run(&s);
    buf_free(&s.found);
}

static void hash_it(void *arg, struct turn *t)
{
    char hex[SHA256_HEX];

    work(arg, t);
    hashes_of_file(NULL, large, t, hex);
}

static void (*const reads[])(void *arg, struct turn *t) = {search_it, hash_it};

/* At its next block; and it is no answer, however much was found. */
START_TEST(work_ends_with_its_client)
{
    struct daemon d = {0};

    open_large();
    for (size_t i = 0; i < ARRAY_LEN(reads); i++)
        for (int patience = 0; patience < 2 * BLOCKS; patience += 4) {
            struct played *p = arrive(0, 1);

            *p = (struct played){.patience = patience};
            turns_work(&d, &p->r, reads[i], give_answer, drop, p);
            go_on(false);
            ck_assert_msg(p->looks <= patience + 1, "read %zu, %d: %d looks", i, patience,
                          p->looks);
            ck_assert_msg(p->worked == (patience > 0), "read %zu, %d", i, patience);
            ck_assert_int_eq(p->stage, patience > BLOCKS + 1 ? ANSWERED : REFUSED);
            ck_assert_int_eq(p->dropped, 1);
        }
    ck_assert_uint_eq(d.turns.running, 0);
    close(large);
}
END_TEST

START_TEST(work_ends_when_the_daemon_stops)
{
    struct daemon d = {0};

    open_large();
    for (size_t i = 0; i < ARRAY_LEN(reads); i++) {
        struct played *p = arrive(i, 1);

        turns_work(&d, &p->r, reads[i], give_answer, drop, p);
        ck_assert_int_eq(p->stage, WORKING);
    }
    d.stopping = true;
    turns_stop(&d);
    while (go_on(false))
        ;
    ck_assert_uint_eq(count(REFUSED), ARRAY_LEN(reads));
    ck_assert_uint_eq(d.turns.running, 0);
    close(large);
}
END_TEST

UNIT_MAIN(few_at_a_time_and_in_order, nobody_waits_when_the_daemon_stops, nobody_takes_all_places,
          work_ends_with_its_client, work_ends_when_the_daemon_stops)
