#define _GNU_SOURCE
#include "daemon/outcome.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/rng.h"

enum {
    STATUS_CANCELLED = 3,
    STATUS_IO = 74,
    STATUS_AGAIN = 75,
    STATUS_SIGNAL = 128, /* mpirun: a rank was ended by signal status - 128 */
    SIGNALS = 64         /* what is larger comes of mpirun itself */
};

/* Statuses that say by themselves what went wrong. */
static const struct {
    int status;
    enum failure failure;
    const char *code, *fallback;
} finals[] = {
    {1, FAILURE_USER, "failed", "the worker failed"}, /* but see diverged */
    {2, FAILURE_USER, "invalid", "the worker refused the job"},
    {65, FAILURE_DATA, "bad_data", "data or model files cannot be used"},
};

static int signal_of(const struct attempt_exit *e)
{
    int over = e->status - STATUS_SIGNAL;

    return e->signal ? e->signal : over > 0 && over <= SIGNALS ? over : 0;
}

/* By a limit that is not the kernel's last resort: of the address space, for example. */
static bool lacks_memory(const struct attempt_exit *e)
{
    static const char *const words[] = {"no memory for ", "out of memory: ", "std::bad_alloc"};

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strstr(e->message, words[i]))
            return true;
    return false;
}

static enum failure failure_of(const struct attempt_exit *e)
{
    if (e->class)
        return e->class;
    if (e->lost)
        return FAILURE_INFRA;
    if (e->stopped || e->status == STATUS_AGAIN)
        return FAILURE_PREEMPTED; /* nobody here asked for it: the host goes down, for example */
    if (lacks_memory(e))
        return FAILURE_OOM;
    return signal_of(e) || e->status > STATUS_SIGNAL || e->status == STATUS_IO ? FAILURE_INFRA
                                                                               : FAILURE_NONE;
}

/* How it ended, for an attempt that another one may mend. */
static void describe(const struct attempt_exit *e, char *out, size_t size)
{
    int number = signal_of(e);
    const char *name = number ? sigabbrev_np(number) : NULL;

    if (e->class == FAILURE_HANG)
        snprintf(out, size, "hung");
    else if (e->class == FAILURE_LOST_HOST)
        snprintf(out, size, "a host was lost");
    else if (e->class == FAILURE_OOM)
        snprintf(out, size, "out of memory: the kernel ended a process");
    else if (e->class == FAILURE_INFRA)
        snprintf(out, size, "could not be started");
    else if (e->lost)
        snprintf(out, size, "nobody saw its end%s", e->message[0] ? "" : " (the shim was killed)");
    else if (e->stopped)
        snprintf(out, size, "stopped from outside");
    else if (lacks_memory(e))
        snprintf(out, size, "out of memory");
    else if (number)
        snprintf(out, size, "ended by signal %d%s%s%s", number, name ? " (SIG" : "",
                 name ? name : "", name ? ")" : "");
    else if (e->status == STATUS_IO)
        snprintf(out, size, "a file could not be read or written");
    else if (e->status > STATUS_SIGNAL)
        snprintf(out, size, "mpirun ended with status %d", e->status);
    else
        snprintf(out, size, "stopped with a checkpoint");
}

static struct outcome try_again(const struct attempt_exit *e, const struct job *j,
                                const struct retry_policy *policy)
{
    struct outcome o = {.event = EV_AGAIN, .failure = failure_of(e)};
    int64_t count[FAILURE_COUNT], limit = policy->limit[o.failure];
    char how[64], pause[48] = "";

    memcpy(count, j->failures, sizeof(count));
    if (++count[o.failure] >= limit)
        o.event = EV_BAD;
    if (o.event == EV_AGAIN)
        o.wait_ms =
            retry_delay_ms(policy, count, rng_key(rng_key_text(0, j->id), (uint64_t)j->attempt));
    describe(e, how, sizeof(how));
    if (o.wait_ms)
        snprintf(pause, sizeof(pause), ", goes on after %.1f s", (double)o.wait_ms / 1e3);
    reason_set(&o.why, o.event == EV_BAD ? "attempts_exhausted" : failure_name(o.failure),
               "attempt %" PRId64 " (%s %" PRId64 " of %" PRId64 "%s): %s%s%s", j->attempt,
               failure_name(o.failure), count[o.failure], limit, pause, how,
               e->message[0] ? ": " : "", e->message);
    return o;
}

