/* The queue as a whole. */
#include "daemon/api.h"
#include "daemon/hosts.h"
#include "daemon/problem.h"
#include "daemon/reach.h"
#include "daemon/sched.h"

static void reply_queue(struct daemon *d, struct request *r)
{
    struct json *j = js_new_object();
    int64_t waiting = 0, running = 0;

    for (size_t i = 0; i < d->active.n; i++) {
        const struct job *one = d->active.at[i]->job;

        if (job_is_sweep(one) || !reach_sees(&r->caller, one->project))
            continue;
        waiting += one->state == JOB_QUEUED;
        running += one->state != JOB_QUEUED;
    }
    js_set(j, "paused", js_new_bool(d->paused));
    js_set(j, "slots", js_new_int(d->settings.slots));
    js_set(j, "used_slots", js_new_int(hosts_used(d)));
    js_set(j, "waiting", js_new_int(waiting));
    js_set(j, "running", js_new_int(running));
    reply_json(r, 200, j);
}

static void set_paused(struct daemon *d, struct request *r, bool paused)
{
    struct error err;

    if (sched_set_paused(d, paused, &err))
        reply_queue(d, r);
    else
        problem_reply_error(r, &err);
}

void api_queue(struct daemon *d, struct request *r)
{
    reply_queue(d, r);
}

void api_queue_pause(struct daemon *d, struct request *r)
{
    set_paused(d, r, true);
}

void api_queue_resume(struct daemon *d, struct request *r)
{
    set_paused(d, r, false);
}
