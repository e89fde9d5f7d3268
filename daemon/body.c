#include "daemon/body.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api.h"
#include "daemon/blobs.h"
#include "daemon/problem.h"
#include "proto/base/str.h"
#include "proto/wire/ref.h"
#include "proto/wire/validate.h"

static const struct member *find(const struct member *members, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(members[i].name, name) == 0)
            return &members[i];
    return NULL;
}

static void check_unknown(const struct json *body, const struct member *members, size_t n,
                          struct problems *p)
{
    for (void *it = js_first(body); it; it = js_next(body, it))
        if (!find(members, n, js_key(it)))
            problems_add(p, "#", "unknown member \"%.40s\"", js_key(it));
}

static void check_member(const struct json *body, const struct member *m, struct problems *p)
{
    const struct json *value = js_get(body, m->name);
    char *pointer = str_fmt("#/%s", m->name);
    struct error err;

    if (js_kind(value) == JS_NULL && m->required)
        problems_add(p, pointer, "is required");
    else if (js_kind(value) != JS_NULL && js_kind(value) != m->kind)
        problems_add(p, pointer, "expected %s, got %s", js_kind_name(m->kind),
                     js_kind_name(js_kind(value)));
    else if (js_kind(value) != JS_NULL && m->check && !m->check(value, &err))
        problems_add(p, pointer, "%s", err.msg);
    free(pointer);
}

static void check(const struct json *body, const struct member *members, size_t n,
                  struct problems *p)
{
    if (js_kind(body) != JS_OBJECT) {
        problems_add(p, "#", "expected an object, got %s", js_kind_name(js_kind(body)));
        return;
    }
    check_unknown(body, members, n, p);
    for (size_t i = 0; i < n; i++)
        check_member(body, &members[i], p);
}

struct json *body_read(struct request *r, const char *what, const struct member *members, size_t n)
{
    struct json *body = api_body(r, what);
    struct problems p = {0};

    if (!body)
        return NULL;
    check(body, members, n, &p);
    if (p.list.n) {
        problem_reply(r, "invalid", &p, "%s with %zu problem%s", what, p.list.n,
                      p.list.n == 1 ? "" : "s");
        js_free(body);
        body = NULL;
    }
    problems_free(&p);
    return body;
}

bool body_is_name(const struct json *value, struct error *err)
{
    return ref_check_name(js_string(value, ""), err);
}

bool body_is_sha256(const struct json *value, struct error *err)
{
    return blob_is_name(js_string(value, "")) ||
           err_set(err, ERR_INVALID, "expected 64 lower-case hexadecimal digits, got \"%.80s\"",
                   js_string(value, ""));
}

bool body_is_count(const struct json *value, struct error *err)
{
    return js_int(value, 0) >= 1 ||
           err_set(err, ERR_INVALID, "must be at least 1, got %" PRId64, js_int(value, 0));
}

bool body_is_labels(const struct json *value, struct error *err)
{
    if (js_len(value) > JOB_MAX_LABELS)
        return err_set(err, ERR_INVALID, "at most %d labels, got %zu", JOB_MAX_LABELS,
                       js_len(value));
    for (void *it = js_first(value); it; it = js_next(value, it)) {
        if (js_kind(js_value(it)) != JS_STRING)
            return err_set(err, ERR_INVALID, "%.40s: expected a string, got %s", js_key(it),
                           js_kind_name(js_kind(js_value(it))));
        if (!job_label_fits(js_key(it), js_string(js_value(it), ""), err))
            return false;
    }
    return true;
}
