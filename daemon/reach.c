#include "daemon/reach.h"

#include <string.h>

#include "daemon/webhooks.h"
#include "proto/base/mem.h"

const char *reach_only(const struct caller *who)
{
    return who && who->project[0] ? who->project : NULL;
}

bool reach_sees(const struct caller *who, const char *project)
{
    const char *only = reach_only(who);

    return !only || strcmp(only, project) == 0;
}

bool reach_job(const struct daemon *d, const struct caller *who, const char *id, struct error *err)
{
    const struct active *a;
    char project[REF_NAME_SIZE];

    if (!reach_only(who))
        return true;
    a = daemon_active(d, id);
    if (!a && !store_job_project(d->store, id, project, err))
        return false;
    return reach_sees(who, a ? a->job->project : project) ||
           err_set(err, ERR_NOT_FOUND, "there is no job %s", id);
}

static bool reach_webhook(const struct daemon *d, const struct caller *who, const char *id,
                          struct error *err)
{
    struct webhook w;
    bool ok = webhook_find(d->store, id, &w, err);

    if (ok && !reach_sees(who, w.project))
        ok = webhook_missing(id, err);
    webhook_fini(&w);
    return ok;
}

static bool reach_project(const struct daemon *d, const struct caller *who, const char *name,
                          struct error *err)
{
    (void)d;
    return reach_sees(who, name) || err_set(err, ERR_NOT_FOUND, "there is no project %.100s", name);
}

static bool reach_nothing(const struct daemon *d, const struct caller *who, const char *id,
                          struct error *err)
{
    (void)d;
    (void)id;
    return err_set(err, ERR_FORBIDDEN,
                   "this concerns all projects; the token %s is one of project %s", who->id,
                   who->project);
}

bool reach_check(const struct daemon *d, const struct request *r, enum reach reach,
                 struct error *err)
{
    static bool (*const checks[REACH_COUNT])(const struct daemon *d, const struct caller *who,
                                             const char *id, struct error *err) = {
        [REACH_ALL] = reach_nothing,
        [REACH_JOB] = reach_job,
        [REACH_WEBHOOK] = reach_webhook,
        [REACH_PROJECT] = reach_project,
    };

    return !reach_only(&r->caller) || !checks[reach] ||
           checks[reach](d, &r->caller, r->params[0], err);
}
