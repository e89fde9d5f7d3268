#include "daemon/turns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/daemon.h"
#include "daemon/problem.h"

struct turn {
    struct daemon *daemon;
    struct request *r;
    void (*work)(void *arg, struct turn *t);
    void (*answer)(struct request *r, void *arg);
    void (*drop)(void *arg);
    void *arg;
    bool cut; /* it was ended before its end */
    char client[HTTP_PEER_SIZE];
};

/* A token's id, which is shorter, or an address. */
static void name_client(struct turn *t)
{
    const char *token = t->r->caller.id;

    if (*token)
        snprintf(t->client, sizeof(t->client), "%s", token);
    else
        http_network(t->r, t->client);
}

bool turn_goes_on(struct turn *t)
{
    if (!t)
        return true;
    t->cut = t->cut || atomic_load(&t->daemon->turns.over) || http_is_gone(t->r);
    return !t->cut;
}

static void end(struct turn *t)
{
    t->drop(t->arg);
    free(t);
}

/* What is released has its turn already, although it begins a moment later. */
static void next(struct turns *s)
{
    struct request *r;

    if (!s->waiting.n || s->running >= TURNS_AT_A_TIME)
        return;
    r = s->waiting.at[0]->r;
    s->waiting.n--;
    memmove(s->waiting.at, s->waiting.at + 1, s->waiting.n * sizeof(*s->waiting.at));
    s->running++;
    http_release(r);
}

static void work(void *arg)
{
    struct turn *t = arg;

    t->work(t->arg, t);
}

static void refuse(struct request *r, const char *code, const char *why, struct turn *t)
{
    problem_reply_later(r, code, 1, "%s", why);
    end(t);
}

static void cut_short(struct request *r, struct turn *t)
{
    refuse(r, "stopped", "the client has gone, or the daemon is about to end", t);
}

static void done(struct request *r, void *arg)
{
    struct turn *t = arg;
    struct turns *s = &t->daemon->turns;

    if (t->cut) {
        cut_short(r, t);
    } else {
        t->answer(r, t->arg);
        end(t);
    }
    s->running--;
    next(s);
}

static void begin(struct request *r, void *arg)
{
    struct turn *t = arg;
    struct turns *s = &t->daemon->turns;

    if (turn_goes_on(t)) {
        http_work(r, work, done, t);
        return;
    }
    cut_short(r, t);
    s->running--;
    next(s);
}

static size_t waiting_of(const struct turns *s, const char *client)
{
    size_t n = 0;

    for (size_t i = 0; i < s->waiting.n; i++)
        n += strcmp(s->waiting.at[i]->client, client) == 0;
    return n;
}

void turns_work(struct daemon *d, struct request *r, void (*job)(void *arg, struct turn *t),
                void (*answer)(struct request *r, void *arg), void (*drop)(void *arg), void *arg)
{
    struct turns *s = &d->turns;
    struct turn *t = NEW(struct turn);

    *t =
        (struct turn){.daemon = d, .r = r, .work = job, .answer = answer, .drop = drop, .arg = arg};
    name_client(t);
    if (s->running < TURNS_AT_A_TIME) {
        s->running++;
        begin(r, t);
    } else if (d->stopping) {
        cut_short(r, t);
    } else if (s->waiting.n >= TURNS_WAITING) {
        refuse(r, "busy", "too many searches in logs and hashes of files wait already", t);
    } else if (waiting_of(s, t->client) >= TURNS_EACH) {
        refuse(r, "busy", "too many searches in logs and hashes of files of yours wait already", t);
    } else {
        vec_push(&s->waiting, t);
        http_hold(r, begin, t);
    }
}

void turns_stop(struct daemon *d)
{
    struct turns *s = &d->turns;

    atomic_store(&s->over, true);
    for (size_t i = 0; i < s->waiting.n; i++) {
        s->running++;
        http_release(s->waiting.at[i]->r);
    }
    vec_free(&s->waiting);
}
