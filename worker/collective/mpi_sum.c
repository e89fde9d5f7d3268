/* The ordered sum of an MPI job. Ranks of one host add up through the memory they share (shared.h): each of
 * g ranks sums a g-th of the elements. Between hosts that g-th goes by messages: recursive halving, then
 * doubling, among the ranks that have the same part, so that all of them use the network. In both the lowest
 * level of the tree comes first.
 *
 * For H hosts, whose network has a latency and a rate, n bytes take
 *
 *     t = t_host(n) + 2 log2(H) latency + 2 n (H - 1) / (H rate)
 *
 * where t_host is two meetings and n bytes read and written in the memory of each rank. No sum of all to all
 * can send less; a ring would send as much in 2 (H - 1) messages one after the other.
 *
 * Sums of many elements go bucket by bucket; where buckets end is the same on all ranks, and each element has
 * one tree, so no bit depends on it. The latency then counts for each bucket. */
#include <stdlib.h>

#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/collective/add.h"
#include "worker/collective/group.h"
#include "worker/collective/hosts.h"

struct card {
    char host[MPI_MAX_PROCESSOR_NAME];
    struct shared_card memory;
    int64_t most; /* ranks that may share memory, as far as this rank knows */
};

/* Ranks that share memory. */
static int neighbours(const struct mpi *m)
{
    return m->shared.size ? m->shared.size : 1;
}

/* All cards, by rank; free(). */
static struct card *exchange(struct mpi *m, const struct shared_card *memory, int64_t most)
{
    struct card *cards = NEW_ARRAY(struct card, (size_t)m->base.size);
    struct card own = {.memory = *memory, .most = most};
    MPI_Request request;
    int length;

    MPI_Get_processor_name(own.host, &length);
    MPI_Iallgather(&own, sizeof(own), MPI_BYTE, cards, sizeof(own), MPI_BYTE, MPI_COMM_WORLD,
                   &request);
    group_finish(m, 1, &request);
    return cards;
}

/* Ranks that may share memory; for tests and measurements, one host can pass for several. */
static bool read_limit(int64_t *most, struct error *err)
{
    const char *text = getenv("DISTILLD_SHARED_RANKS");

    *most = INT32_MAX;
    if (!text || str_int(text, 1, INT32_MAX, most))
        return true;
    *most = 1;
    return err_set(err, ERR_INVALID,
                   "DISTILLD_SHARED_RANKS: expected a number of ranks, got \"%s\"", text);
}

static int group_of(const struct card *cards, int ranks)
{
    const char **names = NEW_ARRAY(const char *, (size_t)ranks);
    int g;

    for (int r = 0; r < ranks; r++)
        names[r] = cards[r].host;
    g = hosts_group(names, ranks);
    for (int r = 0; r < ranks; r++)
        while (g > cards[r].most)
            g /= 2;
    free(names);
    return g;
}

static bool all_ranks(struct mpi *m, bool ok)
{
    MPI_Request request;
    int every = ok;

    MPI_Iallreduce(MPI_IN_PLACE, &every, 1, MPI_INT, MPI_LAND, MPI_COMM_WORLD, &request);
    group_finish(m, 1, &request);
    return every;
}

/* Shares memory with the ranks of this host, if all ranks can; where a host does not let them, all go on with
 * messages. */
static bool share(struct mpi *m, size_t n, int64_t most)
{
    struct shared_card memory, *block;
    struct error ignored;
    bool ok = shared_create(&m->shared, n, &memory, &ignored);
    struct card *cards = exchange(m, &memory, most);
    int g = group_of(cards, m->base.size), first = m->base.rank / g * g;

    block = NEW_ARRAY(struct shared_card, (size_t)g);
    for (int r = 0; r < g; r++)
        block[r] = cards[first + r].memory;
    ok = ok && g > 1 && shared_join(&m->shared, block, m->base.rank - first, g, &ignored);
    free(block);
    free(cards);
    ok = all_ranks(m, ok);
    if (!ok)
        shared_close(&m->shared);
    m->shared.idle = group_check_abort;
    m->shared.idle_arg = m;
    return ok;
}

static void run_region(struct request *r)
{
    struct mpi *m = r->m;
    const int64_t *most = r->data;

    m->n = r->n;
    if (m->base.size > 1 && share(m, r->n, *most))
        m->region = shared_region(&m->shared);
    else
        m->region = mem_try_aligned(64, r->n * sizeof(float));
    /* What a partner sends of a bucket: half of it at most. */
    if (neighbours(m) < m->base.size)
        m->received = mem_try_aligned(64, COLL_BUCKET * sizeof(float));
}

float *group_region_open(struct coll *c, size_t n, struct error *err)
{
    struct mpi *m = (struct mpi *)c;
    int64_t most;
    bool limited;

    ASSERT(!m->region);
    limited = read_limit(&most, err);
    group_perform(m, run_region, &most, n, 0); /* the others wait for this one */
    if (!limited)
        return NULL;
    if (m->region && (m->received || neighbours(m) == c->size))
        return m->region;
    err_set(err, ERR_FAILED, "no memory for gradients of %zu floats", n);
    return NULL;
}

void group_region_close(struct coll *c)
{
    struct mpi *m = (struct mpi *)c;

    if (!m->shared.size)
        free(m->region);
    shared_close(&m->shared);
    free(m->received);
    m->region = m->received = NULL;
}

/* Swaps parts of data with a partner: sends [send, send + n_send), receives n_receive into to. */
static void swap(struct mpi *m, int partner, const float *send, size_t n_send, float *to,
                 size_t n_receive)
{
    MPI_Request requests[2];

    MPI_Irecv(to, (int)n_receive, MPI_FLOAT, partner, 0, MPI_COMM_WORLD, &requests[0]);
    MPI_Isend(send, (int)n_send, MPI_FLOAT, partner, 0, MPI_COMM_WORLD, &requests[1]);
    group_finish(m, 2, requests);
}

