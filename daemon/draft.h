/* A job as it was written, on its way to be accepted. What its text tells is found out on any thread; what only this daemon
 * can tell, on the loop's. */
#ifndef DAEMON_DRAFT_H
#define DAEMON_DRAFT_H

#include "daemon/daemon.h"
#include "proto/base/json_split.h"
#include "proto/wire/problems.h"

/* For whom a job is made. */
struct draft_client {
    struct daemon *daemon;    /* which knows its worker's abilities */
    const struct caller *who; /* NULL: the daemon itself */
    const char *trace;        /* of its request; NULL: none */
};

/* Whether this daemon can do what a job asks of it, is not told by the spec, but what it asks is. */
struct draft_asks {
    char *project;          /* NULL: nothing, there is no spec */
    int64_t ranks, threads; /* the fewest ranks */
    VEC(struct draft_path) paths;
    VEC(char *) needs; /* ids of jobs; NULL: one has none */
};

struct draft {
    struct json *
        written; /* what is to be judged on the loop's thread; NULL: what follows is known already */
    char *text;  /* what is kept of how it was written */
    struct draft_asks asks;
    struct job *job;          /* what it makes, when nothing is wrong with the spec */
    struct problems problems; /* of which there are some, or draft_end gives a job */
};

/* `sent` is the text that it was read from; NULL: none. Any thread. */
void draft_begin(struct draft *f, const struct draft_client *c, struct json *take_written,
                 const struct js_part *sent);
/* The rest. A job that has no id yet, or NULL with problems. */
struct job *draft_end(struct draft *f, const struct draft_client *c);
void draft_fini(struct draft *f);

/* Holds a job against all rules, also those that only this daemon can tell. */
void draft_check(const JobSpec *spec, struct problems *p, void *draft_client);

#endif
