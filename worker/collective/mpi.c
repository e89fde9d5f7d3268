/* The group of an MPI job. A comm thread initialises MPI, makes every call and finalises it; the compute
 * thread hands it one request at a time and waits. Open MPI progresses only inside its calls, so the
 * thread keeps testing; it sleeps between tests, because where ranks are as many as cores a spinning
 * waiter takes the core that its peer needs. */
#include <mpi.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "proto/base/chan.h"
#include "proto/base/mem.h"
#include "worker/collective/backend.h"

struct request {
    void (*run)(struct request *r);
    struct mpi *m;
    void *data;
    size_t n;
    int root;
};

struct mpi {
    struct coll base;
    pthread_t thread;
    struct chan *requests, *done;
    atomic_int abort_status; /* non-zero: end everything */
    /* Of the comm thread alone: */
    MPI_Datatype i128;
    MPI_Op i128_sum;
    float *received; /* what a partner sends in the tree */
    size_t room;
};

static void nap(long microseconds)
{
    nanosleep(&(struct timespec){0, microseconds * 1000}, NULL);
}

/* Waits for requests, two at most: at first by testing again at once, then with short sleeps. */
static void finish(struct mpi *m, int n, MPI_Request *requests)
{
    MPI_Status ignored[2]; /* MPICH's MPI_STATUSES_IGNORE is an address that compilers warn of */
    int complete = 0;

    ASSERT(n <= 2);

    for (int round = 0; !complete; round++) {
        int status = atomic_load(&m->abort_status);

        if (status)
            MPI_Abort(MPI_COMM_WORLD, status);
        MPI_Testall(n, requests, &complete, ignored);
        if (!complete && round > 200)
            nap(50);
    }
}

/* Swaps parts of data with a partner: sends [send, send + n_send), receives n_receive into to. */
static void swap(struct mpi *m, int partner, const float *send, size_t n_send, float *to,
                 size_t n_receive)
{
    MPI_Request requests[2];

    MPI_Irecv(to, (int)n_receive, MPI_FLOAT, partner, 0, MPI_COMM_WORLD, &requests[0]);
    MPI_Isend(send, (int)n_send, MPI_FLOAT, partner, 0, MPI_COMM_WORLD, &requests[1]);
    finish(m, 2, requests);
}

static float *receive_room(struct mpi *m, size_t n)
{
    if (n > m->room) {
        m->received = mem_realloc(m->received, n, sizeof(float));
        m->room = n;
    }
    return m->received;
}

/* Recursive halving from the nearest partner on: the tree's lowest level is summed first. At each level a
 * pair splits what it has, each sums one half; then the halves travel back. Addition of two floats is
 * commutative, so both orders of a pair give the same bits. */
static void run_tree_sum(struct request *r)
{
    struct mpi *m = r->m;
    float *data = r->data, *received = receive_room(m, r->n);
    size_t lo[32], mid[32], hi[32], from = 0, to = r->n;
    int levels = 0;

    for (int d = 1; d < m->base.size; d <<= 1, levels++) {
        bool upper = m->base.rank & d;
        size_t cut = from + (to - from) / 2, a = upper ? cut : from, b = upper ? to : cut;

        lo[levels] = from;
        mid[levels] = cut;
        hi[levels] = to;
        swap(m, m->base.rank ^ d, data + (upper ? from : cut), upper ? cut - from : to - cut,
             received, b - a);
        for (size_t i = a; i < b; i++)
            data[i] += received[i - a];
        from = a;
        to = b;
    }
    while (levels-- > 0) {
        int d = 1 << levels;
        bool upper = m->base.rank & d;
        float *mine = data + (upper ? mid[levels] : lo[levels]);
        float *theirs = data + (upper ? lo[levels] : mid[levels]);
        size_t n_low = mid[levels] - lo[levels], n_high = hi[levels] - mid[levels];

        swap(m, m->base.rank ^ d, mine, upper ? n_high : n_low, theirs, upper ? n_low : n_high);
    }
}

static void allreduce(struct request *r, MPI_Datatype type, MPI_Op op)
{
    MPI_Request request;

    MPI_Iallreduce(MPI_IN_PLACE, r->data, (int)r->n, type, op, MPI_COMM_WORLD, &request);
    finish(r->m, 1, &request);
}

static void run_merge_table(struct request *r)
{
    allreduce(r, MPI_DOUBLE, MPI_SUM);
}

