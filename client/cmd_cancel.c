#include "client/act.h"
#include "client/cmd.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

struct cancel {
    opt_list ids;
    bool now;
    const char *grace;
};

static const struct opt rows[] = {
    OPT(struct cancel, ids, ARG_SOME, "ID", "jobs to cancel"),
    OPT(struct cancel, now, OPT_FLAG, "now",
        "kill it at once; what it did since its last checkpoint is lost"),
    OPT(struct cancel, grace, OPT_TEXT, "grace",
        "kill what has not stopped after so long (default: 15; at most 3600)", .value = "SECONDS"),
};

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct cancel *o = opts;
    struct json *body = NULL;
    int64_t grace_s = 0;
    bool ok;

    if (o->now && o->grace)
        return err_set(err, ERR_INVALID, "--now leaves no time, and --grace does");
    if (o->grace && !str_int(o->grace, 0, 3600, &grace_s))
        return err_set(err, ERR_INVALID,
                       "--grace: expected a whole number from 0 to 3600, got \"%s\"", o->grace);
    if (o->now || o->grace) {
        body = js_new_object();
        js_set(body, "grace_s", js_new_int(grace_s));
    }
    ok = act_on_jobs(c, &o->ids, "cancel", body, err);
    js_free(body);
    return ok;
}

const struct command cmd_cancel = {
    .name = "cancel",
    .summary = "Cancel jobs",
    .text =
        "A running job is stopped at a step boundary, with a checkpoint. What it has made stays. "
        "One that is being cancelled can be hastened with --now or a shorter --grace.\n",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct cancel),
    .run = run,
};
