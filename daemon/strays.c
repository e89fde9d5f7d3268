#include "daemon/strays.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/attempts.h"
#include "daemon/ids.h"
#include "daemon/launch.h"
#include "daemon/procs.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/base/vec.h"

struct round {
    uv_work_t work;
    struct daemon *daemon;
    char *mark;
    VEC(char *) attempts; /* JOB.N, each once */
};

static void note(const char *attempt, void *arg)
{
    struct round *r = arg;

    for (size_t i = 0; i < r->attempts.n; i++)
        if (strcmp(r->attempts.at[i], attempt) == 0)
            return;
    vec_push(&r->attempts, str_dup(attempt));
}

static void look(uv_work_t *w)
{
    struct round *r = w->data;

    procs_each(r->mark, note, r);
}

static bool read_attempt(const char *text, struct job *out)
{
    const char *dot = strchr(text, '.');

    if (!dot || !str_int(dot + 1, 1, INT64_MAX, &out->attempt) ||
        (size_t)(dot - text) >= sizeof(out->id))
        return false;
    memcpy(out->id, text, (size_t)(dot - text));
    return id_valid(out->id);
}

/* One that has ended meanwhile has a record that says so, and is left alone. */
static void judge(struct daemon *d, const char *attempt)
{
    struct job j = {.id = ""};
    const struct active *a;

    if (!read_attempt(attempt, &j))
        return;
    a = daemon_active(d, j.id);
    if (a && a->job->attempt == j.attempt)
        return;
    log_warn("an attempt that no job knows of is ended; what it wrote stays attempt=%s", attempt);
    attempts_put_down(d, &j);
}

static void looked(uv_work_t *w, int status)
{
    struct round *r = w->data;

    for (size_t i = 0; i < r->attempts.n; i++) {
        if (status == 0 && !r->daemon->stopping)
            judge(r->daemon, r->attempts.at[i]);
        free(r->attempts.at[i]);
    }
    vec_free(&r->attempts);
    free(r->mark);
    free(r);
}

void strays_look(struct daemon *d)
{
    struct round *r = NEW(struct round);

    r->work.data = r;
    r->daemon = d;
    r->mark = launch_mark(d);
    if (uv_queue_work(&d->loop, &r->work, look, looked) != 0)
        looked(&r->work, -1);
}
