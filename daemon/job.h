/* A job as the daemon keeps it, and as the API shows it. */
#ifndef DAEMON_JOB_H
#define DAEMON_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/ids.h"
#include "daemon/job_fsm.h"
#include "proto/base/json.h"
#include "proto/wire/job.h"

/* Why a job is in its state: a word for programs and a sentence for people. */
struct reason {
    char code[32];
    char message[1280];
};

struct job_progress {
    int64_t step, total_steps, epoch;
    double eta_s, images_per_s; /* negative: unknown */
    char phase[32];
};

struct job {
    char id[JOB_ID_SIZE];
    int64_t seq; /* order of arrival */
    char name[132], kind[16];
    char *spec;   /* the normalised JobSpec as JSON text */
    char *result; /* result.json, or NULL */
    char *
        placement; /* hosts of its newest attempt and how many ranks each has: "a:2,b:1"; or NULL */
    enum job_state state;
    struct reason reason;  /* code "": none */
    bool cancel_requested; /* durable: a cancel cannot be lost */
    int64_t attempt;       /* the newest; 0 before the first */
    int64_t attempt_base;  /* so many of them do not count against the limit */
    int64_t lost_hosts; /* of the others, so many have ended so: they have a limit of their own */
    int64_t max_attempts, threads, priority;
    int64_t ranks;         /* that it should have: the next attempt gets them */
    int64_t attempt_ranks; /* of the newest attempt */
    bool resize_requested; /* durable: that attempt stops, and the next one is first in the queue */
    int64_t created_ms, started_ms, finished_ms; /* wall clock; 0: not yet */
    struct job_progress progress;
};

/* From a spec that has passed validation. */
struct job *job_new(const char *id, const JobSpec *spec, int64_t now_ms);
void job_destroy(struct job *j); /* NULL is fine */

/* What it holds or, in the queue, waits for. */
static inline int64_t job_slots(const struct job *j)
{
    return (j->state == JOB_QUEUED ? j->ranks : j->attempt_ranks) * j->threads;
}

void reason_set(struct reason *r, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The API's Job. Without the spec it is what events carry. */
struct json *job_json(const struct job *j, bool with_spec);
/* {"id", "progress"} */
struct json *job_progress_json(const struct job *j);

#endif
