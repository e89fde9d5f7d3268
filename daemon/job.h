/* A job as the daemon keeps it, and as the API shows it. */
#ifndef DAEMON_JOB_H
#define DAEMON_JOB_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "daemon/caller.h"
#include "daemon/failure.h"
#include "daemon/ids.h"
#include "daemon/job_fsm.h"
#include "daemon/trace.h"
#include "proto/base/json.h"
#include "proto/base/jw.h"
#include "proto/wire/ref.h"
#include "proto/wire/sweep.h"

/* Why a job is in its state: a word for programs and a sentence for people. */
struct reason {
    char code[32];
    char message[1280];
};

/* The same as a job keeps it, which waits among many. */
struct job_reason {
    char code[32];
    char *message; /* NULL: it has none */
};

struct job_progress {
    int64_t step, total_steps, epoch;
    double eta_s, images_per_s; /* negative: unknown */
    char phase[32];
};

/* Of a job that is a sweep: it runs nothing itself, the daemon makes other jobs of it (sweeps.h). */
struct job_sweep {
    int64_t total;                 /* jobs that it will have been in the end; 0: it is no sweep */
    int64_t parallel;              /* of them at a time; 0: as many as the slots allow */
    int64_t made[JOB_STATE_COUNT]; /* so far, by their state */
};

/* Of a job that a sweep has made. */
struct job_origin {
    char sweep[JOB_ID_SIZE]; /* ""; it was submitted by itself */
    int64_t index;           /* its number in the sweep */
    int64_t round;           /* the attempt of the sweep in which it came into the queue */
    char *place;             /* JSON text: {"point", "values", "seed"} */
};

/* A job that must be over before another one starts. */
struct job_need {
    char id[JOB_ID_SIZE];
    bool must_succeed;
    enum job_state state; /* as far as it is known here (needs.h) */
};

struct job {
    /* What every look at the queue reads of every job. Together, because there are many. */
    int64_t seq; /* order of arrival */
    enum job_state state;
    bool cancel_requested; /* durable: a cancel cannot be lost */
    bool resize_requested; /* durable: that attempt stops, and the next one is first in the queue */
    bool hold_requested;   /* durable: no attempt starts until it is released */
    bool yield_requested; /* durable: that attempt stops, at no cost; the next one stands in line */
    int64_t created_ms;   /* wall clock, as all of these; 0: not yet */
    int64_t not_before_ms; /* the next attempt waits until then; 0: it may start */
    int64_t priority;
    /* Durable. A user made it stop, so that others go first: all that had come by then, up to this seq; 0: nobody
     * did. Until it starts again. */
    int64_t behind;
    size_t n_needs;
    struct job_sweep sweep;

    bool preempt, preemptible;
    int64_t ranks;                /* that it should have: the next attempt gets them */
    int64_t ranks_min, ranks_max; /* differ: the queue chooses, and may change it while it runs */
    int64_t threads;
    int64_t limit_ms;       /* of its running time; 0: none */
    int64_t ran_ms;         /* all attempts that are over, together */
    int64_t planned_ms;     /* when the queue expects to start it; 0: not known. Not durable */
    int64_t min_runtime_ms; /* of an attempt, before it is preempted */
    /* Durable. Rises with each job that is made to stop so, or retried: what of them came last. 0: it was neither. */
    int64_t turn;
    char id[JOB_ID_SIZE];
    char name[132], kind[16], project[REF_NAME_SIZE];
    char *spec;      /* the normalised JobSpec as JSON text */
    char *written;   /* the spec as it was sent, until that is stored; NULL: nobody sent it */
    bool names_none; /* its spec names nothing of the registry; false: that is not known */
    char *result;    /* result.json, or NULL */
    /* Hosts of its newest attempt and how many ranks each has: "a:2,b:1"; or NULL. */
    char *placement;
    struct job_reason reason;        /* code "": none; see job_explain */
    int64_t attempt;                 /* the newest; 0 before the first */
    int64_t attempt_ranks;           /* of the newest attempt */
    int64_t failures[FAILURE_COUNT]; /* attempts that ended so, and were tried again (failure.h) */
    int64_t started_ms, finished_ms; /* 0: not yet */
    struct job_progress progress;
    int64_t unheard_ms; /* since then nothing is heard of its ranks, which may go on; 0: they are */
    struct job_origin origin;
    struct job_need *needs; /* n_needs of them */
    /* Durable as cancel_requested, of which it is: how long ranks may take for a checkpoint; -1: as for any stop. */
    int64_t cancel_grace_s;
    /* While yield_requested, and until it starts again: the job that has its slots; "": none. */
    char yield_for[JOB_ID_SIZE];
    char trace[TRACE_SIZE];        /* the span of the request that brought it; "": none */
    char owner[CALLER_ID_SIZE];    /* who brought it, as the audit log has it; "": not known */
    char cloned_from[JOB_ID_SIZE]; /* the job whose spec it was made from; "": none */
    bool needs_told;               /* its reason says which it waits for */
};

