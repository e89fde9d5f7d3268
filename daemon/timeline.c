#include "daemon/timeline.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/vec.h"

/* Between two changes. The last one lasts for ever. */
struct span {
    int64_t from;
    int64_t free; /* of all hosts together */
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

/* A host that lost slots while they were in use has less than none, which takes nothing from the others. */
static int64_t free_of(const struct place_host *h)
{
    return h->free > 0 ? h->free : 0;
}

struct timeline *timeline_new(const struct place_host *hosts, size_t n_hosts)
{
    struct timeline *t = NEW(struct timeline);
    struct span now = {.hosts = copy_hosts(hosts, n_hosts)};

    t->n_hosts = n_hosts;
    t->least = NEW_ARRAY(struct place_host, n_hosts);
    for (size_t h = 0; h < n_hosts; h++)
        now.free += free_of(&hosts[h]);
    vec_push(&t->spans, now);
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
    size_t i = t->spans.n, last;
    struct span half;

    while (i > 0 && t->spans.at[i - 1].from >= at)
        i--;
    if (i < t->spans.n && t->spans.at[i].from == at)
        return i;
    half = t->spans.at[i - 1];
    half.from = at;
    half.hosts = copy_hosts(half.hosts, t->n_hosts);
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

            s->free -= free_of(&s->hosts[h]);
            s->hosts[h].free += ranks[h] * threads;
            s->free += free_of(&s->hosts[h]);
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

static bool has_room(const struct place_host *hosts, size_t n_hosts, int64_t ranks, int64_t threads)
{
    for (size_t h = 0; h < n_hosts && ranks > 0; h++)
        ranks -= free_of(&hosts[h]) / threads;
    return ranks <= 0;
}

/* What is free of each host from the start of this span for so long (t->least). False as soon as that is too
 * little; *next is then the first span that is worth a try. */
static bool free_throughout(const struct timeline *t, size_t first, int64_t ranks, int64_t threads,
                            int64_t length, size_t *next)
{
    const int64_t end = end_of(t->spans.at[first].from, length);

    memcpy(t->least, t->spans.at[first].hosts, t->n_hosts * sizeof(*t->least));
    *next = first + 1;
    for (size_t i = first; i < t->spans.n && t->spans.at[i].from < end; i++) {
        const struct span *s = &t->spans.at[i];
        bool enough = s->free >= ranks * threads;

        for (size_t h = 0; enough && h < t->n_hosts; h++)
            if (s->hosts[h].free < t->least[h].free)
                t->least[h].free = s->hosts[h].free;
        if (enough && has_room(t->least, t->n_hosts, ranks, threads))
            continue;
        /* What begins between here and a span without room would meet it too. */
        if (!enough || !has_room(s->hosts, t->n_hosts, ranks, threads))
            *next = i + 1;
        return false;
    }
    return true;
}

int64_t timeline_find(const struct timeline *t, int64_t ranks, int64_t threads, int64_t length,
                      int64_t *given)
{
    for (size_t i = 0, next; i < t->spans.n; i = next)
        if (free_throughout(t, i, ranks, threads, length, &next) &&
            place_ranks(t->least, t->n_hosts, ranks, threads, given))
            return t->spans.at[i].from;
    memset(given, 0, t->n_hosts * sizeof(*given));
    return TIMELINE_EVER;
}
