/* /datasets: names for data on the daemon's host. What is there is the worker's to find out, which reads all
 * of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api.h"
#include "daemon/audit.h"
#include "daemon/body.h"
#include "daemon/datasets.h"
#include "daemon/listing.h"
#include "daemon/problem.h"
#include "daemon/refs.h"
#include "daemon/roots.h"
#include "daemon/worker_tool.h"
#include "proto/base/clock.h"
#include "proto/base/str.h"

/* One that is being looked at. */
struct survey {
    struct daemon *daemon;
    struct dataset set; /* its manifest is NULL when the worker could not make it */
    char *cache;
    struct error err;
};

static void survey_free(struct survey *s)
{
    dataset_fini(&s->set);
    free(s->cache);
    free(s);
}

static void reply_dataset(struct request *r, int status, const struct dataset *set)
{
    char *location = str_fmt("/api/v1/datasets/%s", set->name);

    if (status == 201)
        http_add_header(r, "Location", location);
    reply_json(r, status, dataset_json(set));
    free(location);
}

/* -- Registering ------------------------------------------------------------------------------- */

static bool is_source(const struct json *value, struct error *err)
{
    const char *source = js_string(value, ""), *rest;
    char scheme[32];

    if (!job_split_source(source, scheme, sizeof(scheme), &rest) || !*rest ||
        ref_is_dataset(source))
        return err_set(err, ERR_INVALID, "expected KIND:DIR, got \"%.200s\"", source);
    return *rest == '/' || strcmp(scheme, "procedural") == 0 ||
           err_set(err, ERR_INVALID,
                   "must name an absolute path, got \"%.200s\": the daemon has no folder to take "
                   "it from",
                   source);
}

/* On another thread. */
static void look(void *arg)
{
    struct survey *s = arg;
    const struct worker_tool tool = {.program = s->daemon->settings.worker,
                                     .cache = s->cache,
                                     .roots = s->daemon->roots,
                                     .calls = s->daemon->worker_calls};
    const char *const words[] = {"--json", s->set.source, NULL};

    s->set.manifest = worker_ask(&tool, "manifest", words, &s->err);
    if (!s->set.manifest)
        return;
    ref_data_sha256(js_string(js_path(s->set.manifest, "train.data_sha256"), ""),
                    js_string(js_path(s->set.manifest, "test.data_sha256"), ""), s->set.sha256);
}

/* The same again is no conflict: the answer to the first request may have been lost. */
static void answer_known(struct request *r, const struct dataset *known, const struct dataset *now)
{
    if (strcmp(known->source, now->source) == 0 && strcmp(known->sha256, now->sha256) == 0)
        reply_dataset(r, 200, known);
    else
        problem_reply(r, "conflict", NULL,
                      "the data set \"%s\" is %s with the sha256 %s; this is %s with %s",
                      known->name, known->source, known->sha256, now->source, now->sha256);
}

static void answer_survey(struct request *r, void *arg)
{
    struct survey *s = arg;
    struct dataset known;

    s->set.created_ms = clock_wall_ms();
    audit_subject(s->daemon, s->set.name);
    if (!s->set.manifest) {
        problem_reply_error(r, &s->err);
    } else if (dataset_find(s->daemon->store, s->set.name, &known, &s->err)) {
        answer_known(r, &known, &s->set);
        dataset_fini(&known);
    } else if (s->err.code == ERR_NOT_FOUND && dataset_add(s->daemon->store, &s->set, &s->err)) {
        reply_dataset(r, 201, &s->set);
    } else {
        problem_reply_error(r, &s->err);
    }
    survey_free(s);
}

/* False when the answer was given. */
static bool may_be_read(struct daemon *d, struct request *r, const char *source)
{
    struct problems p = {0};
    char scheme[32];
    const char *rest;
    struct error err;

    job_split_source(source, scheme, sizeof(scheme), &rest);
    if (*rest != '/' || roots_check(d, &r->caller, rest, &err))
        return true;
    problems_add(&p, "#/source", "%s", err.msg);
    problem_reply(r, "invalid", &p, "a data set that may not be read");
    problems_free(&p);
    return false;
}

void api_dataset_add(struct daemon *d, struct request *r)
{
    static const struct member members[] = {
        {"name", JS_STRING, true, body_is_name},
        {"source", JS_STRING, true, is_source},
        {"labels", JS_OBJECT, false, body_is_labels},
    };
    struct json *body = body_read(r, "a data set", members, ARRAY_LEN(members)), *labels;
    struct survey *s;

    if (!body)
        return;
    if (!may_be_read(d, r, js_string(js_get(body, "source"), ""))) {
        js_free(body);
        return;
    }
    labels = js_get(body, "labels");
    s = NEW(struct survey);
    s->daemon = d;
    s->cache = str_path(d->state_dir, "cache");
    snprintf(s->set.name, sizeof(s->set.name), "%s", js_string(js_get(body, "name"), ""));
    s->set.source = str_dup(js_string(js_get(body, "source"), ""));
    s->set.labels = js_kind(labels) == JS_OBJECT ? js_copy(labels) : js_new_object();
    js_free(body);
    http_work(r, look, answer_survey, s);
}

/* -- Reading and removing ---------------------------------------------------------------------- */

static void add_to_list(const struct dataset *set, void *arg)
{
    struct listing *l = arg;

    if (listing_has_room(l))
        listing_add(l, set->seq, dataset_json(set));
}

void api_dataset_list(struct daemon *d, struct request *r)
{
    struct listing l = {.n = 0};
    struct error err;

    if (!listing_begin(d, r, "", &l))
        return;
    if (datasets_page(d->store, l.before, (int64_t)l.limit + 1, add_to_list, &l, &err)) {
        listing_reply(d, r, &l, "/api/v1/datasets", "");
    } else {
        listing_drop(&l);
        problem_reply_error(r, &err);
    }
}

/* params[0]. False when the answer was given. */
static bool take_dataset(struct daemon *d, struct request *r, struct dataset *set)
{
    struct error err;

    if (dataset_find(d->store, r->params[0], set, &err))
        return true;
    problem_reply_error(r, &err);
    return false;
}

void api_dataset_get(struct daemon *d, struct request *r)
{
    struct dataset set;

    if (!take_dataset(d, r, &set))
        return;
    reply_resource(r, 200, dataset_json(&set), NULL);
    dataset_fini(&set);
}

static bool remove_dataset(struct daemon *d, const struct dataset *set, struct error *err)
{
    char job[JOB_ID_SIZE];

    if (!refs_busy(d, set->name, 0, job, err))
        return false;
    if (*job)
        return err_set(err, ERR_CONFLICT, "job %s uses the data set \"%s\"", job, set->name);
    return dataset_remove(d->store, set, err);
}

void api_dataset_delete(struct daemon *d, struct request *r)
{
    struct dataset set;
    struct error err;

    if (!take_dataset(d, r, &set))
        return;
    if (reply_may_change(r, dataset_json(&set), NULL)) {
        if (remove_dataset(d, &set, &err))
            http_reply(r, 204, NULL, "", 0);
        else
            problem_reply_error(r, &err);
    }
    dataset_fini(&set);
}
