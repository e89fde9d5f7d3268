#include "daemon/needs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/lifecycle.h"
#include "daemon/reach.h"
#include "daemon/sched.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

enum {
    NAMED = 16 /* of those that are waited for */
};

static bool is_broken(const struct job_need *n)
{
    return n->must_succeed && job_is_final(n->state) && n->state != JOB_SUCCEEDED;
}

enum needs_verdict needs_verdict(const struct job *j)
{
    enum needs_verdict v = NEEDS_MET;

    for (size_t i = 0; i < j->n_needs; i++)
        if (is_broken(&j->needs[i]))
            return NEEDS_BROKEN;
        else if (!job_is_final(j->needs[i].state))
            v = NEEDS_WAIT;
    return v;
}

static void describe_broken(const struct job_need *n, struct reason *why)
{
    reason_set(why, "dependency_failed", "job %s, which had to succeed before this one, %s", n->id,
               n->state == JOB_FAILED ? "failed" : "was cancelled");
}

static void describe_waiting(const struct job *j, struct reason *why)
{
    struct buf names = buf_new(0);
    size_t n = 0;

    for (size_t i = 0; i < j->n_needs; i++) {
        if (job_is_final(j->needs[i].state))
            continue;
        if (n++ < NAMED)
            buf_fmt(&names, "%s%s to %s", n > 1 ? ", " : "", j->needs[i].id,
                    j->needs[i].must_succeed ? "succeed" : "be over");
    }
    if (n > NAMED)
        buf_fmt(&names, " and %zu more", n - NAMED);
    reason_set(why, "waiting_for_jobs", "waits for %s", buf_text(&names));
    buf_free(&names);
}

void needs_describe(const struct job *j, struct reason *why)
{
    for (size_t i = 0; i < j->n_needs; i++)
        if (is_broken(&j->needs[i])) {
            describe_broken(&j->needs[i], why);
            return;
        }
    describe_waiting(j, why);
}

static bool state_of(const struct daemon *d, const char *id, enum job_state *out, struct error *err)
{
    const struct active *a = daemon_active(d, id);

    if (!a)
        return store_job_state(d->store, id, out, err);
    *out = a->job->state;
    return true;
}

void needs_check(const struct daemon *d, const struct caller *who, size_t at, const char *id,
                 struct problems *p)
{
    enum job_state state;
    struct error err;
    char *pointer;

    if (!id || (reach_job(d, who, id, &err) && state_of(d, id, &state, &err)))
        return;
    pointer = str_fmt("#/depends_on/%zu/job", at);
    problems_add(p, pointer, "expected the id of a job; %s", err.msg);
    free(pointer);
}

bool needs_look(struct daemon *d, struct job *j, struct error *err)
{
    for (size_t i = 0; i < j->n_needs; i++) {
        struct job_need *n = &j->needs[i];

        if (state_of(d, n->id, &n->state, err))
            continue;
        if (err->code != ERR_NOT_FOUND)
            return false;
        n->state = JOB_CANCELLED;
    }
    j->needs_told = false;
    return true;
}

void needs_note(struct daemon *d, const struct job *over)
{
    for (size_t i = 0; i < d->busy.n; i++) {
        struct job *j = d->busy.at[i]->job;

        for (size_t k = 0; k < j->n_needs; k++)
            if (strcmp(j->needs[k].id, over->id) == 0) {
                j->needs[k].state = over->state;
                j->needs_told = false;
            }
    }
}

static void tell(struct daemon *d, struct job *j)
{
    struct reason why;

    needs_describe(j, &why);
    job_explain(j, &why);
    j->needs_told = true;
    lifecycle_tell_text(d, "state", j, job_text(j, false));
}

static void give_up(struct daemon *d, struct active *a)
{
    struct reason why;
    struct error err;

    needs_describe(a->job, &why);
    if (!lifecycle_apply(d, a, EV_CANCEL, &why, &err))
        log_error("a job cannot be cancelled yet error=\"%s\"", err.msg);
}

void needs_pass(struct daemon *d)
{
    /* From the end, because what is over leaves the list. */
    for (size_t i = d->busy.n; i-- > 0;) {
        struct active *a = d->busy.at[i];
        enum needs_verdict v;

        if (!a->job->n_needs || a->job->state != JOB_QUEUED)
            continue;
        v = needs_verdict(a->job);
        if (v == NEEDS_BROKEN)
            give_up(d, a);
        else if (v == NEEDS_WAIT && !a->job->needs_told && !a->job->hold_requested)
            tell(d, a->job);
    }
}