/* The worker has one status for all that went wrong in computing (step.c). */
static bool diverged(const struct attempt_exit *e)
{
    return e->status == 1 && strstr(e->message, "diverged: step ");
}

static struct outcome final_end(const struct attempt_exit *e)
{
    struct outcome o = {.event = EV_BAD, .failure = FAILURE_USER};

    for (size_t i = 0; i < ARRAY_LEN(finals); i++)
        if (finals[i].status == e->status) {
            o.failure = diverged(e) ? FAILURE_DIVERGED : finals[i].failure;
            reason_set(&o.why, diverged(e) ? "diverged" : finals[i].code, "%s",
                       e->message[0] ? e->message : finals[i].fallback);
            return o;
        }
    reason_set(&o.why, "failed", "ended with status %d%s%s", e->status, e->message[0] ? ": " : "",
               e->message);
    return o;
}

static bool is_yield(const struct attempt_exit *e, const struct job *j)
{
    /* The signal asks for the same; it may meet ranks that are about to end. Ranks that hung, or lost
     * others, may end as if they had stopped. */
    return job_is_stopping(j) && !e->lost && !e->class &&
           (e->status == STATUS_AGAIN || signal_of(e) == SIGUSR1);
}

/* What it stopped for. */
static void say_yielded(const struct job *j, struct reason *why)
{
    if (j->hold_requested)
        reason_set(why, "held", "%s",
                   "held by a user: stopped with a checkpoint; it waits until it is released");
    else if (j->behind)
        reason_set(why, "preempted", "%s",
                   "preempted by a user: stopped with a checkpoint; it goes on when those have "
                   "started that wait now");
    else if (j->resize_requested)
        reason_set(why, "resizing", "stopped with a checkpoint, to go on with %" PRId64 " rank%s",
                   j->ranks, j->ranks == 1 ? "" : "s");
    else if (j->yield_for[0])
        reason_set(why, "preempted", "%s", "stopped with a checkpoint for a more important job");
    else
        reason_set(why, "yielded", "%s", "stopped with a checkpoint, as it was asked to");
}

static bool time_is_over(const struct job *j)
{
    return j->limit_ms && j->ran_ms >= j->limit_ms;
}

static struct outcome out_of_time(const struct attempt_exit *e, const struct job *j)
{
    struct outcome o = {.event = EV_BAD, .failure = failure_of(e)};

    reason_set(&o.why, "time_limit",
               "ran for %.1f s, and its time_limit_s is %.1f; its newest checkpoint is kept",
               (double)j->ran_ms / 1e3, (double)j->limit_ms / 1e3);
    return o;
}

struct outcome outcome_of(const struct attempt_exit *e, const struct job *j,
                          const struct retry_policy *policy)
{
    struct outcome o = {.event = EV_DONE};

    if (!e->lost && !e->signal && e->status == 0 && !e->class)
        return o;
    if (j->cancel_requested || (!e->lost && e->status == STATUS_CANCELLED)) {
        o.event = EV_STOPPED;
        reason_set(&o.why, "cancelled", "%s", "cancelled by a user");
    } else if (e->unbegun) {
        o.event = EV_YIELDED;
        reason_set(&o.why, "not_begun",
                   "attempt %" PRId64
                   ": the daemon ended before anything of it ran; it does not count",
                   j->attempt);
    } else if (is_yield(e, j) && !time_is_over(j)) {
        o.event = EV_YIELDED;
        say_yielded(j, &o.why);
    } else if (!failure_of(e)) {
        o = final_end(e);
    } else {
        o = time_is_over(j) ? out_of_time(e, j) : try_again(e, j, policy);
    }
    return o;
}
