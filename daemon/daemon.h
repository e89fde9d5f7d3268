/* The parts of a running distilld, wired once in main.c. Everything here belongs to the loop's thread; work on
 * others is given what it needs. */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include <sys/stat.h>
#include <uv.h>

#include "daemon/events.h"
#include "daemon/http.h"
#include "daemon/job.h"
#include "daemon/reply.h"
#include "daemon/settings.h"
#include "daemon/store.h"
#include "daemon/turns.h"
#include "proto/base/pool.h"
#include "proto/wire/catalog.h"

/* A job that is not over, and what is only known while the daemon runs. */
struct active {
    /* What every look at the queue reads of every one; together, because there are many. */
    struct job *job;
    size_t project; /* of d->projects */
    /* No attempt starts before it; of the monotonic clock, as a wall clock may be set meanwhile. */
    int64_t pause_until_ns;

    int64_t used_slot_ms;     /* by an attempt whose end is being recorded */
    struct uplink_peer *peer; /* the connection of its rank 0, or NULL */
    struct child *child;      /* its shim, while it is our child and has not ended, or NULL */
    int64_t bury_at_ns; /* when ranks on other hosts, of an attempt without a shim, are dead; 0:
                                 not known yet */
    int64_t since_ns;   /* of the monotonic clock: its attempt began; 0: not known yet */
    int64_t kill_at_ns; /* when ranks that were asked to stop get a signal; 0: never */
    int64_t term_at_ns; /* when its shim was first told to end the attempt; 0: it was not */
    int64_t heard_ns;   /* of the monotonic clock, when the peer last said something */
    int64_t log_bytes;  /* of rank 0's log, when it was last announced */
    int64_t seen_step;  /* at the last look */
    int still;          /* looks at which it had not got on, and its shim was stopped */
    bool unguarded;     /* its shim was stopped, and it with it, for so long that it is ended */
    bool all_redone;    /* of a sweep: what earlier attempts left undone is in the queue again */
    bool inherited;     /* an earlier run of the daemon began its attempt */
    bool unprepared;    /* what its newest start needs could not be made */
    uint8_t unstarted;  /* so many starts in a row failed so */
    bool busy;          /* it is in d->busy */
};

/* Of a job that waits. */
struct line_place {
    int64_t seq;
    size_t ahead; /* so many that wait */
};

/* One that is kept for whoever comes next and sees the same: snapshot.h. */
struct snapshot {
    struct event *frame; /* its project is the only one that they see; "": they see all */
    uint64_t untold;     /* d->untold then */
    double until_s;      /* of the monotonic clock: may be given, although something has happened */
};

struct daemon {
    uv_loop_t loop;
    struct settings settings;
    char *state_dir; /* absolute */
    char token[80];  /* for users */
    char *address;   /* "http://127.0.0.1:8470" */
    char *roots;     /* where workers may read what users name (roots.h); NULL: anywhere */
    struct store *store;
    struct events *events;
    VEC(struct snapshot) snapshots;
    struct catalog catalog;      /* what the worker can do; abilities.h says when that is known */
    struct abilities *abilities; /* NULL: it is */
    struct http *http;
    struct http *local; /* the UNIX socket; NULL: none */
    struct tokens *tokens;
    struct audit *audit;
    struct limits *limits;
    struct uplink *uplink;
    struct hosts *hosts;
    struct courier *courier;
    struct worker_calls *worker_calls;
    struct purge *purge; /* jobs that are being removed */
    struct gc *gc;
    struct hashes *hashes;
    struct turns turns;           /* of requests that read a lot */
    struct piece *pieces;         /* of uploads, which are coming in: api_uploads.c */
    VEC(struct project) projects; /* projects.c: as they came to be known */
    struct pool pool;             /* of active jobs: each look at the queue walks over them */
    VEC(struct active *) active;  /* in the order of arrival */
    VEC(struct active *) busy; /* of them, in that order: those that do more than wait for slots */
    struct intake *intake;     /* submissions that wait for their commit */
    uv_timer_t tick;           /* attempts.c: looks after attempts once a second */
    uv_timer_t schedule;       /* sched.c: a pass is due */
    double scheduled_s;        /* when the last pass ended, on the monotonic clock */
    double pass_s;             /* its processor time */
    bool in_pass;
    uv_timer_t heartbeat; /* sse.c */
    uv_timer_t last;      /* main.c: the end of a daemon whose disk has failed */
    uv_timer_t hourly;    /* main.c: forgets what is old */
    uint64_t beats;       /* heartbeats so far */
    int64_t started_ms;
    bool ready; /* and whoever started it knows */
    bool stopping;
    bool broken;               /* the disk has failed: it ends, as soon as answers are given */
    struct error failure;      /* code not ERR_NONE: why it ends, although it has started */
    bool paused;               /* no job starts */
    struct reply_memory lists; /* of jobs */
    uint64_t untold;           /* changes of jobs that no event has told */
    /* After the newest pass of the queue: slots that nobody has, who waits, and when the first of them are to start
     * (wall clock; 0: not known; -1: it waits for its project's quota). */
    int64_t free_slots;
    VEC(struct line_place) line; /* in order; and by seq, or empty until somebody asks: */
    VEC(struct line_place) line_by_seq;
    VEC(int64_t) plans;
    uint64_t submissions; /* accepted, since the start */
    struct histogram schedule_seconds, checkpoint_seconds;
};

/* The entry of a job that is not over; NULL for others. */
struct active *daemon_active(const struct daemon *d, const char *id);
struct active *daemon_add_active(struct daemon *d, struct job *take_job);
/* To be called when the state of its job, or what was requested of it, has changed. */
void daemon_note_change(struct daemon *d, struct active *a);
/* Releases the entry and its job. */
void daemon_drop_active(struct daemon *d, struct active *a);
/* All of them, when the daemon ends. */
void daemon_drop_all(struct daemon *d);

/* Asks all open streams again, soon; and how many there are. */
void daemon_wake_streams(struct daemon *d);
size_t daemon_streams(const struct daemon *d);

/* STATE/jobs/ID/rest; free() */
char *daemon_job_path(const struct daemon *d, const char *id, const char *rest);
/* STATE/jobs/ID/attempts/N */
char *daemon_attempt_path(const struct daemon *d, const struct job *j);

/* A folder below STATE. In its first place an operator's link leads where it leads, as STATE/jobs to a larger disk; further
 * down none is followed (beneath.h). "" is STATE itself. Any thread; -1 with err. */
int daemon_open_below(int state, const char *path, struct error *err);
/* A job's run directory, and a regular file in it, for reading. Ranks may have put there what they like, so nothing is
 * followed or waited for (beneath.h). -1 with err. st: may be NULL. */
int daemon_open_out(const struct daemon *d, const char *id, struct error *err);
int daemon_open_output(const struct daemon *d, const char *id, const char *name, struct stat *st,
                       struct error *err);

#endif