/* Recursive halving from the nearest partner on, which is `nearest` ranks away: at each level a pair splits
 * what it has, each sums one half; then the halves travel back. Addition of two floats is commutative, so
 * both orders of a pair give the same bits. */
static void sum_by_messages(struct mpi *m, float *data, size_t n, int nearest)
{
    size_t lo[32], mid[32], hi[32], from = 0, to = n;
    int levels = 0;

    for (int d = nearest; d < m->base.size; d <<= 1, levels++) {
        bool upper = m->base.rank & d;
        size_t cut = from + (to - from) / 2, a = upper ? cut : from, b = upper ? to : cut;

        lo[levels] = from;
        mid[levels] = cut;
        hi[levels] = to;
        swap(m, m->base.rank ^ d, data + (upper ? from : cut), upper ? cut - from : to - cut,
             m->received, b - a);
        add_floats(data + a, data + a, m->received, b - a);
        from = a;
        to = b;
    }
    while (levels-- > 0) {
        int d = nearest << levels;
        bool upper = m->base.rank & d;
        float *mine = data + (upper ? mid[levels] : lo[levels]);
        float *theirs = data + (upper ? lo[levels] : mid[levels]);
        size_t n_low = mid[levels] - lo[levels], n_high = hi[levels] - mid[levels];

        swap(m, m->base.rank ^ d, mine, upper ? n_high : n_low, theirs, upper ? n_low : n_high);
    }
}

/* Between two meetings of the host's ranks. */
static void sum_part(struct mpi *m, size_t from, size_t to)
{
    size_t lo = from, hi = to;

    if (m->shared.size)
        shared_share(&m->shared, from, to, &lo, &hi);
    if (m->shared.size == m->base.size) {
        shared_sum_all(&m->shared, lo, hi);
        return;
    }
    if (m->shared.size)
        shared_sum_own(&m->shared, lo, hi);
    sum_by_messages(m, m->region + lo, hi - lo, neighbours(m));
    if (m->shared.size)
        shared_spread(&m->shared, lo, hi);
}

/* Returns when communication began: when the host's ranks had all come. */
static double sum_slice(struct mpi *m, size_t from, size_t to)
{
    double began;

    if (m->shared.size)
        shared_meet(&m->shared);
    began = clock_mono_s();
    sum_part(m, from, to);
    if (m->shared.size)
        shared_meet(&m->shared);
    return began;
}

/* The end of the bucket that begins at `from`, or the beginning of the one that ends there. */
static size_t bucket_end(size_t from, size_t to)
{
    return to - from > COLL_BUCKET ? from + COLL_BUCKET : to;
}

static size_t bucket_begin(size_t to)
{
    return to > COLL_BUCKET ? to - COLL_BUCKET : 0;
}

static void sum_now(struct mpi *m, size_t from, size_t to)
{
    while (from < to) {
        size_t end = neighbours(m) == m->base.size ? to : bucket_end(from, to);

        m->base.communication_s -= sum_slice(m, from, end);
        m->base.communication_s += clock_mono_s();
        from = end;
    }
}

static void run_sum(struct request *r)
{
    const size_t *range = r->data;

    sum_now(r->m, range[0], range[1]);
}

void group_tree_sum(struct coll *c, size_t from, size_t to)
{
    struct mpi *m = (struct mpi *)c;
    size_t range[2] = {from, to};

    ASSERT(m->region && to <= m->n);
    if (neighbours(m) == c->size)
        sum_now(m, from, to); /* no messages: this thread may as well */
    else
        group_perform(m, run_sum, range, 0, 0);
}

static void wait_final(struct mpi *m, size_t from)
{
    struct stream *s = &m->stream;

    pthread_mutex_lock(&s->lock);
    while (s->final > from) {
        group_check_abort(m);
        pthread_cond_wait(&s->moved, &s->lock);
    }
    pthread_mutex_unlock(&s->lock);
}

/* What lies before the computing thread began to wait, is hidden. */
static void book(struct mpi *m, double began, double ended)
{
    double waited;

    pthread_mutex_lock(&m->stream.lock);
    waited = m->stream.waited_s;
    pthread_mutex_unlock(&m->stream.lock);
    m->base.communication_s += ended - began;
    if (waited == 0 || waited > ended)
        waited = ended;
    if (waited > began)
        m->base.hidden_s += waited - began;
}

static void run_stream(struct request *r)
{
    struct mpi *m = r->m;

    for (size_t to = r->n, from; to > 0; to = from) {
        double began;

        from = bucket_begin(to);
        wait_final(m, from);
        began = sum_slice(m, from, to);
        book(m, began, clock_mono_s());
    }
}

static void move_stream(struct stream *s, size_t final, double waited_s)
{
    pthread_mutex_lock(&s->lock);
    s->final = final;
    s->waited_s = waited_s;
    pthread_cond_signal(&s->moved);
    pthread_mutex_unlock(&s->lock);
}

void group_tree_begin(struct coll *c, size_t to)
{
    struct mpi *m = (struct mpi *)c;

    ASSERT(m->region && to <= m->n);
    m->stream.request = (struct request){.run = run_stream, .m = m, .n = to};
    move_stream(&m->stream, to, 0);
    chan_send(m->requests, &m->stream.request);
}

void group_tree_final(struct coll *c, size_t from)
{
    move_stream(&((struct mpi *)c)->stream, from, 0);
}

void group_tree_end(struct coll *c)
{
    struct mpi *m = (struct mpi *)c;
    void *item;

    move_stream(&m->stream, 0, clock_mono_s());
    chan_recv(m->done, &item);
}
