/* daemon: of what reads a lot only so much is done at a time. HTTP is played here: what it is asked for is noted, and the
 * test says when work is over. */
#include <stdlib.h>
#include <string.h>

#include "daemon/daemon.h"
#include "daemon/problem.h"
#include "proto/base/rng.h"
#include "tests/unit/unit.h"

enum {
    REQUESTS = 200
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

void http_add_header(struct request *r, const char *name, const char *value)
{
    (void)r;
    ck_assert_str_eq(name, "Retry-After");
    ck_assert_str_eq(value, "1");
}

void problem_reply(struct request *r, const char *code, const struct problems *errors,
                   const char *fmt, ...)
{
    (void)code;
    (void)errors;
    (void)fmt;
    played(r)->stage = REFUSED;
}

static void work(void *arg)
{
    ((struct played *)arg)->worked++;
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
            struct played *p = &all[sent++];
            const size_t busy = count(WORKING) + count(RELEASED), held = count(HELD);

            turns_work(&d, &p->r, work, give_answer, drop, p);
            ck_assert_msg(p->stage == (busy < TURNS_AT_A_TIME ? WORKING
                                       : held < TURNS_WAITING ? HELD
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
        turns_work(&d, &all[i].r, work, give_answer, drop, &all[i]);
    }
    while (go_on(true) || go_on(false))
        ;
    check_all_have_ended();
    ck_assert_uint_eq(count(ANSWERED), TURNS_AT_A_TIME);
    ck_assert_uint_eq(d.turns.running, 0);
}
END_TEST

UNIT_MAIN(few_at_a_time_and_in_order, nobody_waits_when_the_daemon_stops)
