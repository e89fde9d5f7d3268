/* What exists for a caller: with a token of a project, only what is that project's. Of everything else nothing shows,
 * not even that it is there. Each route says which of its parts tells whose it is, and is held against that before
 * its handler runs; what a request names elsewhere, and lists, ask here too. */
#ifndef DAEMON_REACH_H
#define DAEMON_REACH_H

#include "daemon/daemon.h"

/* Of a route. */
enum reach {
    REACH_ALL,    /* it concerns all projects: refused to a token of one */
    REACH_SHARED, /* what all projects have together: the registry, what the daemon can do */
    REACH_OWN, /* no part of the path tells; the handler shows, and makes, what is the caller's */
    REACH_JOB, /* the first {..} of the path is a job's id, */
    REACH_WEBHOOK, /* a webhook's, */
    REACH_PROJECT, /* the name of a project */
    REACH_COUNT
};

/* ERR_NOT_FOUND, in the words of what is not there; ERR_FORBIDDEN. */
bool reach_check(const struct daemon *d, const struct request *r, enum reach reach,
                 struct error *err);

/* The project that lists show; NULL: all. who NULL is the daemon itself, here as below. */
const char *reach_only(const struct caller *who);
bool reach_sees(const struct caller *who, const char *project);
/* ERR_NOT_FOUND for a job of another project, as for one that there is not. */
bool reach_job(const struct daemon *d, const struct caller *who, const char *id, struct error *err);

#endif
