/* /models: what is registered, and its files. How models get there is in api_register.c. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/api.h"
#include "daemon/blobs.h"
#include "daemon/listing.h"
#include "daemon/models.h"
#include "daemon/page.h"
#include "daemon/problem.h"
#include "daemon/reach.h"
#include "daemon/refs.h"
#include "proto/base/str.h"

/* The model params[0] in its version params[1], or its newest. False when the answer was given;
 * else model_fini. */
static bool take_model(struct daemon *d, struct request *r, struct model *m)
{
    struct ref ref = {.version = 0};
    struct error err;

    if (r->params[1] && !str_int(r->params[1], 1, INT32_MAX, &ref.version))
        err_set(&err, ERR_NOT_FOUND, "\"%.40s\" is no version of a model", r->params[1]);
    else if (strlen(r->params[0]) >= sizeof(ref.name))
        err_set(&err, ERR_NOT_FOUND, "there is no model \"%.80s\"", r->params[0]);
    else {
        memcpy(ref.name, r->params[0], strlen(r->params[0]));
        if (model_find(d->store, &ref, m, &err))
            return true;
    }
    problem_reply_error(r, &err);
    return false;
}

/* -- Lists ------------------------------------------------------------------------------------- */

struct page {
    struct store *store;
    const char *only; /* reach_only */
    struct listing list;
};

static void add_to_page(const struct model *m, void *arg)
{
    struct page *p = arg;

    if (listing_has_room(&p->list))
        listing_add(&p->list, m->seq, model_json(p->store, m, p->only));
}

static void list(struct daemon *d, struct request *r, const char *name, const char *kind,
                 const char *query)
{
    struct page page = {.store = d->store, .only = reach_only(&r->caller)};
    struct listing *l = &page.list;
    struct error err;

    if (!listing_begin(d, r, query, l))
        return;
    if (models_page(d->store, l->before, (int64_t)l->limit + 1, name, kind, add_to_page, &page,
                    &err)) {
        listing_reply(d, r, l, "/api/v1/models", query);
    } else {
        listing_drop(l);
        problem_reply_error(r, &err);
    }
}

void api_model_list(struct daemon *d, struct request *r)
{
    const char *name = http_query(r, "name"), *kind = http_query(r, "kind");
    struct buf query = buf_new(0);

    page_add_parameter(&query, "name", name);
    page_add_parameter(&query, "kind", kind);
    list(d, r, name, kind, buf_text(&query));
    buf_free(&query);
}

struct members {
    struct store *store;
    const char *only; /* reach_only */
    struct json *list, *steps;
    VEC(struct model) models; /* of a family: seq, name and version alone */
};

static void add_member(const struct model *m, void *arg)
{
    struct members *all = arg;
    struct model known = {.seq = m->seq, .version = m->version};

    memcpy(known.name, m->name, sizeof(known.name));
    vec_push(&all->models, known);
    js_push(all->list, model_json(all->store, m, all->only));
}

/* Jobs that use it come and go. */
static const char *const moves[] = {"lineage", NULL};

void api_model_get(struct daemon *d, struct request *r)
{
    struct members all = {.store = d->store, .only = reach_only(&r->caller)};
    struct json *answer;
    struct model m;
    struct error err;

    if (!take_model(d, r, &m))
        return;
    all.list = js_new_array();
    answer = js_new_object();
    js_set(answer, "name", js_new_string(m.name));
    js_set(answer, "versions", all.list);
    if (model_versions(d->store, m.name, add_member, &all, &err)) {
        reply_json(r, 200, answer);
    } else {
        js_free(answer);
        problem_reply_error(r, &err);
    }
    vec_free(&all.models);
    model_fini(&m);
}

void api_model_version(struct daemon *d, struct request *r)
{
    struct model m;

    if (!take_model(d, r, &m))
        return;
    reply_resource(r, 200, model_json(d->store, &m, reach_only(&r->caller)), moves);
    model_fini(&m);
}

/* -- Lineage ----------------------------------------------------------------------------------- */

static char *title_of(const struct members *all, int64_t seq)
{
    for (size_t i = 0; i < all->models.n; i++)
        if (all->models.at[i].seq == seq)
            return model_title(&all->models.at[i]);
    return str_dup("?");
}

static void add_step(int64_t parent, int64_t child, const char *role, void *arg)
{
    struct members *all = arg;
    struct json *j = js_new_object();
    char *from = title_of(all, parent), *to = title_of(all, child);

    js_set(j, "from", js_new_string(from));
    js_set(j, "to", js_new_string(to));
    js_set(j, "role", js_new_string(role));
    js_push(all->steps, j);
    free(from);
    free(to);
}

void api_model_lineage(struct daemon *d, struct request *r)
{
    struct members all = {.store = d->store, .only = reach_only(&r->caller)};
    struct json *answer;
    struct model m;
    struct error err;

    if (!take_model(d, r, &m))
        return;
    all.list = js_new_array();
    all.steps = js_new_array();
    answer = js_new_object();
    js_set(answer, "models", all.list);
    js_set(answer, "steps", all.steps);
    if (model_family(d->store, m.seq, add_member, add_step, &all, &err)) {
        reply_json(r, 200, answer);
    } else {
        js_free(answer);
        problem_reply_error(r, &err);
    }
    vec_free(&all.models);
    model_fini(&m);
}

/* -- The file ---------------------------------------------------------------------------------- */

void api_model_file(struct daemon *d, struct request *r)
{
    struct model m;
    struct stat st;
    char *path;
    int fd;

    if (!take_model(d, r, &m))
        return;
    path = blob_path(d, m.sha256);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0) {
        reply_content(r, "application/octet-stream", fd, &st, m.sha256);
    } else {
        if (fd >= 0)
            close(fd);
        problem_reply(r, "failed", NULL, "the file of %s@%" PRId64 " is gone: %s", m.name,
                      m.version, path);
    }
    free(path);
    model_fini(&m);
}

/* -- Removing ---------------------------------------------------------------------------------- */

static bool remove_model(struct daemon *d, const struct model *m, struct error *err)
{
    char job[JOB_ID_SIZE];

    if (!refs_busy(d, m->name, m->version, job, err))
        return false;
    if (*job)
        return err_set(err, ERR_CONFLICT, "job %s uses %s@%" PRId64, job, m->name, m->version);
    if (!model_remove(d->store, m, err))
        return false;
    blob_drop(d, m->sha256);
    return true;
}

void api_model_delete(struct daemon *d, struct request *r)
{
    struct model m;
    struct error err;

    if (!take_model(d, r, &m))
        return;
    if (reply_may_change(r, model_json(d->store, &m, reach_only(&r->caller)), moves)) {
        if (remove_model(d, &m, &err))
            http_reply(r, 204, NULL, "", 0);
        else
            problem_reply_error(r, &err);
    }
    model_fini(&m);
}
