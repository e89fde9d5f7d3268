/* clone: another job of a spec that the server has. */
#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"
#include "client/follow.h"
#include "client/spec.h"
#include "client/url.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/wire/job.h"

struct clone {
    const char *id;
    opt_list sets;
    bool wait;
};

static const struct opt rows[] = {
    OPT(struct clone, id, ARG_ONE, "ID", "the job to be done again"),
    OPT(struct clone, sets, OPT_MANY, "set",
        "replace a field of the spec: train.seed=7, losses.1.weight=2", .value = "a.b=VALUE"),
    OPT(struct clone, wait, OPT_FLAG, "wait",
        "stay until the new job has ended; the exit status is the job's"),
};

/* A merge patch with the members of the spec that an assignment reaches into, whole: it cannot reach into a list. */
static struct json *patch_of(const struct json *spec, const opt_list *sets)
{
    struct json *patch = js_new_object();

    for (size_t i = 0; i < sets->n; i++) {
        char *member = str_ndup(sets->at[i], strcspn(sets->at[i], ".="));

        js_set(patch, member, js_copy(js_get(spec, member)));
        free(member);
    }
    return patch;
}

/* {"set": ...}. NULL with err; js_free. */
static struct json *change(struct ctl *c, const struct clone *o, struct error *err)
{
    struct json *spec = ctl_job(c, NULL, o->id, "/spec", err), *body = NULL;

    if (spec && job_prepare(spec, "-", NULL, o->sets.at, o->sets.n, err)) {
        body = js_new_object();
        js_set(body, "set", patch_of(spec, &o->sets));
    }
    js_free(spec);
    return body;
}

static struct json *ask(struct ctl *c, const struct clone *o, struct error *err)
{
    struct json *body = o->sets.n ? change(c, o, err) : NULL, *job = NULL;
    char *path = url_job(o->id, ":clone");

    if (body || !o->sets.n)
        job = spec_post(c, path, body, err);
    free(path);
    js_free(body);
    return job;
}

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct clone *o = opts;
    struct json *job = ask(c, o, err);
    bool ok = job && follow_new(c, job, o->wait, 0, err);

    js_free(job);
    return ok;
}

const struct command cmd_clone = {
    .name = "clone",
    .summary = "Submit a job again as a new one, and print its id",
    .text =
        "Of the spec as it was submitted, with what --set changes; names of models and data sets "
        "that had no version stand for the newest again. The new job says which one it was "
        "cloned from. To go on with a job that failed, use `retry`.\n",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct clone),
    .run = run,
};
