#include "client/act.h"
#include "client/cmd.h"
#include "proto/base/mem.h"

struct retry {
    opt_list ids;
};

static const struct opt rows[] = {
    OPT(struct retry, ids, ARG_SOME, "ID", "jobs to run again"),
};

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct retry *o = opts;

    return act_on_jobs(c, &o->ids, "retry", NULL, err);
}

const struct command cmd_retry = {
    .name = "retry",
    .summary = "Run failed or cancelled jobs again",
    .text = "A job goes on from its newest checkpoint.",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct retry),
    .run = run,
};
