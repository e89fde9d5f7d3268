/* The life of a job as a table: in each state, what an event leads to. */
#ifndef DAEMON_JOB_FSM_H
#define DAEMON_JOB_FSM_H

#include <stdbool.h>

enum job_state {
    JOB_QUEUED,
    JOB_STARTING, /* an attempt was started and has not reported yet */
    JOB_RUNNING,
    JOB_SUCCEEDED,
    JOB_FAILED,
    JOB_CANCELLED,
    JOB_STATE_COUNT
};

enum job_event {
    EV_START,   /* the scheduler gave it its slots */
    EV_HELLO,   /* rank 0 reported */
    EV_DONE,    /* the attempt ended well */
    EV_AGAIN,   /* it ended in a way that another attempt may mend */
    EV_BAD,     /* it ended for good */
    EV_STOPPED, /* it ended as asked to */
    EV_YIELDED, /* it ended as asked to, so that another one goes on */
    EV_CANCEL,  /* a user does not want it any more */
    EV_RETRY,   /* a user wants it after all */
    EV_RESIZE,  /* a user wants other ranks */
    EV_HOLD,    /* a user wants it to wait */
    EV_RELEASE, /* and not to wait any longer */
    EV_PREEMPT, /* a more important job needs its slots */
    EV_BEGIN,   /* a sweep begins to make its jobs */
    JOB_EVENT_COUNT
};

/* What is done once the change is on disk. */
enum job_action {
    ACT_NOTHING,
    ACT_LAUNCH,
    ACT_STOP_ATTEMPT,
    ACT_PREEMPT,
    ACT_SCHEDULE
};

struct job_transition {
    enum job_state from;
    enum job_event event;
    enum job_state to;
    enum job_action action;
};

/* NULL: the event has no place in that state. */
const struct job_transition *job_fsm_find(enum job_state from, enum job_event event);

const char *job_state_name(enum job_state s);
const char *job_event_name(enum job_event e);
/* False for a word that names no state. */
bool job_state_parse(const char *name, enum job_state *out);
/* Nothing happens to the job any more, unless a user asks for it. */
bool job_is_final(enum job_state s);

#endif
