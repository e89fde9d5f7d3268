#include "client/cmd.h"
#include "client/ctl.h"
#include "client/follow.h"
#include "client/preview.h"
#include "client/spec.h"
#include "proto/base/mem.h"

struct submit {
    struct spec_source from;
    opt_list more;
    bool wait, dry_run;
    double timeout_s;
};

static const struct opt rows[] = {
    SPEC_ROWS(struct submit),
    OPT(struct submit, more, ARG_ANY, "MORE", "further jobs: all are accepted, or none"),
    OPT(struct submit, wait, OPT_FLAG, "wait",
        "stay until the job has ended; the exit status is the job's"),
    OPT(struct submit, dry_run, OPT_FLAG, "dry-run",
        "submit nothing: check the spec here and show it with its defaults, or the jobs of a "
        "sweep"),
    OPT(struct submit, timeout_s, OPT_REAL, "timeout",
        "with --wait: give up after S seconds (exit status 4; the job goes on)", .value = "S"),
};

static bool preview(struct ctl *c, const struct submit *o, struct error *err)
{
    struct json *spec = spec_load(c, &o->from, err);
    bool ok = spec && spec_check(c, spec, err) && preview_show(c, spec, err);

    js_free(spec);
    return ok;
}

static bool submit(struct ctl *c, const struct submit *o, struct error *err)
{
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

static bool print_ids(struct ctl *c, const struct json *answer)
{
    const struct json *items = js_get(answer, "items");

    if (c->json) {
        out_json_line(answer);
        return true;
    }
    for (size_t i = 0; i < js_len(items); i++)
        if (printf("%s\n", js_string(js_get(js_at(items, i), "id"), "")) <= 0)
            return false;
    return fflush(stdout) == 0;
}

static bool wait_for(struct ctl *c, const struct submit *o, const struct json *items,
                     struct error *err)
{
    const struct follow_options follow = {.to = stderr, .timeout_s = o->timeout_s};
    const char **ids = NEW_ARRAY(const char *, js_len(items));
    bool ok;

    for (size_t i = 0; i < js_len(items); i++)
        ids[i] = js_string(js_get(js_at(items, i), "id"), "");
    ok = follow_jobs(c, ids, js_len(items), &follow, err);
    free(ids);
    return ok;
}

static bool submit_all(struct ctl *c, const struct submit *o, struct error *err)
{
    struct json *answer;
    bool ok;

    if (o->dry_run)
        return err_set(err, ERR_INVALID, "--dry-run shows one job at a time");
    answer = spec_submit_all(c, &o->from, &o->more, err);
    ok = answer && (print_ids(c, answer) || err_set(err, ERR_IO, "standard output"));
    if (ok && o->wait)
        ok = wait_for(c, o, js_get(answer, "items"), err);
    js_free(answer);
    return ok;
}

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct submit *o = opts;

    if (o->more.n || spec_is_list(&o->from))
        return submit_all(c, o, err);
    return o->dry_run ? preview(c, o, err) : submit(c, o, err);
}

const struct command cmd_submit = {
    .name = "submit",
    .summary = "Submit a job and print its id",
    .text = "Several files, or one with a JSON array, are submitted as one request: all are "
            "accepted, or "
            "none, and the ids are printed in their order. Relative paths in SPEC are taken from "
            "the folder of the file. Nothing but the id goes to "
            "standard output. With --preset the job is one of the paper's experiments.",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct submit),
    .run = run,
};
