/* Follows jobs to their end by the server's event stream. A lost connection is taken up again where
 * it ended (Last-Event-ID), through restarts of the daemon; in between, and when there is no stream to
 * be had, the jobs are asked for one by one. */
#ifndef CLIENT_FOLLOW_H
#define CLIENT_FOLLOW_H

#include "client/ctl.h"

struct follow_options {
    FILE *to;         /* where progress is shown */
    double timeout_s; /* 0: none */
};

/* True when all succeeded; otherwise err tells of the first that did not, of a server that stayed
 * away, or of the time that ran out. */
bool follow_jobs(struct ctl *c, const char *const *ids, size_t n,
                 const struct follow_options *options, struct error *err);

/* Of a job that was just accepted: prints its id (with --json the job) and, if asked to, follows it. */
bool follow_new(struct ctl *c, const struct json *job, bool wait, double timeout_s,
                struct error *err);

#endif
