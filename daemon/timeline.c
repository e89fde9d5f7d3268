#include "daemon/timeline.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/vec.h"

/* Between two changes. The last one lasts for ever. */
struct span {
    int64_t from;
    int64_t all;   /* of all hosts together, as free_of counts it */
    int64_t *free; /* of each host */
};

struct timeline {
    size_t n_hosts;
    VEC(struct span) spans;   /* by time; the first is from 0 on */
    struct span *least;       /* of free_throughout */
    struct place_host *hosts; /* the same, as place.h takes it */
};

/* A host that lost slots while they were in use has less than none, which takes nothing from the others. */
static int64_t free_of(int64_t slots)
{
    return slots > 0 ? slots : 0;
}

struct timeline *timeline_new(const struct place_host *hosts, size_t n_hosts)
{
    struct timeline *t = NEW(struct timeline);
    struct span now = {.free = NEW_ARRAY(int64_t, n_hosts)};

    t->n_hosts = n_hosts;
    t->least = NEW(struct span);
    t->least->free = NEW_ARRAY(int64_t, n_hosts);
    t->hosts = NEW_ARRAY(struct place_host, n_hosts);
    for (size_t h = 0; h < n_hosts; h++) {
        now.free[h] = hosts[h].free;
        now.all += free_of(hosts[h].free);
    }
    vec_push(&t->spans, now);
    return t;
}

void timeline_free(struct timeline *t)
{
    for (size_t i = 0; i < t->spans.n; i++)
        free(t->spans.at[i].free);
    vec_free(&t->spans);
    free(t->least->free);
    free(t->least);
    free(t->hosts);
    free(t);
}

/* A time that no sum can pass. */
static int64_t end_of(int64_t at, int64_t length)
{
    return length >= TIMELINE_EVER - at ? TIMELINE_EVER : at + length;
}

/* The first span from `at` on, after the one around it was cut in two. */
static size_t cut(struct timeline *t, int64_t at)
{
    size_t i = t->spans.n, last;
    struct span half;

    while (i > 0 && t->spans.at[i - 1].from >= at)
        i--;
    if (i < t->spans.n && t->spans.at[i].from == at)
        return i;
    half = t->spans.at[i - 1];
    half.from = at;
    half.free = NEW_ARRAY(int64_t, t->n_hosts);
    memcpy(half.free, t->spans.at[i - 1].free, t->n_hosts * sizeof(*half.free));
    vec_push(&t->spans, half);
    for (last = t->spans.n - 1; last > i; last--) {
        struct span moved = t->spans.at[last];

        t->spans.at[last] = t->spans.at[last - 1];
        t->spans.at[last - 1] = moved;
    }
    return i;
}

/* Adds to what is free from one time to another. */
static void change(struct timeline *t, int64_t from, int64_t to, const int64_t *ranks,
                   int64_t threads)
{
    size_t first = cut(t, from), end = to == TIMELINE_EVER ? t->spans.n : cut(t, to);

    for (size_t h = 0; h < t->n_hosts; h++)
        for (size_t i = first; ranks[h] && i < end; i++) {
            struct span *s = &t->spans.at[i];

            s->all -= free_of(s->free[h]);
            s->free[h] += ranks[h] * threads;
            s->all += free_of(s->free[h]);
        }
}

void timeline_release(struct timeline *t, int64_t at, const int64_t *ranks, int64_t threads)
{
    change(t, at, TIMELINE_EVER, ranks, threads);
}

void timeline_take(struct timeline *t, int64_t at, int64_t length, const int64_t *given,
                   int64_t threads)
{
    change(t, at, end_of(at, length), given, -threads);
}

void timeline_take_back(struct timeline *t, int64_t at, int64_t length, const int64_t *given,
                        int64_t threads)
{
    change(t, at, end_of(at, length), given, threads);
}

/* The sum tells most of it, and all of it where a rank has one thread; dividing is what takes time. */
static bool has_room(const struct timeline *t, const struct span *s, int64_t ranks, int64_t threads)
{
    if (s->all < ranks * threads || threads == 1)
        return s->all >= ranks * threads;
    for (size_t h = 0; h < t->n_hosts && ranks > 0; h++)
        ranks -= free_of(s->free[h]) / threads;
    return ranks <= 0;
}

/* Lowers it, host by host, to what another span has; whether that was less. */
static bool lower(struct span *least, const struct span *s, size_t n_hosts)
{
    const int64_t before = least->all;

    for (size_t h = 0; h < n_hosts; h++)
        if (s->free[h] < least->free[h]) {
            least->all += free_of(s->free[h]) - free_of(least->free[h]);
            least->free[h] = s->free[h];
        }
    return least->all < before;
}

/* What is free of each host from the start of this span for so long (t->least). False as soon as that is too
 * little; *next is then the first span that is worth a try. */
static bool free_throughout(const struct timeline *t, size_t first, int64_t ranks, int64_t threads,
                            int64_t length, size_t *next)
{
    const struct span *s = &t->spans.at[first];
    const int64_t end = end_of(s->from, length);

    *next = first + 1;
    if (!has_room(t, s, ranks, threads))
        return false;
    t->least->all = s->all;
    memcpy(t->least->free, s->free, t->n_hosts * sizeof(*s->free));
    for (size_t i = first + 1; i < t->spans.n && t->spans.at[i].from < end; i++) {
        s = &t->spans.at[i];
        if (s->all >= ranks * threads &&
            (!lower(t->least, s, t->n_hosts) || has_room(t, t->least, ranks, threads)))
            continue;
        /* What begins between here and a span without room would meet it too. */
        if (!has_room(t, s, ranks, threads))
            *next = i + 1;
        return false;
    }
    return true;
}

static bool place(const struct timeline *t, int64_t ranks, int64_t threads, int64_t *given)
{
    for (size_t h = 0; h < t->n_hosts; h++)
        t->hosts[h].free = t->least->free[h];
    return place_ranks(t->hosts, t->n_hosts, ranks, threads, given);
}

int64_t timeline_find(const struct timeline *t, int64_t ranks, int64_t threads, int64_t length,
                      int64_t *given)
{
    for (size_t i = 0, next; i < t->spans.n; i = next)
        if (free_throughout(t, i, ranks, threads, length, &next) && place(t, ranks, threads, given))
            return t->spans.at[i].from;
    memset(given, 0, t->n_hosts * sizeof(*given));
    return TIMELINE_EVER;
}
