#include <inttypes.h>

#include "client/cmd.h"
#include "client/ctl.h"
#include "client/follow.h"
#include "client/preview.h"
#include "client/spec.h"
#include "proto/base/mem.h"

struct submit {
    struct spec_source from;
    opt_list more;
    bool wait, dry_run, simulate;
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
    OPT(struct submit, simulate, OPT_FLAG, "simulate",
        "submit nothing: ask the server whether it would take the job now, and when it would "
        "start"),
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

/* "starts now, 2 ranks on localhost:2", or why it waits. */
static void print_forecast(const struct json *answer)
{
    const struct json *f = js_get(answer, "forecast");
    const char *planned = js_string(js_get(f, "planned_start"), NULL);
    struct buf b = buf_new(0);

    if (js_int(js_get(answer, "jobs"), 1) > 1)
        buf_fmt(&b, "%" PRId64 " jobs, the first of which ", js_int(js_get(answer, "jobs"), 1));
    if (js_bool(js_get(f, "starts_now"), false)) {
        buf_fmt(&b, "starts now, %" PRId64 " ranks on ", js_int(js_get(f, "ranks"), 0));
        out_clean(&b, js_string(js_get(f, "placement"), "?"));
    } else {
        buf_fmt(&b, "waits, %" PRId64 " ahead: ", js_int(js_get(f, "ahead"), 0));
        out_clean(&b, js_string(js_path(f, "reason.message"), "?"));
        if (planned) {
            buf_str(&b, "; planned to start at ");
            out_clean(&b, planned);
        }
    }
    buf_str(&b, "\n");
    out_print(&b);
    buf_free(&b);
}

/* What it would be refused for, as if it had been. */
static bool is_admitted(struct ctl *c, const struct json *answer, struct error *err)
{
    const struct json *refusal = js_get(answer, "refusal");

    if (js_kind(refusal) == JS_NULL)
        return true;
    js_free(c->errors);
    c->errors =
        js_kind(js_get(refusal, "errors")) == JS_ARRAY ? js_copy(js_get(refusal, "errors")) : NULL;
    return err_set(err, ERR_INVALID, "it would be refused: %s",
                   js_string(js_get(refusal, "detail"), "?"));
}

static bool simulate(struct ctl *c, const struct submit *o, struct error *err)
{
    struct json *spec = spec_load(c, &o->from, err);
    struct json *answer = spec ? ctl_call(c, "POST", "/api/v1/queue:simulate", spec, err) : NULL;
    bool ok = answer;

    if (answer && c->json)
        out_json(answer);
    else if (answer && (ok = is_admitted(c, answer, err)))
        print_forecast(answer);
    js_free(answer);
    js_free(spec);
    return ok;
}

static bool submit(struct ctl *c, const struct submit *o, struct error *err)
{
    struct json *job = spec_submit(c, &o->from, err);
    bool ok = job && follow_new(c, job, o->wait, o->timeout_s, err);

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

    if (o->dry_run || o->simulate)
        return err_set(err, ERR_INVALID, "--%s shows one job at a time",
                       o->dry_run ? "dry-run" : "simulate");
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
    return o->dry_run ? preview(c, o, err) : o->simulate ? simulate(c, o, err) : submit(c, o, err);
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
