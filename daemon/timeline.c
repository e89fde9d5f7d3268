#include "daemon/timeline.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/vec.h"

/* Between two changes. The last one lasts for ever. */
struct span {
    int64_t from;
    struct place_host *hosts;
};

struct timeline {
    size_t n_hosts;
    VEC(struct span) spans; /* by time; the first is from 0 on */
    struct place_host *least;
};

static struct place_host *copy_hosts(const struct place_host *hosts, size_t n)
{
    struct place_host *copy = NEW_ARRAY(struct place_host, n);

    memcpy(copy, hosts, n * sizeof(*copy));
    return copy;
}

struct timeline *timeline_new(const struct place_host *hosts, size_t n_hosts)
{
    struct timeline *t = NEW(struct timeline);

    t->n_hosts = n_hosts;
    t->least = NEW_ARRAY(struct place_host, n_hosts);
    vec_push(&t->spans, (struct span){0, copy_hosts(hosts, n_hosts)});
    return t;
}

void timeline_free(struct timeline *t)
{
    for (size_t i = 0; i < t->spans.n; i++)
        free(t->spans.at[i].hosts);
    vec_free(&t->spans);
    free(t->least);
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
    size_t i = 0, last;

    while (i < t->spans.n && t->spans.at[i].from < at)
        i++;
    if (i < t->spans.n && t->spans.at[i].from == at)
        return i;
    vec_push(&t->spans, (struct span){at, copy_hosts(t->spans.at[i - 1].hosts, t->n_hosts)});
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

    for (size_t i = first; i < end; i++)
        for (size_t h = 0; h < t->n_hosts; h++)
            t->spans.at[i].hosts[h].free += ranks[h] * threads;
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

static bool has_room(const struct timeline *t, size_t span, int64_t ranks, int64_t threads)
{
    int64_t room = 0;

    for (size_t h = 0; h < t->n_hosts; h++)
        room += t->spans.at[span].hosts[h].free / threads;
    return room >= ranks;
}

/* What is free of each host from the start of this span for so long. False as soon as that is too little. */
static bool free_throughout(const struct timeline *t, size_t first, int64_t ranks, int64_t threads,
                            int64_t length)
{
    int64_t end = end_of(t->spans.at[first].from, length);

    memcpy(t->least, t->spans.at[first].hosts, t->n_hosts * sizeof(*t->least));
    for (size_t i = first; i < t->spans.n && t->spans.at[i].from < end; i++) {
        if (!has_room(t, i, ranks, threads))
            return false;
        for (size_t h = 0; h < t->n_hosts; h++)
            if (t->spans.at[i].hosts[h].free < t->least[h].free)
                t->least[h].free = t->spans.at[i].hosts[h].free;
    }
    return true;
}

int64_t timeline_find(const struct timeline *t, int64_t ranks, int64_t threads, int64_t length,
                      int64_t *given)
{
    for (size_t i = 0; i < t->spans.n; i++)
        if (free_throughout(t, i, ranks, threads, length) &&
            place_ranks(t->least, t->n_hosts, ranks, threads, given))
            return t->spans.at[i].from;
    memset(given, 0, t->n_hosts * sizeof(*given));
    return TIMELINE_EVER;
}
