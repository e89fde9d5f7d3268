/* hold and release: whether a job may run. */
#include "client/act.h"
#include "client/cmd.h"
#include "proto/base/mem.h"

struct hold {
    opt_list ids;
};

static const struct opt hold_rows[] = {
    OPT(struct hold, ids, ARG_SOME, "ID", "jobs to hold"),
};

static const struct opt release_rows[] = {
    OPT(struct hold, ids, ARG_SOME, "ID", "jobs to release"),
};

static bool hold(struct ctl *c, const void *opts, struct error *err)
{
    const struct hold *o = opts;

    return act_on_jobs(c, &o->ids, "hold", NULL, err);
}

static bool release(struct ctl *c, const void *opts, struct error *err)
{
    const struct hold *o = opts;

    return act_on_jobs(c, &o->ids, "release", NULL, err);
}

const struct command cmd_hold = {
    .name = "hold",
    .summary = "Let jobs wait until they are released",
    .text = "A running job is stopped at a step boundary, with a checkpoint, and goes on from "
            "there when "
            "it is released; its result is the same, bit for bit. A sweep makes no more jobs; "
            "those that "
            "it has made go on. A job can also be submitted so: --set hold=true.\n",
    .rows = hold_rows,
    .n_rows = ARRAY_LEN(hold_rows),
    .size = sizeof(struct hold),
    .run = hold,
};

const struct command cmd_release = {
    .name = "release",
    .summary = "Let jobs that are held go on",
    .rows = release_rows,
    .n_rows = ARRAY_LEN(release_rows),
    .size = sizeof(struct hold),
    .run = release,
};
