/* preempt and checkpoint: what a running job is asked for, and goes on. */
#include "client/act.h"
#include "client/cmd.h"
#include "proto/base/mem.h"

struct ask {
    opt_list ids;
};

static const struct opt preempt_rows[] = {
    OPT(struct ask, ids, ARG_SOME, "ID", "running jobs that are to let others go first"),
};

static const struct opt checkpoint_rows[] = {
    OPT(struct ask, ids, ARG_SOME, "ID", "running jobs that are to write one"),
};

static bool preempt(struct ctl *c, const void *opts, struct error *err)
{
    const struct ask *o = opts;

    return act_on_jobs(c, &o->ids, "preempt", NULL, err);
}

static bool checkpoint(struct ctl *c, const void *opts, struct error *err)
{
    const struct ask *o = opts;

    return act_on_jobs(c, &o->ids, "checkpoint", NULL, err);
}

const struct command cmd_preempt = {
    .name = "preempt",
    .summary = "Let others go before jobs that run",
    .text =
        "A job stops at a step boundary, with a checkpoint, and goes on from there, to the same "
        "bytes, when those have started that wait by then, whatever their priority; at once, if "
        "nobody waits. It costs none of its attempts. To keep it from running, `hold` it.\n",
    .rows = preempt_rows,
    .n_rows = ARRAY_LEN(preempt_rows),
    .size = sizeof(struct ask),
    .run = preempt,
};

const struct command cmd_checkpoint = {
    .name = "checkpoint",
    .summary = "Let running jobs write a checkpoint at the next step",
    .text =
        "They go on, and their results are the same. It is a wish of the moment: an attempt that "
        "ends before leaves none. What is there lists `distillctl checkpoints ID`.\n",
    .rows = checkpoint_rows,
    .n_rows = ARRAY_LEN(checkpoint_rows),
    .size = sizeof(struct ask),
    .run = checkpoint,
};
