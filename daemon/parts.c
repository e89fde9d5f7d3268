#include "daemon/parts.h"

#include <stdlib.h>

#include "proto/base/mem.h"

struct parts;

struct part {
    uv_work_t work;
    struct parts *of;
};

struct parts {
    struct request *r;
    void (*work)(void *arg, size_t part);
    void *arg;
    struct part *each;
    size_t left;
};

static void on_work(uv_work_t *w)
{
    struct part *part = w->data;
    struct parts *all = part->of;

    all->work(all->arg, (size_t)(part - all->each));
}

static void on_done(uv_work_t *w, int status)
{
    struct parts *all = ((struct part *)w->data)->of;

    (void)status;
    if (--all->left)
        return;
    http_release(all->r);
    free(all->each);
    free(all);
}

void parts_work(struct daemon *d, struct request *r, size_t n, void (*work)(void *arg, size_t part),
                void (*then)(struct request *r, void *arg), void *arg)
{
    struct parts *all = NEW(struct parts);

    ASSERT(n);
    *all = (struct parts){
        .r = r, .work = work, .arg = arg, .each = NEW_ARRAY(struct part, n), .left = n};
    http_hold(r, then, arg);
    for (size_t i = 0; i < n; i++) {
        all->each[i] = (struct part){.of = all};
        all->each[i].work.data = &all->each[i];
        uv_queue_work(&d->loop, &all->each[i].work, on_work, on_done);
    }
}
