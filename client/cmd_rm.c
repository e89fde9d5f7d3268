#include "client/act.h"
#include "client/cmd.h"
#include "proto/base/mem.h"

struct rm {
    opt_list ids;
};

static const struct opt rows[] = {
    OPT(struct rm, ids, ARG_SOME, "ID", "jobs to remove"),
};

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct rm *o = opts;

    return act_by_method(c, &o->ids, "DELETE", "", NULL, err);
}

const struct command cmd_rm = {
    .name = "rm",
    .summary = "Remove jobs that are over, for good",
    .text = "With results, checkpoints, metrics and logs; a sweep goes with its jobs. A job that "
            "another one needs which is not over is refused. What was registered as a model "
            "stays.\n",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct rm),
    .run = run,
};
