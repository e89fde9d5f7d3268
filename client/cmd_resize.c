#include <stdlib.h>

#include "client/act.h"
#include "client/cmd.h"
#include "client/url.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

struct resize {
    const char *id, *ranks;
};

static const struct opt rows[] = {
    OPT(struct resize, id, ARG_ONE, "ID", "the job"),
    OPT(struct resize, ranks, ARG_ONE, "RANKS",
        "MPI ranks to go on with: a power of two, at most the job's lanes"),
};

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct resize *o = opts;
    struct json *body, *job;
    int64_t ranks;
    char *path;

    if (!str_int(o->ranks, 1, INT32_MAX, &ranks))
        return err_set(err, ERR_INVALID, "RANKS: expected a whole number from 1, got \"%s\"",
                       o->ranks);
    body = js_new_object();
    js_set(body, "ranks", js_new_int(ranks));
    path = url_job(o->id, ":resize");
    job = ctl_call(c, "POST", path, body, err);
    if (job)
        act_print_state(c, job);
    js_free(job);
    js_free(body);
    free(path);
    return job || err_wrap(err, "%s", o->id);
}

const struct command cmd_resize = {
    .name = "resize",
    .summary = "Let a job go on with another number of ranks",
    .text =
        "A running job stops at a step boundary, with a checkpoint, and goes on from there as soon "
        "as there are slots for its ranks. The result is the same, bit for bit. Of a job with a "
        "range of "
        "ranks the queue may change them again.\n",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct resize),
    .run = run,
};
