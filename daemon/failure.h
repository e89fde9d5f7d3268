/* Why an attempt did not get its job done: classes that differ in what another attempt is worth. Each has a
 * budget of its own, so that a host that is lost does not use up what a hang may need. */
#ifndef DAEMON_FAILURE_H
#define DAEMON_FAILURE_H

#include <stdint.h>

#include "proto/base/json.h"

enum failure {
    FAILURE_NONE,      /* it got done, or ended as somebody here had asked */
    FAILURE_INFRA,     /* a process did not start, was killed, or vanished; a disk refused */
    FAILURE_LOST_HOST, /* a rank on another host was not heard any more */
    FAILURE_HANG,      /* a rank did not get on, so the shim ended it */
    FAILURE_OOM, /* the kernel ended a rank because memory was short, or one says that it got none */
    FAILURE_PREEMPTED, /* stopped from outside, or with a checkpoint that nobody here had asked for */
    FAILURE_USER,      /* the job cannot be computed as it is */
    FAILURE_DATA,      /* data or model files cannot be used */
    FAILURE_DIVERGED, /* a loss that is not finite; it would be again */
    FAILURE_COUNT
};

const char *failure_name(enum failure f); /* "" for none */
enum failure failure_parse(const char *name);

/* RetrySpec, as the daemon reads it. */
struct retry_policy {
    int64_t
        limit[FAILURE_COUNT]; /* so many attempts may end so; with the last the job has failed */
    double reset_s;           /* an attempt that lasted so long makes earlier ends forgotten */
    double backoff_s, backoff_max_s;
};

/* Of a spec (JSON text). What it does not say, being older than that, is as if it were left out. */
struct retry_policy retry_policy_of(const char *spec);

/* How long to wait after the attempts that ended as `count` says: doubled with each, and then a fifth
 * longer or shorter by a draw from `seed`, so that jobs that fell together do not start together. Ends that somebody here
 * had asked for are not among them. */
int64_t retry_delay_ms(const struct retry_policy *p, const int64_t count[FAILURE_COUNT],
                       uint64_t seed);

/* No pause of a job with this spec (JSON text) is longer. */
int64_t retry_longest_ms(const char *spec);

#endif
