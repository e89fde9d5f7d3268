#include "daemon/abilities.h"

#include <stdlib.h>

#include "daemon/problem.h"
#include "daemon/worker_tool.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

struct abilities {
    struct daemon *daemon;
    void (*known)(struct daemon *d, const struct error *err);
    char *kept; /* the file in which they are */
    VEC(struct request *) waiting;
    bool asked; /* the worker; what follows is the other thread's before */
    uv_work_t work;
    struct catalog catalog;
    struct error err;
    bool ok;
};

/* A request that waits. */
struct waiting {
    struct daemon *daemon;
    void (*then)(struct daemon *d, struct request *r);
};

/* On a thread of the pool. */
static void ask(uv_work_t *w)
{
    struct abilities *a = w->data;
    struct daemon *d = a->daemon;

    a->ok = worker_catalog_kept(d->settings.worker, a->kept, &a->catalog) ||
            worker_catalog_ask(d->settings.worker, a->kept, d->worker_calls, &a->catalog, &a->err);
}

static void on_asked(uv_work_t *w, int status)
{
    struct abilities *a = w->data;
    struct daemon *d = a->daemon;

    (void)status;
    a->asked = true;
    if (a->ok) {
        d->catalog = a->catalog;
        /* What the worker does not know: api_datasets.c. */
        catalog_add(&d->catalog, CATALOG_DATA,
                    (struct catalog_entry){.name = "dataset", .params = "image_size"});
    }
    for (size_t i = 0; i < a->waiting.n; i++)
        http_release(a->waiting.at[i]);
    a->waiting.n = 0;
    if (!d->stopping)
        a->known(d, a->ok ? NULL : &a->err);
}

const struct catalog *abilities_known(const struct daemon *d)
{
    return !d->abilities || (d->abilities->asked && d->abilities->ok) ? &d->catalog : NULL;
}

static void answer(struct daemon *d, struct request *r,
                   void (*then)(struct daemon *d, struct request *r))
{
    if (abilities_known(d))
        then(d, r);
    else
        problem_reply_error(r, &d->abilities->err);
}

static void go_on(struct request *r, void *arg)
{
    struct waiting *w = arg;

    answer(w->daemon, r, w->then);
    free(w);
}

void abilities_then(struct daemon *d, struct request *r,
                    void (*then)(struct daemon *d, struct request *r))
{
    struct abilities *a = d->abilities;
    struct waiting *w;

    if (!a || a->asked) {
        answer(d, r, then);
        return;
    }
    w = NEW(struct waiting);
    *w = (struct waiting){d, then};
    vec_push(&a->waiting, r);
    http_hold(r, go_on, w);
}

void abilities_open(struct daemon *d, void (*known)(struct daemon *d, const struct error *err))
{
    struct abilities *a = NEW(struct abilities);

    *a = (struct abilities){
        .daemon = d, .known = known, .kept = str_path(d->state_dir, "catalog.json")};
    a->work.data = a;
    d->abilities = a;
    uv_queue_work(&d->loop, &a->work, ask, on_asked);
}

void abilities_free(struct daemon *d)
{
    if (!d->abilities)
        return;
    vec_free(&d->abilities->waiting);
    free(d->abilities->kept);
    free(d->abilities);
    d->abilities = NULL;
}
