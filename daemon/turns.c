#include "daemon/turns.h"

#include <string.h>

#include "daemon/daemon.h"
#include "daemon/problem.h"

struct turn {
    struct daemon *daemon;
    struct request *r;
    void (*work)(void *arg);
    void (*answer)(struct request *r, void *arg);
    void (*drop)(void *arg);
    void *arg;
};

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
    const struct turn *t = arg;

    t->work(t->arg);
}

static void done(struct request *r, void *arg)
{
    struct turn *t = arg;
    struct turns *s = &t->daemon->turns;

    t->answer(r, t->arg);
    end(t);
    s->running--;
    next(s);
}

static void refuse(struct request *r, const char *code, const char *why, struct turn *t)
{
    http_add_header(r, "Retry-After", "1");
    problem_reply(r, code, NULL, "%s", why);
    end(t);
}

static void begin(struct request *r, void *arg)
{
    struct turn *t = arg;

    if (!t->daemon->stopping) {
        http_work(r, work, done, t);
        return;
    }
    t->daemon->turns.running--;
    refuse(r, "stopped", "the daemon is about to end", t);
}

void turns_work(struct daemon *d, struct request *r, void (*job)(void *arg),
                void (*answer)(struct request *r, void *arg), void (*drop)(void *arg), void *arg)
{
    struct turns *s = &d->turns;
    struct turn *t = NEW(struct turn);

    *t = (struct turn){d, r, job, answer, drop, arg};
    if (s->running < TURNS_AT_A_TIME) {
        s->running++;
        begin(r, t);
    } else if (s->waiting.n < TURNS_WAITING && !d->stopping) {
        vec_push(&s->waiting, t);
        http_hold(r, begin, t);
    } else {
        refuse(r, "busy", "too many searches in logs and hashes of files wait already", t);
    }
}

/* All at once: nobody would be there to release them one by one. */
void turns_stop(struct daemon *d)
{
    struct turns *s = &d->turns;

    for (size_t i = 0; i < s->waiting.n; i++) {
        s->running++;
        http_release(s->waiting.at[i]->r);
    }
    vec_free(&s->waiting);
}