/* From a spec that has passed validation. */
struct job *job_new(const char *id, const JobSpec *spec, int64_t now_ms);
/* Makes a sweep of it, which keeps the spec as it was written. */
void job_become_sweep(struct job *j, const struct json *spec, const struct sweep *s);
/* Reads its needs out of its spec. */
void job_read_needs(struct job *j);
void job_forget_needs(struct job *j);
void job_destroy(struct job *j); /* NULL is fine */

static inline bool job_is_sweep(const struct job *j)
{
    return j->sweep.total > 0;
}

/* Jobs that a sweep has made, and those of them that are not over. */
int64_t job_sweep_made(const struct job *j);
int64_t job_sweep_going(const struct job *j);
/* The progress of a sweep, in jobs, after `made` has changed. */
void job_sweep_count(struct job *j);

static inline bool job_is_elastic(const struct job *j)
{
    return j->ranks_min < j->ranks_max;
}

/* The fewest that let it start, and the most that it may then get; the same for a job that is not elastic. One that
 * stopped to go on with other ranks gets no more than those. */
static inline int64_t job_least(const struct job *j)
{
    return job_is_elastic(j) ? j->ranks_min : j->ranks;
}

static inline int64_t job_most(const struct job *j)
{
    return job_is_elastic(j) && !j->resize_requested ? j->ranks_max : j->ranks;
}

/* What it holds or, in the queue, waits for. */
static inline int64_t job_slots(const struct job *j)
{
    return (j->state == JOB_QUEUED ? job_least(j) : j->attempt_ranks) * j->threads;
}

/* The code of a job whose row cannot be read. */
#define REASON_DAMAGED "damaged"

static inline bool job_is_damaged(const struct job *j)
{
    return strcmp(j->reason.code, REASON_DAMAGED) == 0;
}

bool job_kind_known(const char *kind);
/* Its attempt was asked to stop so that another one goes on, now or later. */
static inline bool job_is_stopping(const struct job *j)
{
    return j->resize_requested || j->yield_requested;
}

/* It runs with fewer ranks than it would take. */
static inline bool job_can_grow(const struct job *j)
{
    return job_is_elastic(j) && j->state == JOB_RUNNING && j->attempt_ranks < j->ranks_max &&
           !job_is_stopping(j);
}

void reason_set(struct reason *r, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* As a job keeps it, whose message is released with the job; NULL: none. */
struct job_reason reason_kept(const struct reason *r);
/* Takes the place of the job's reason; NULL: none. */
void job_explain(struct job *j, const struct reason *r);
const char *job_why(const struct job *j); /* the message; "": none */

/* The API's Job. Without the spec it is what events carry. */
void job_write(struct jw *w, const char *key, const struct job *j, bool with_spec);
char *job_text(const struct job *j, bool with_spec); /* free() */
/* The same as a value, for those who add to it. */
struct json *job_json(const struct job *j, bool with_spec);
/* {"infra": 1}: those that there are. */
void job_write_reason(struct jw *w, const char *key, const struct job *job); /* null: none */
void job_write_failures(struct jw *w, const char *key, const struct job *j);
/* {"id", "progress"}; free() */
char *job_progress_text(const struct job *j);

#endif
