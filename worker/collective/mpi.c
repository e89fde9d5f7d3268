/* The group of an MPI job. A comm thread initialises MPI, makes every call and finalises it; the compute
 * thread hands it one request at a time and waits. Open MPI progresses only inside its calls, so the
 * thread keeps testing; it sleeps between tests, because where ranks are as many as cores a spinning
 * waiter takes the core that its peer needs. */
#include "worker/collective/group.h"

#include <stdlib.h>
#include <time.h>

#include "proto/base/mem.h"

static void nap(long microseconds)
{
    nanosleep(&(struct timespec){0, microseconds * 1000}, NULL);
}

void group_check_abort(void *arg)
{
    struct mpi *m = arg;
    int status = atomic_load(&m->abort_status);

    if (status && pthread_equal(pthread_self(), m->thread))
        MPI_Abort(MPI_COMM_WORLD, status);
}

/* Waits for requests, two at most: at first by testing again at once, then with short sleeps. */
void group_finish(struct mpi *m, int n, MPI_Request *requests)
{
    MPI_Status ignored[2]; /* MPICH's MPI_STATUSES_IGNORE is an address that compilers warn of */
    int complete = 0;

    ASSERT(n <= 2);

    for (int round = 0; !complete; round++) {
        group_check_abort(m);
        MPI_Testall(n, requests, &complete, ignored);
        if (!complete && round > 200)
            nap(50);
    }
}

static void allreduce(struct request *r, MPI_Datatype type, MPI_Op op)
{
    MPI_Request request;

    MPI_Iallreduce(MPI_IN_PLACE, r->data, (int)r->n, type, op, MPI_COMM_WORLD, &request);
    group_finish(r->m, 1, &request);
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
    group_finish(r->m, 1, &request);
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

void group_perform(struct mpi *m, void (*run)(struct request *r), void *data, size_t n, int root)
{
    struct request r = {.run = run, .m = m, .data = data, .n = n, .root = root};
    void *item;

    chan_send(m->requests, &r);
    chan_recv(m->done, &item);
}

static void merge_table(struct coll *c, double *table, size_t n)
{
    group_perform((struct mpi *)c, run_merge_table, table, n, 0);
}

static void sum_i128(struct coll *c, __int128 *v, size_t n)
{
    group_perform((struct mpi *)c, run_sum_i128, v, n, 0);
}

static void sum_i64(struct coll *c, int64_t *v, size_t n)
{
    group_perform((struct mpi *)c, run_sum_i64, v, n, 0);
}

static void bcast(struct coll *c, void *data, size_t bytes, int root)
{
    group_perform((struct mpi *)c, run_bcast, data, bytes, root);
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

    pthread_mutex_lock(&m->stream.lock);
    atomic_store(&m->abort_status, r.root);
    pthread_cond_signal(&m->stream.moved);
    pthread_mutex_unlock(&m->stream.lock);
    chan_send(m->requests, &r);
    nap(900000); /* the launcher ends us meanwhile */
}

static void free_mpi(struct mpi *m)
{
    chan_close(m->requests);
    pthread_join(m->thread, NULL);
    chan_free(m->requests);
    chan_free(m->done);
    pthread_cond_destroy(&m->stream.moved);
    pthread_mutex_destroy(&m->stream.lock);
    free(m);
}

static void close_mpi(struct coll *c)
{
    group_region_close(c);
    group_perform((struct mpi *)c, run_stop, NULL, 0, 0);
    free_mpi((struct mpi *)c);
}

static const struct coll_def mpi_def = {
    .close = close_mpi,
    .region_open = group_region_open,
    .region_close = group_region_close,
    .tree_sum = group_tree_sum,
    .tree_begin = group_tree_begin,
    .tree_final = group_tree_final,
    .tree_end = group_tree_end,
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
    pthread_mutex_init(&m->stream.lock, NULL);
    pthread_cond_init(&m->stream.moved, NULL);
    if (pthread_create(&m->thread, NULL, comm_thread, m) != 0) {
        chan_free(m->requests);
        chan_free(m->done);
        free(m);
        err_set(err, ERR_IO, "cannot start the communication thread");
        return NULL;
    }
    group_perform(m, run_start, NULL, 0, 0);
    return &m->base;
}
