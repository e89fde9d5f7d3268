#define _GNU_SOURCE
#include "daemon/outcome.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/mem.h"

enum {
    STATUS_CANCELLED = 3,
    STATUS_AGAIN = 75,
    LOST_HOSTS_MAX = 10,
    STATUS_SIGNAL = 128 /* mpirun: a rank was ended by signal status - 128 */
};

/* Statuses that are final, as the worker means them. */
static const struct {
    int status;
    const char *code, *fallback;
} finals[] = {
    {1, NULL, "the worker failed"}, /* see code_of_failure */
    {2, "invalid", "the worker refused the job"},
    {65, "bad_data", "data or model files cannot be used"},
};

static int signal_of(const struct attempt_exit *e)
{
    return e->signal ? e->signal : e->status > STATUS_SIGNAL ? e->status - STATUS_SIGNAL : 0;
}

/* How it ended, for an attempt that another one may mend. */
static void describe(const struct attempt_exit *e, char *out, size_t size)
{
    int number = signal_of(e);
    const char *name = number ? sigabbrev_np(number) : NULL;

    if (e->class == ATTEMPT_HANG)
        snprintf(out, size, "hung");
    else if (e->class == ATTEMPT_LOST_HOST)
        snprintf(out, size, "a host was lost");
    else if (e->lost)
        snprintf(out, size, "nobody saw its end%s", e->message[0] ? "" : " (the shim was killed)");
    else if (e->stopped)
        snprintf(out, size, "stopped from outside");
    else if (number)
        snprintf(out, size, "ended by signal %d%s%s%s", number, name ? " (SIG" : "",
                 name ? name : "", name ? ")" : "");
    else
        snprintf(out, size, "stopped with a checkpoint");
}

/* Whoever is to blame, the attempt counts: a job that brings down its hosts must not go on for ever. */
static enum job_event try_again(const struct attempt_exit *e, const struct job *j,
                                struct reason *why)
{
    bool lost_host = e->class == ATTEMPT_LOST_HOST;
    int64_t used = lost_host ? j->lost_hosts + 1 : j->attempt - j->attempt_base - j->lost_hosts;
    int64_t max = lost_host ? LOST_HOSTS_MAX : j->max_attempts;
    bool again = used < max;
    char how[64];

    describe(e, how, sizeof(how));
    reason_set(why,
               !again     ? "attempts_exhausted"
               : e->class ? attempt_class_name(e->class)
                          : "attempt_ended",
               "attempt %" PRId64 " (%" PRId64 " of %" PRId64 "): %s%s%s", j->attempt, used, max,
               how, e->message[0] ? ": " : "", e->message);
    return again ? EV_AGAIN : EV_BAD;
}

/* Of the worker's words: it has one status for all that went wrong in computing (trainer.c). */
static const char *code_of_failure(const char *message)
{
    return strstr(message, "diverged: step ") ? "diverged" : "failed";
}

static enum job_event final_end(const struct attempt_exit *e, struct reason *why)
{
    for (size_t i = 0; i < ARRAY_LEN(finals); i++)
        if (finals[i].status == e->status) {
            const char *code = finals[i].code ? finals[i].code : code_of_failure(e->message);

            reason_set(why, code, "%s", e->message[0] ? e->message : finals[i].fallback);
            return EV_BAD;
        }
    reason_set(why, "failed", "ended with status %d%s%s", e->status, e->message[0] ? ": " : "",
               e->message);
    return EV_BAD;
}

enum job_event outcome_of(const struct attempt_exit *e, const struct job *j, struct reason *why)
{
    *why = (struct reason){.code = ""};
    if (!e->lost && !e->signal && e->status == 0 && !e->class)
        return EV_DONE;
    if (j->cancel_requested || (!e->lost && e->status == STATUS_CANCELLED)) {
        reason_set(why, "cancelled", "%s", "cancelled by a user");
        return EV_STOPPED;
    }
    /* The signal asks for the same; it may meet ranks that are about to end. Ranks that hung, or lost
     * others, may end as if they had stopped. */
    if (j->resize_requested && !e->lost && !e->class &&
        (e->status == STATUS_AGAIN || signal_of(e) == SIGUSR1)) {
        reason_set(why, "resizing", "stopped with a checkpoint, to go on with %" PRId64 " rank%s",
                   j->ranks, j->ranks == 1 ? "" : "s");
        return EV_RESIZED;
    }
    /* Nobody here asked for a stop, so it came from outside: the host goes down, for example. */
    if (e->class || e->lost || e->stopped || signal_of(e) || e->status == STATUS_AGAIN)
        return try_again(e, j, why);
    return final_end(e, why);
}
