/* The line to the daemon, by a thread of its own: metrics.jsonl is sent from the offset that the daemon
 * has, again and again until it is acknowledged; progress is sent as it comes; a request to stop is
 * received, and a wish for a checkpoint. Nothing here can fail a job: without the daemon it goes on, and the thread reconnects. */
#ifndef WORKER_REPORT_UPLINK_H
#define WORKER_REPORT_UPLINK_H

#include <stdbool.h>

#include "worker/report/progress.h"

struct uplink;

enum uplink_stop {
    UPLINK_GO_ON,
    UPLINK_CANCEL,
    UPLINK_PREEMPT
};

/* Reads DISTILLD_UPLINK (the path of the daemon's socket; or file:PATH, which holds its HOST:PORT and is read at
 * each connection, because a daemon that was started again has another), DISTILLD_TOKEN_FILE, DISTILLD_JOB and DISTILLD_GENERATION; NULL when the first
 * is not set. metrics_path is the file that is sent. */
struct uplink *uplink_open(const char *metrics_path, int ranks);
/* NULL is fine in all of these. */
void uplink_progress(struct uplink *u, const struct progress_state *s);
/* A checkpoint is on disk; writing it took so long. */
void uplink_checkpoint(struct uplink *u, double seconds);
enum uplink_stop uplink_stop_requested(const struct uplink *u);
/* Whether a checkpoint was asked for since it was asked last. */
bool uplink_take_wish(struct uplink *u);
/* Waits until everything is acknowledged, but no longer than some seconds; says goodbye. */
void uplink_close(struct uplink *u, const char *state);

#endif
