#include "daemon/job_fsm.h"

#include <stddef.h>
#include <string.h>

#include "proto/base/mem.h"

static const struct job_transition table[] = {
    {JOB_QUEUED, EV_START, JOB_STARTING, ACT_LAUNCH},
    {JOB_QUEUED, EV_CANCEL, JOB_CANCELLED, ACT_SCHEDULE},
    {JOB_QUEUED, EV_RESIZE, JOB_QUEUED, ACT_SCHEDULE},
    {JOB_QUEUED, EV_HOLD, JOB_QUEUED, ACT_SCHEDULE},
    {JOB_QUEUED, EV_RELEASE, JOB_QUEUED, ACT_SCHEDULE},
    {JOB_QUEUED, EV_BEGIN, JOB_RUNNING, ACT_NOTHING},

    {JOB_STARTING, EV_HELLO, JOB_RUNNING, ACT_NOTHING},
    {JOB_STARTING, EV_CANCEL, JOB_STARTING, ACT_STOP_ATTEMPT},
    {JOB_STARTING, EV_DONE, JOB_SUCCEEDED, ACT_SCHEDULE},
    {JOB_STARTING, EV_AGAIN, JOB_QUEUED, ACT_SCHEDULE},
    {JOB_STARTING, EV_BAD, JOB_FAILED, ACT_SCHEDULE},
    {JOB_STARTING, EV_STOPPED, JOB_CANCELLED, ACT_SCHEDULE},
    {JOB_STARTING, EV_RESIZE, JOB_STARTING, ACT_NOTHING}, /* its ranks are told when they report */
    {JOB_STARTING, EV_HOLD, JOB_STARTING, ACT_NOTHING},   /* likewise */
    {JOB_STARTING, EV_RELEASE, JOB_STARTING, ACT_NOTHING},
    {JOB_STARTING, EV_YIELDED, JOB_QUEUED, ACT_SCHEDULE},

    {JOB_RUNNING, EV_CANCEL, JOB_RUNNING, ACT_STOP_ATTEMPT},
    {JOB_RUNNING, EV_DONE, JOB_SUCCEEDED, ACT_SCHEDULE},
    {JOB_RUNNING, EV_AGAIN, JOB_QUEUED, ACT_SCHEDULE},
    {JOB_RUNNING, EV_BAD, JOB_FAILED, ACT_SCHEDULE},
    {JOB_RUNNING, EV_STOPPED, JOB_CANCELLED, ACT_SCHEDULE},
    {JOB_RUNNING, EV_RESIZE, JOB_RUNNING, ACT_PREEMPT},
    {JOB_RUNNING, EV_HOLD, JOB_RUNNING, ACT_PREEMPT},
    {JOB_RUNNING, EV_RELEASE, JOB_RUNNING,
     ACT_NOTHING}, /* ranks that were asked stop all the same */
    {JOB_RUNNING, EV_PREEMPT, JOB_RUNNING, ACT_PREEMPT},
    {JOB_RUNNING, EV_YIELDED, JOB_QUEUED, ACT_SCHEDULE},

    {JOB_FAILED, EV_RETRY, JOB_QUEUED, ACT_SCHEDULE},
    {JOB_CANCELLED, EV_RETRY, JOB_QUEUED, ACT_SCHEDULE},
};

static const char *const state_names[] = {"queued",    "starting", "running",
                                          "succeeded", "failed",   "cancelled"};
static const char *const event_names[] = {"start",   "hello",   "done",    "again", "bad",
                                          "stopped", "yielded", "cancel",  "retry", "resize",
                                          "hold",    "release", "preempt", "begin"};

const struct job_transition *job_fsm_find(enum job_state from, enum job_event event)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].from == from && table[i].event == event)
            return &table[i];
    return NULL;
}

const char *job_state_name(enum job_state s)
{
    return state_names[s];
}

const char *job_event_name(enum job_event e)
{
    return event_names[e];
}

bool job_state_parse(const char *name, enum job_state *out)
{
    for (size_t i = 0; i < ARRAY_LEN(state_names); i++)
        if (strcmp(state_names[i], name) == 0) {
            *out = (enum job_state)i;
            return true;
        }
    return false;
}

bool job_is_final(enum job_state s)
{
    return s >= JOB_SUCCEEDED;
}
