#include "client/cmd.h"
#include "client/ctl.h"
#include "client/follow.h"
#include "proto/base/mem.h"

struct watch {
    opt_list ids;
    double timeout_s;
};

static const struct opt rows[] = {
    OPT(struct watch, ids, ARG_SOME, "ID", "jobs to watch"),
    OPT(struct watch, timeout_s, OPT_REAL, "timeout",
        "give up after S seconds (exit status 4; the jobs go on)", .value = "S"),
};

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct watch *o = opts;
    const struct follow_options follow = {.to = stdout, .timeout_s = o->timeout_s};

    return follow_jobs(c, o->ids.at, o->ids.n, &follow, err);
}

const struct command cmd_watch = {
    .name = "watch",
    .summary = "Show the progress of jobs until all have ended",
    .text = "On a terminal the lines are redrawn; elsewhere a line is printed when state or "
            "epoch change. With --json every event is a line, and at last each job. A "
            "daemon that restarts meanwhile is waited for. Exit status: 0 all succeeded, "
            "else that of the first job that did not.",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct watch),
    .run = run,
};