static void run_sum_i64(struct request *r)
{
    allreduce(r, MPI_INT64_T, MPI_SUM);
}

static void run_sum_i128(struct request *r)
{
    allreduce(r, r->m->i128, r->m->i128_sum);
}

static void run_bcast(struct request *r)
{
    MPI_Request request;

    MPI_Ibcast(r->data, (int)r->n, MPI_BYTE, r->root, MPI_COMM_WORLD, &request);
    finish(r->m, 1, &request);
}

static void add_i128(void *in, void *inout, int *n, MPI_Datatype *type)
{
    const __int128 *a = in;
    __int128 *b = inout;

    (void)type;
    for (int i = 0; i < *n; i++)
        b[i] += a[i];
}

static void run_start(struct request *r)
{
    struct mpi *m = r->m;
    int provided;

    MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &m->base.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &m->base.size);
    MPI_Type_contiguous(sizeof(__int128), MPI_BYTE, &m->i128);
    MPI_Type_commit(&m->i128);
    MPI_Op_create(add_i128, 1, &m->i128_sum);
}

static void run_stop(struct request *r)
{
    MPI_Op_free(&r->m->i128_sum);
    MPI_Type_free(&r->m->i128);
    MPI_Finalize();
}

static void *comm_thread(void *arg)
{
    struct mpi *m = arg;
    void *item;

    while (chan_recv(m->requests, &item)) {
        struct request *r = item;

        r->run(r);
        chan_send(m->done, r);
    }
    return NULL;
}

/* Hands one request to the comm thread and waits for it. */
static void perform(struct mpi *m, void (*run)(struct request *r), void *data, size_t n, int root)
{
    struct request r = {.run = run, .m = m, .data = data, .n = n, .root = root};
    void *item;

    chan_send(m->requests, &r);
    chan_recv(m->done, &item);
}

static void tree_sum(struct coll *c, float *data, size_t n)
{
    perform((struct mpi *)c, run_tree_sum, data, n, 0);
}

static void merge_table(struct coll *c, double *table, size_t n)
{
    perform((struct mpi *)c, run_merge_table, table, n, 0);
}

static void sum_i128(struct coll *c, __int128 *v, size_t n)
{
    perform((struct mpi *)c, run_sum_i128, v, n, 0);
}

static void sum_i64(struct coll *c, int64_t *v, size_t n)
{
    perform((struct mpi *)c, run_sum_i64, v, n, 0);
}

static void bcast(struct coll *c, void *data, size_t bytes, int root)
{
    perform((struct mpi *)c, run_bcast, data, bytes, root);
}

/* The comm thread sees the status within its waiting loop, or takes the last request. */
static void run_abort(struct request *r)
{
    MPI_Abort(MPI_COMM_WORLD, r->root);
}

static void abort_mpi(struct coll *c, int status)
{
    struct mpi *m = (struct mpi *)c;
    struct request r = {.run = run_abort, .m = m, .root = status ? status : 1};

    atomic_store(&m->abort_status, r.root);
    chan_send(m->requests, &r);
    nap(900000); /* the launcher ends us meanwhile */
}

static void free_mpi(struct mpi *m)
{
    chan_close(m->requests);
    pthread_join(m->thread, NULL);
    chan_free(m->requests);
    chan_free(m->done);
    free(m->received);
    free(m);
}

static void close_mpi(struct coll *c)
{
    perform((struct mpi *)c, run_stop, NULL, 0, 0);
    free_mpi((struct mpi *)c);
}

static const struct coll_def mpi_def = {
    .close = close_mpi,
    .tree_sum = tree_sum,
    .merge_table = merge_table,
    .sum_i128 = sum_i128,
    .sum_i64 = sum_i64,
    .bcast = bcast,
    .abort = abort_mpi,
};

struct coll *coll_mpi_open(struct error *err)
{
    struct mpi *m = NEW(struct mpi);

    m->base.def = &mpi_def;
    m->requests = chan_new(2);
    m->done = chan_new(2);
    if (pthread_create(&m->thread, NULL, comm_thread, m) != 0) {
        chan_free(m->requests);
        chan_free(m->done);
        free(m);
        err_set(err, ERR_IO, "cannot start the communication thread");
        return NULL;
    }
    perform(m, run_start, NULL, 0, 0);
    return &m->base;
}
