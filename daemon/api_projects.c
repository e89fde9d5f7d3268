/* Projects: GET, and PUT of weight and quota. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api.h"
#include "daemon/problem.h"
#include "daemon/projects.h"
#include "daemon/reach.h"
#include "daemon/sched.h"
#include "proto/base/mem.h"

static const char *const moves[] = {"used_slot_s", "used_slots", "running", "waiting", NULL};

void api_project_list(struct daemon *d, struct request *r)
{
    struct json *j = js_new_object(), *items = js_new_array();

    for (size_t i = 0; i < d->projects.n; i++)
        if (reach_sees(&r->caller, d->projects.at[i].name))
            js_push(items, project_json(d, i));
    js_set(j, "items", items);
    reply_json(r, 200, j);
}

void api_project_get(struct daemon *d, struct request *r)
{
    const struct project *p = projects_find(d, r->params[0]);

    if (p)
        reply_resource(r, 200, project_json(d, (size_t)(p - d->projects.at)), moves);
    else
        problem_reply(r, "not_found", NULL, "there is no project %.100s", r->params[0]);
}

static void check_members(const struct json *object, const char *pointer, const char *const *known,
                          size_t n, struct problems *p)
{
    if (object && js_kind(object) != JS_OBJECT && js_kind(object) != JS_NULL)
        problems_add(p, pointer, "expected an object, got %s", js_kind_name(js_kind(object)));
    for (void *it = js_first(object); it; it = js_next(object, it)) {
        size_t i = 0;

        while (i < n && strcmp(known[i], js_key(it)) != 0)
            i++;
        if (i == n)
            problems_add(p, pointer, "unknown member \"%.40s\"", js_key(it));
    }
}

static void wrong(const struct json *got, const char *pointer, const char *expected,
                  struct problems *p)
{
    char *text = js_text(got, JS_COMPACT);

    problems_add(p, pointer, "expected %s, got %.60s", expected, text);
    free(text);
}

/* null and nothing stand for no limit, 0. */
static int64_t read_limit(const struct json *quota, const char *key, const char *pointer,
                          struct problems *p)
{
    const struct json *j = js_get(quota, key);

    if (!j || js_kind(j) == JS_NULL)
        return 0;
    if (js_kind(j) != JS_INT || js_int(j, 0) < 1)
        wrong(j, pointer, "a whole number from 1, or null", p);
    return js_int(j, 0);
}

static double read_weight(const struct json *body, struct problems *p)
{
    const struct json *j = js_get(body, "weight");
    double v = !j || js_kind(j) == JS_NULL ? 1 : js_real(j, -1);

    if (!(v >= 0.001 && v <= 1000))
        wrong(j, "#/weight", "a number from 0.001 to 1000", p);
    return v;
}

static void read_project(const struct json *body, struct project *to, struct problems *p)
{
    static const char *const members[] = {"weight", "quota"}, *const limits[] = {"slots", "queued"};
    const struct json *quota = js_get(body, "quota");

    if (js_kind(body) != JS_OBJECT) {
        problems_add(p, "#", "expected an object, got %s", js_kind_name(js_kind(body)));
        return;
    }
    check_members(body, "#", members, ARRAY_LEN(members), p);
    check_members(quota, "#/quota", limits, ARRAY_LEN(limits), p);
    to->weight = read_weight(body, p);
    to->quota_slots = read_limit(quota, "slots", "#/quota/slots", p);
    to->quota_queued = read_limit(quota, "queued", "#/quota/queued", p);
}

static void put(struct daemon *d, struct request *r, const struct json *body)
{
    const struct project *known = projects_find(d, r->params[0]);
    struct project to = {.weight = 1};
    struct problems p = {0};
    struct error err;

    if (known)
        to = *known;
    snprintf(to.name, sizeof(to.name), "%s", r->params[0]);
    read_project(body, &to, &p);
    if (p.list.n)
        problem_reply(r, "invalid", &p, "project %s cannot be so", to.name);
    else if (!projects_put(d, &to, &err))
        problem_reply_error(r, &err);
    else
        reply_resource(r, 200, project_json(d, projects_index(d, to.name)), moves);
    problems_free(&p);
    sched_soon(d);
}

void api_project_put(struct daemon *d, struct request *r)
{
    const struct project *known;
    struct json *body, *shown;
    struct error err;

    if (!ref_check_name(r->params[0], &err)) {
        problem_reply(r, "invalid", NULL, "the name of a project: %s", err.msg);
        return;
    }
    known = projects_find(d, r->params[0]);
    shown = known ? project_json(d, (size_t)(known - d->projects.at)) : NULL;
    body = reply_may_change(r, shown, moves) ? api_body(r, "a project") : NULL;
    if (body)
        put(d, r, body);
    js_free(body);
}
