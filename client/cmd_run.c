#include "client/cmd.h"
#include "client/ctl.h"
#include "client/follow.h"
#include "client/spec.h"
#include "proto/base/mem.h"

struct run_options {
    struct spec_source from;
    double timeout_s;
};

static const struct opt rows[] = {
    SPEC_ROWS(struct run_options),
    OPT(struct run_options, timeout_s, OPT_REAL, "timeout",
        "give up after S seconds (exit status 4; the job goes on)", .value = "S"),
};

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct run_options *o = opts;
    const struct follow_options follow = {.to = stdout, .timeout_s = o->timeout_s};
    struct json *job = spec_submit(c, &o->from, err);
    const char *id = js_string(js_get(job, "id"), NULL);
    bool ok = job && follow_jobs(c, &id, 1, &follow, err);

    js_free(job);
    return ok;
}

const struct command cmd_run = {
    .name = "run",
    .summary = "Submit a job and watch it to its end",
    .text = "The exit status is the job's: 0 succeeded, 1 failed, 3 cancelled, 4 out of time. "
            "Interrupting this command does not stop the job.",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct run_options),
    .run = run,
};
