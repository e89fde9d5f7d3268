#include "daemon/daemon.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"

/* -- The index: chains by a hash of the id, at most as long on average as there are slots --------------- */

static struct active **slot(const struct daemon *d, const char *id)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

    for (; *id; id++)
        hash = (hash ^ (unsigned char)*id) * UINT64_C(1099511628211);
    return &d->index.at[hash & (d->index.n - 1)];
}

static void put(struct daemon *d, struct active *a)
{
    struct active **at = slot(d, a->job->id);

    a->next = *at;
    *at = a;
}

static void take_out(struct daemon *d, const struct active *a)
{
    struct active **at = slot(d, a->job->id);

    while (*at != a)
        at = &(*at)->next;
    *at = a->next;
}

/* Twice as many slots, before there are more entries than slots. */
static void grow(struct daemon *d)
{
    size_t n = d->index.n ? 2 * d->index.n : 64;

    if (d->active.n < d->index.n)
        return;
    vec_reserve(&d->index, n);
    d->index.n = n;
    memset(d->index.at, 0, n * sizeof(d->index.at[0]));
    for (size_t i = 0; i < d->active.n; i++)
        put(d, d->active.at[i]);
}

struct active *daemon_active(const struct daemon *d, const char *id)
{
    struct active *a = d->index.n ? *slot(d, id) : NULL;

    while (a && strcmp(a->job->id, id) != 0)
        a = a->next;
    return a;
}

struct active *daemon_add_active(struct daemon *d, struct job *take_job)
{
    struct active *a = NEW(struct active);
    size_t at;

    a->job = take_job;
    grow(d);
    put(d, a);
    vec_push(&d->active, a);
    /* A job that a user takes up again comes back to its old place. */
    for (at = d->active.n - 1; at > 0 && d->active.at[at - 1]->job->seq > take_job->seq; at--)
        d->active.at[at] = d->active.at[at - 1];
    d->active.at[at] = a;
    return a;
}

/* They stand in the order of arrival. */
static size_t place_of(const struct daemon *d, const struct active *a)
{
    size_t low = 0, high = d->active.n;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;

        if (d->active.at[middle]->job->seq <= a->job->seq)
            low = middle;
        else
            high = middle;
    }
    while (d->active.at[low] != a)
        low--; /* of several that have no number yet */
    return low;
}

void daemon_drop_active(struct daemon *d, struct active *a)
{
    size_t at = place_of(d, a);

    take_out(d, a);
    memmove(&d->active.at[at], &d->active.at[at + 1],
            (d->active.n - at - 1) * sizeof(d->active.at[0]));
    d->active.n--;
    job_destroy(a->job);
    free(a);
}

void daemon_drop_all(struct daemon *d)
{
    while (d->active.n)
        daemon_drop_active(d, d->active.at[d->active.n - 1]);
    vec_free(&d->active);
    vec_free(&d->index);
}

char *daemon_job_path(const struct daemon *d, const char *id, const char *rest)
{
    return str_fmt("%s/jobs/%s/%s", d->state_dir, id, rest);
}

char *daemon_attempt_path(const struct daemon *d, const struct job *j)
{
    return str_fmt("%s/jobs/%s/attempts/%" PRId64, d->state_dir, j->id, j->attempt);
}
