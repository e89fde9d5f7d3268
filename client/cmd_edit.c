/* edit: what jobs are called, and how urgent they are. Each change is made to the job as it was read; where somebody was
 * faster, it is read again. */
#include <stdlib.h>
#include <string.h>

#include "client/act.h"
#include "client/cmd.h"
#include "client/url.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    TRIES = 5,
    CHANGED = 412
};

struct edit {
    const char *id, *name, *priority;
    opt_list labels;
};

static const struct opt rows[] = {
    OPT(struct edit, id, ARG_ONE, "ID", "the job"),
    OPT(struct edit, name, OPT_TEXT, "name", "call it so", .value = "NAME"),
    OPT(struct edit, priority, OPT_TEXT, "priority", "its place in line; higher comes first",
        .value = "N"),
    OPT(struct edit, labels, OPT_MANY, "label",
        "give it the label KEY, or without a value take it away", .value = "KEY=[VALUE]"),
};

/* Its labels with the changes. NULL with err; js_free. */
static struct json *labels_of(const struct json *job, const opt_list *changes, struct error *err)
{
    const struct json *before = js_path(job, "spec.labels");
    struct json *labels = js_kind(before) == JS_OBJECT ? js_copy(before) : js_new_object();

    for (size_t i = 0; i < changes->n; i++) {
        const char *text = changes->at[i], *equals = strchr(text, '=');
        char *key;

        if (!equals || equals == text) {
            js_free(labels);
            err_set(err, ERR_INVALID, "--label: expected KEY=VALUE or KEY=, got \"%s\"", text);
            return NULL;
        }
        key = str_ndup(text, (size_t)(equals - text));
        if (equals[1])
            js_set(labels, key, js_new_string(equals + 1));
        else
            js_delete(labels, key);
        free(key);
    }
    return labels;
}

static struct json *change_of(const struct edit *o, const struct json *job, struct error *err)
{
    struct json *change = js_new_object(), *labels;
    int64_t priority;

    if (o->name)
        js_set(change, "name", js_new_string(o->name));
    if (o->priority && !str_int(o->priority, INT32_MIN, INT32_MAX, &priority)) {
        err_set(err, ERR_INVALID, "--priority: expected a whole number, got \"%s\"", o->priority);
        goto fail;
    }
    if (o->priority)
        js_set(change, "priority", js_new_int(priority));
    if (o->labels.n) {
        labels = labels_of(job, &o->labels, err);
        if (!labels)
            goto fail;
        js_set(change, "labels", labels);
    }
    return change;
fail:
    js_free(change);
    return NULL;
}

/* NULL with err; *again: somebody else was faster. */
static struct json *try_once(struct ctl *c, const struct edit *o, const char *path, bool *again,
                             struct error *err)
{
    struct json *job = ctl_call(c, NULL, path, NULL, err);
    struct json *change = job ? change_of(o, job, err) : NULL, *answer = NULL;
    char *etag = str_dup(job ? http_answer_header(c->http, "ETag") : "");
    struct http_request r = {.method = "PATCH", .path = path, .body = change, .if_match = etag};

    *again = false;
    if (change) {
        answer = ctl_ask(c, &r, err);
        *again = !answer && http_answer_status(c->http) == CHANGED;
    }
    free(etag);
    js_free(change);
    js_free(job);
    return answer;
}

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct edit *o = opts;
    struct json *job = NULL;
    bool again = true;
    char *path;

    if (!o->name && !o->priority && !o->labels.n)
        return err_set(err, ERR_INVALID,
                       "what is to be changed? Say --name, --priority or --label");
    path = url_job(o->id, "");
    for (int i = 0; again && i < TRIES; i++)
        job = try_once(c, o, path, &again, err);
    if (job)
        act_print_state(c, job);
    js_free(job);
    free(path);
    return job || err_wrap(err, "%s", o->id);
}

const struct command cmd_edit = {
    .name = "edit",
    .summary = "Change the name, the priority or labels of a job",
    .text = "A job that waits takes its new place in line at once. Of a job that is over the "
            "priority cannot be changed.\n",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct edit),
    .run = run,
};
