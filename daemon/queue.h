/* Which waiting jobs start now, and where: a pure function of the queue and of the hosts.
 *
 * The job with the highest priority comes first; waiting makes up for priority, one point in
 * QUEUE_AGING_MS, so that no stream of more important jobs keeps one waiting for ever. As all of them age
 * alike, their order does not change while they wait: two jobs stand as their priorities and the times
 * of their arrival say. Within a priority that is the order of arrival. Before all others come jobs that
 * only stopped to go on with other ranks: what they held stays theirs; and jobs for which others were stopped.
 *
 * A slot is one core; a job needs ranks x threads of them, all at once or none (its ranks wait for
 * each other). A job that does not fit yet is given the first slots that running jobs must have left by their
 * time limits, and a job behind it starts out of turn only if it leaves those, and the same of all others
 * before it, alone (conservative backfill; Mu'alem and Feitelson, 2001). Every decision plans anew, so that slots
 * which come free early are used; for the job that is first in line that never means a later start. Where a
 * time limit is missing nothing can be planned, and a job that does not fit yet holds back all behind
 * it, or small jobs could keep a large one waiting for ever. A job that would not fit if all hosts that are up
 * were free holds nobody back.
 *
 * Of a project that may have so many slots at once, the first job that would exceed them waits, and those of the same
 * project behind it, or small ones could keep it waiting for ever; other projects' jobs pass. Slots that are
 * planned for a job count as had, so that no job of its project takes them from it. A job that exceeds them by itself
 * holds nobody back.
 *
 * A job that a user made stop goes behind all that waited then, whatever their priority, also those that were made to
 * stop before, and ages like everybody: those that come later, or are retried later, pass it only as they would pass the
 * last of these.
 *
 * A job may leave its ranks to the queue. It is planned with the fewest, so that nobody waits because it has more;
 * when all are planned, those that start now get twice as many, in turns, of what no plan and no quota needs. */
#ifndef DAEMON_QUEUE_H
#define DAEMON_QUEUE_H

#include "daemon/timeline.h"

enum {
    QUEUE_AGING_MS = 10 * 60 * 1000,
    QUEUE_DEPTH = 100 /* waiting jobs that are planned; those behind them wait for their turn */
};

/* What a job's place depends on. Many are sorted, so it is small. */
struct queue_place {
    int64_t arrived_ms;
    int64_t ahead_ms; /* queue_ahead: so much later it could have come */
    size_t arrival;   /* whatever rises with the order of arrival */
    int64_t seq;      /* the caller's, of the job */
};

/* first: it stopped to go on with other ranks, or others stopped for it. */
int64_t queue_ahead(int64_t priority, bool first);
/* Puts jobs that stand in the order of their arrival into the order of the queue. */
void queue_order(struct queue_place *places, size_t n);

/* Lets it stand behind another one, if it does not yet. Before they are put into order; both age alike from then on. */
void queue_go_behind(struct queue_place *p, const struct queue_place *other);

struct queue_job {
    int64_t ranks, threads; /* of one that starts: what it got */
    int64_t most;           /* ranks that it may get; 0: no more than it must have */
    int64_t left_ms;        /* of its time limit; TIMELINE_EVER: it has none */
    size_t project;

    /* The decision. */
    bool over_quota;  /* it waits for slots of its project */
    int64_t *given;   /* ranks on each host, to be freed; NULL: it waits */
    int64_t start_ms; /* as planned; TIMELINE_EVER: not known */
};

/* What a project may have. */
struct queue_quota {
    int64_t limit; /* INT64_MAX: all */
    int64_t left;
    bool closed; /* a job waits for them */
};

/* A job that runs. */
struct queue_running {
    const int64_t *ranks; /* on each host */
    int64_t threads;
    int64_t left_ms;
};

/* Decides for jobs in the order of the queue. hosts: what is free of them now. quotas: by project,
 * changed; NULL for none. How many it looked at: no job
 * behind those has any part in it. */
size_t queue_decide(struct queue_job *jobs, size_t n, const struct queue_running *running,
                    size_t n_running, const struct place_host *hosts, size_t n_hosts,
                    struct queue_quota *quotas);

#endif
