/* What the files sched*.c share. */
#ifndef DAEMON_SCHED_PARTS_H
#define DAEMON_SCHED_PARTS_H

#include "daemon/queue.h"
#include "daemon/sched.h"
#include "daemon/share.h"

/* One look at the queue. */
struct look {
    int64_t now_ms; /* wall clock */
    struct place_host *hosts;
    VEC(struct queue_place) places; /* of all that wait; `arrival` counts d->active */
    VEC(struct queue_job) jobs;     /* the first of them, as many as were looked at */
    VEC(struct active *) who;       /* whose those are */
    VEC(struct queue_running) running;
    VEC(struct active *) runs;  /* whose those are */
    VEC(const char *) claims;   /* jobs for which others were stopped, by id */
    VEC(size_t) behind;         /* of places: those that a user made stop, by turns */
    size_t looked_at;           /* of jobs, by the decision */
    struct share *shares;       /* of each project; weight 0: it has no jobs now */
    struct queue_quota *quotas; /* likewise: what is left of them while nobody starts */
    struct queue_quota *left;   /* when those have theirs that were looked at */
    /* NULL, or a job that is only asked about: nothing is changed or told, and counted who would stop for it. */
    const struct job *asked;
    size_t would_stop;
};

/* The queue as it is, ordered and decided upon; nothing of it is carried out. */
void sched_look(struct daemon *d, struct look *l);
void sched_look_free(struct look *l);
/* Why the job goes on waiting, with so many ahead of it. */
void sched_say_why(const struct daemon *d, const struct active *a, size_t ahead, bool over_quota,
                   struct reason *why);

enum {
    /* Waiting jobs whose reason is worked out and told as it changes. Those further back are many, and each
     * start changes all of their places: theirs is worked out when somebody asks (sched_line.c). */
    SCHED_TOLD = 16
};

/* Whether it waits for nothing but slots. */
bool sched_stands_in_line(const struct active *a);
/* In a walk over all of d->active, at i. Each job lies somewhere else, and to wait for the memory of one after the other is
 * most of what a look costs. */
static inline void sched_fetch_ahead(const struct daemon *d, size_t i)
{
    enum {
        AHEAD = 32
    };

    if (i + 2 * AHEAD < d->active.n)
        __builtin_prefetch(d->active.at[i + 2 * AHEAD]);
    if (i + AHEAD < d->active.n)
        __builtin_prefetch(d->active.at[i + AHEAD]->job);
}

/* What it held stays its own; or others were stopped for it. */
bool sched_goes_first(const struct look *l, const struct job *j);

/* sched_runs.c: whose slots they take that may preempt. */
void sched_preempt(struct daemon *d, struct look *l);
/* The same: after the decision, and before anything starts, whose ranks stop or change for those that go on
 * waiting. */
void sched_change_running(struct daemon *d, struct look *l);

#endif
