#include "client/cmd.h"
#include "client/ctl.h"
#include "client/follow.h"
#include "client/spec.h"
#include "proto/base/mem.h"

struct submit {
    struct spec_source from;
    bool wait;
    double timeout_s;
};

static const struct opt rows[] = {
    SPEC_ROWS(struct submit),
    OPT(struct submit, wait, OPT_FLAG, "wait",
        "stay until the job has ended; the exit status is the job's"),
    OPT(struct submit, timeout_s, OPT_REAL, "timeout",
        "with --wait: give up after S seconds (exit status 4; the job goes on)", .value = "S"),
};

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct submit *o = opts;
    struct json *job = spec_submit(c, &o->from, err);
    const char *id = js_string(js_get(job, "id"), NULL);
    bool ok = job;

    if (job && c->json)
        out_json_line(job);
    else if (job)
        ok = printf("%s\n", id) > 0 && fflush(stdout) == 0;
    if (ok && o->wait) {
        const struct follow_options follow = {.to = stderr, .timeout_s = o->timeout_s};

        ok = follow_jobs(c, &id, 1, &follow, err);
    }
    js_free(job);
    return ok;
}

const struct command cmd_submit = {
    .name = "submit",
    .summary = "Submit a job and print its id",
    .text =
        "Relative paths in SPEC are taken from the folder of the file. Nothing but the id goes to "
        "standard output. With --preset the job is one of the paper's experiments.",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct submit),
    .run = run,
};
