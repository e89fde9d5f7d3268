/* What is stored and needed no more. A plan says what that is, and how much of the disk it takes; a run removes just what
 * a plan says, but nothing that has come into use since. The daemon makes runs of its own every hour where it has a
 * retention (--retention-days).
 *
 * No part of it: what is registered, uploads (they expire by themselves), all that a job which is not over
 * names, and jobs with a checkpoint that is pinned, with the sweep that such a job is of. */
#ifndef DAEMON_GC_H
#define DAEMON_GC_H

#include "daemon/purge.h"

enum gc_kind {
    GC_JOB,        /* all of a job; of a sweep, of its jobs too */
    GC_CHECKPOINT, /* of a job that is over */
    GC_CACHE,
    GC_ORPHAN,
    GC_TEMPORARY,
    GC_COPY,
    GC_KIND_COUNT
};
/* As in the API; and why such things are removed. */
const char *gc_kind_name(enum gc_kind k);
const char *gc_kind_why(enum gc_kind k);

struct gc_item {
    enum gc_kind kind;
    char *name; /* a job's id; else the path below STATE */
    int64_t files, bytes;
    int64_t
        stamp_ms; /* when it was last changed, or the job ended: another time, and it is left alone */
};

enum {
    GC_ID_SIZE = 20 /* "gc_", 16 hexadecimal digits, and the NUL */
};

struct gc_plan {
    char id[GC_ID_SIZE];
    int64_t number; /* which one, since the daemon started */
    int64_t made_ms, files, bytes;
    VEC(struct gc_item) items;
    bool more; /* so much that it is only the beginning */
};

/* What a plan is made by; the members of `settings` in days, 0: for ever. */
struct gc_rules {
    char *state_dir;
    int64_t number;                         /* of the plan */
    int64_t now_ms, retention_ms, cache_ms; /* 0: for ever */
    int64_t in_use_ms;                      /* a cache that was used since then is in use */
    struct named named;
};
/* As of now. retention_days: instead of the setting; -1: the setting. */
void gc_rules_take(struct daemon *d, int64_t retention_days, struct gc_rules *r);
void gc_rules_free(struct gc_rules *r);

/* On any thread. NULL with err. */
struct gc_plan *gc_plan_make(const struct gc_rules *r, struct error *err);
void gc_plan_free(struct gc_plan *p); /* NULL is fine */
/* Removes the item, unless it is a job; any thread. False with ERR_CONFLICT: it has changed since. */
bool gc_item_remove(int state, const struct gc_item *i, struct error *err);

/* -- Runs --------------------------------------------------------------------------------------------- */

struct gc;
struct gc *gc_open(struct daemon *d);
void gc_close(struct gc *g); /* after the loop has ended; NULL is fine */

/* Keeps a plan for a run, instead of the one before. */
const struct gc_plan *gc_keep(struct daemon *d, struct gc_plan *take_plan);

struct gc_outcome {
    char plan[GC_ID_SIZE];
    int64_t removed, bytes;
    int64_t skipped, failed; /* in use by now; could not be removed: the log says why */
    bool stopped;            /* the daemon ends, and has left the rest */
};
/* Carries out the plan that was kept. *begun, unless it is NULL, is called first, in a transaction. done: on the loop,
 * later. ERR_CONFLICT while another run goes on; ERR_NOT_FOUND: that is not the plan which was kept last. */
bool gc_run(struct daemon *d, const char *plan, bool (*begun)(void *arg, struct error *err),
            void (*done)(const struct gc_outcome *o, void *arg), void *arg, struct error *err);
/* A checkpoint of the job is pinned by now: plans that were begun before may not know, and leave the job. */
void gc_spare(struct daemon *d, const struct job *j);
/* Of a plan that is begun now. */
int64_t gc_next_number(struct daemon *d);
/* Plan and run, if there is a retention. */
void gc_hourly(struct daemon *d);

#endif
