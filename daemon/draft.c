#include "daemon/draft.h"

#include <stdio.h>
#include <stdlib.h>

#include "daemon/abilities.h"
#include "daemon/hosts.h"
#include "daemon/needs.h"
#include "daemon/projects.h"
#include "daemon/reach.h"
#include "daemon/refs.h"
#include "daemon/roots.h"
#include "proto/base/clock.h"
#include "proto/base/str.h"
#include "proto/wire/validate.h"

/* -- What it asks for ---------------------------------------------------------------------------------- */

struct draft_path {
    char *pointer, *path;
};

static char *ask_for_path(const char *pointer, const char *path, void *arg)
{
    struct draft_asks *a = arg;

    vec_push(&a->paths, (struct draft_path){str_dup(pointer), str_dup(path)});
    return NULL;
}

static struct draft_asks asks_of(const JobSpec *spec)
{
    struct draft_asks a = {.project = str_dup(spec->project),
                           .ranks = spec->resources->ranks->min,
                           .threads = spec->resources->threads};

    job_each_path(spec, ask_for_path, &a);
    for (size_t i = 0; i < spec->n_depends_on && i < JOB_MAX_NEEDS; i++) {
        const char *id = spec->depends_on[i]->job;

        vec_push(&a.needs, id ? str_dup(id) : NULL);
    }
    return a;
}

static void asks_fini(struct draft_asks *a)
{
    for (size_t i = 0; i < a->paths.n; i++) {
        free(a->paths.at[i].pointer);
        free(a->paths.at[i].path);
    }
    for (size_t i = 0; i < a->needs.n; i++)
        free(a->needs.at[i]);
    vec_free(&a->paths);
    vec_free(&a->needs);
    free(a->project);
}

static void check_path(const struct draft_client *c, const struct draft_path *asked,
                       struct problems *p)
{
    struct error err;

    if (*asked->path != '/')
        problems_add(p, asked->pointer,
                     "must be an absolute path, got \"%s\": the daemon has no folder to take it "
                     "from",
                     asked->path);
    else if (!roots_check(c->daemon, c->who, asked->path, &err))
        problems_add(p, asked->pointer, "%s", err.msg);
}

static void check_asks(const struct draft_client *c, const struct draft_asks *a, struct problems *p)
{
    const struct daemon *d = c->daemon;
    struct error err;

    for (size_t i = 0; i < a->paths.n; i++)
        check_path(c, &a->paths.at[i], p);
    for (size_t i = 0; i < a->needs.n; i++)
        needs_check(d, c->who, i, a->needs.at[i], p);
    if (!reach_sees(c->who, a->project))
        problems_add(p, "#/project", "expected %s, the project of the token, got %s",
                     c->who->project, a->project);
    if (a->ranks < 1 || a->threads < 1) /* which the rules have told */
        return;
    if (!hosts_can_take(d, a->ranks, a->threads, &err))
        problems_add(p, "#/resources/ranks", "%s", err.msg);
    else if (!projects_can_take(d, a->project, a->ranks * a->threads, &err))
        problems_add(p, "#/resources/ranks", "%s", err.msg);
}

void draft_check(const JobSpec *spec, struct problems *p, void *draft_client)
{
    const struct draft_client *c = draft_client;
    struct draft_asks asks = asks_of(spec);

    job_validate(spec, abilities_known(c->daemon), p);
    if (c->who)
        job_check_labels(spec, p);
    check_asks(c, &asks, p);
    asks_fini(&asks);
}

/* -- What its text tells ------------------------------------------------------------------------------- */

/* A token of one project need not name it. True when that was filled in. */
static bool fill_in_project(const struct draft_client *c, struct json *written)
{
    const char *project = reach_only(c->who);

    if (!project || js_kind(written) != JS_OBJECT || js_kind(js_get(written, "project")) != JS_NULL)
        return false;
    js_set(written, "project", js_new_string(project));
    return true;
}

/* What is kept of the spec as it was written, before anything else is filled in. */
static char *text_to_keep(const struct json *written, const struct js_part *sent)
{
    struct buf b = buf_new(0);

    if (sent)
        js_squeeze(sent->text, sent->len, &b);
    else
        js_write(written, JS_COMPACT, &b);
    return buf_take(&b);
}

/* One job, that names nothing of the registry. */
static bool is_plain(const struct json *written)
{
    return js_kind(js_get(written, "sweep")) == JS_NULL && !refs_has_names(written);
}

static void read_plain(struct draft *f, const struct json *written, const struct catalog *known)
{
    JobSpec *spec = job_from_json(written, &f->problems);

    if (!spec)
        return;
    job_validate(spec, known, &f->problems);
    job_check_labels(spec, &f->problems);
    f->asks = asks_of(spec);
    if (!f->problems.list.n) {
        f->job = job_new("", spec, clock_wall_ms());
        f->job->names_none = true;
    }
    job_free(spec);
}

void draft_begin(struct draft *f, const struct draft_client *c, struct json *take_written,
                 const struct js_part *sent)
{
    const bool as_sent = !fill_in_project(c, take_written);

    *f = (struct draft){.written = take_written,
                        .text = text_to_keep(take_written, as_sent ? sent : NULL)};
    if (!is_plain(take_written))
        return;
    f->written = NULL;
    read_plain(f, take_written, abilities_known(c->daemon));
    js_free(take_written);
}

/* -- Both together ------------------------------------------------------------------------------------- */

static struct job *make_job(const JobSpec *spec, const struct json *written)
{
    struct job *j = job_new("", spec, clock_wall_ms());
    struct problems none = {0};
    struct sweep *s = js_get(written, "sweep") ? sweep_new(written, &none) : NULL;

    if (s)
        job_become_sweep(j, written, s);
    sweep_free(s);
    return j;
}

static void judge_here(struct draft *f, const struct draft_client *c)
{
    struct draft_client client = *c;
    JobSpec *spec;

    refs_pin(c->daemon, f->written, &f->problems);
    spec = sweep_check(f->written, draft_check, &client, &f->problems);
    if (!f->problems.list.n)
        f->job = make_job(spec, f->written);
    job_free(spec);
}

struct job *draft_end(struct draft *f, const struct draft_client *c)
{
    struct job *j;

    if (f->written)
        judge_here(f, c);
    else if (f->asks.project)
        check_asks(c, &f->asks, &f->problems);
    if (f->problems.list.n)
        return NULL;
    j = f->job;
    f->job = NULL;
    j->written = f->text;
    f->text = NULL;
    if (c->who)
        memcpy(j->owner, c->who->id, sizeof(j->owner));
    if (c->trace)
        snprintf(j->trace, sizeof(j->trace), "%s", c->trace);
    return j;
}

void draft_fini(struct draft *f)
{
    js_free(f->written);
    free(f->text);
    asks_fini(&f->asks);
    job_destroy(f->job);
    problems_free(&f->problems);
    *f = (struct draft){.written = NULL};
}
