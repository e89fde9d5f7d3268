#include "client/act.h"
#include "client/cmd.h"
#include "proto/base/mem.h"

struct cancel {
    opt_list ids;
};

static const struct opt rows[] = {
    OPT(struct cancel, ids, ARG_SOME, "ID", "jobs to cancel"),
};

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct cancel *o = opts;

    return act_on_jobs(c, &o->ids, "cancel", err);
}

const struct command cmd_cancel = {
    .name = "cancel",
    .summary = "Cancel jobs",
    .text =
        "A running job is stopped at a step boundary, with a checkpoint. What it has made stays.\n",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct cancel),
    .run = run,
};
