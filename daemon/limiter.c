#include "daemon/limiter.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/secret.h"
#include "proto/base/mem.h"

/* A key has its place in one of the sets; a set that is full gives up the bucket that is nearest to full, which is
 * nearest to one that was never asked for. */
enum {
    SETS = 1024,
    WAYS = 8
};

struct bucket {
    uint64_t key; /* 0: free */
    double left, at_s;
};

struct limiter {
    double rate, burst;
    uint64_t seed; /* so that nobody can choose keys that meet in one set */
    struct bucket buckets[SETS][WAYS];
};

struct limiter *limiter_new(double rate, double burst)
{
    struct limiter *l = NEW(struct limiter);

    l->rate = rate;
    l->burst = burst;
    secret_bytes(&l->seed, sizeof(l->seed));
    return l;
}

void limiter_free(struct limiter *l)
{
    free(l);
}

/* FNV-1a, stirred at the end. */
static uint64_t hash(const struct limiter *l, const char *key)
{
    uint64_t h = l->seed ^ UINT64_C(0xcbf29ce484222325);

    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * UINT64_C(0x100000001b3);
    h = (h ^ h >> 32) * UINT64_C(0x9e3779b97f4a7c15);
    h ^= h >> 29;
    return h ? h : 1;
}

static double left_at(const struct limiter *l, const struct bucket *b, double now_s)
{
    return b->key ? fmin(l->burst, b->left + (now_s - b->at_s) * l->rate) : l->burst;
}

static struct bucket *find(struct limiter *l, const char *key, double now_s)
{
    uint64_t h = hash(l, key);
    struct bucket *set = l->buckets[h % SETS], *best = &set[0];

    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].key == h)
            return &set[i];
        if (left_at(l, &set[i], now_s) > left_at(l, best, now_s))
            best = &set[i];
    }
    *best = (struct bucket){.key = h, .left = l->burst, .at_s = now_s};
    return best;
}

double limiter_left(struct limiter *l, const char *key, double now_s, double *full_s)
{
    double left = left_at(l, find(l, key, now_s), now_s);

    *full_s = (l->burst - left) / l->rate;
    return left;
}

bool limiter_has(struct limiter *l, const char *key, double now_s, double *wait_s)
{
    struct bucket *b = find(l, key, now_s);

    b->left = left_at(l, b, now_s);
    b->at_s = now_s;
    *wait_s = b->left >= 1 ? 0 : (1 - b->left) / l->rate;
    return b->left >= 1;
}

bool limiter_take(struct limiter *l, const char *key, double now_s, double *wait_s)
{
    if (!limiter_has(l, key, now_s, wait_s))
        return false;
    find(l, key, now_s)->left -= 1;
    return true;
}
