#include "worker/collective/coll.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/pulse.h"
#include "proto/base/str.h"
#include "worker/collective/backend.h"

/* Variables that mpirun of Open MPI, MPICH and srun set for the processes they start. */
static bool started_by_a_launcher(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (getenv(names[i]))
            return true;
    return false;
}

int coll_launched_rank(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"};
    int64_t rank;

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (getenv(names[i]) && str_int(getenv(names[i]), 0, INT32_MAX, &rank))
            return (int)rank;
    return 0;
}

struct coll *coll_open(struct error *err)
{
    const char *before = pulse_place(pulse_waiting);
    struct coll *c = started_by_a_launcher() ? coll_mpi_open(err) : coll_local_open();

    pulse_place(before);
    return c;
}

void coll_close(struct coll *c)
{
    pulse_place(pulse_waiting);
    if (c)
        c->def->close(c);
}

int coll_rank(const struct coll *c)
{
    return c->rank;
}

int coll_size(const struct coll *c)
{
    return c->size;
}

double coll_seconds(const struct coll *c)
{
    return c->seconds;
}

double coll_communication_s(const struct coll *c)
{
    return c->communication_s;
}

double coll_hidden_s(const struct coll *c)
{
    return c->hidden_s;
}

void coll_abort(struct coll *c, int status)
{
    c->def->abort(c, status);
    _Exit(status);
}

/* Each collective is its back end's function, timed, and a place where a rank may have to wait. */
#define TIMED(call)                                      \
    do {                                                 \
        double began = clock_mono_s();                   \
        const char *before = pulse_place(pulse_waiting); \
        c->def->call;                                    \
        pulse_place(before);                             \
        pulse_beat();                                    \
        c->seconds += clock_mono_s() - began;            \
    } while (0)

float *coll_region_open(struct coll *c, size_t n, struct error *err)
{
    const char *before = pulse_place(pulse_waiting);
    float *region = c->def->region_open(c, n, err);

    pulse_place(before);
    return region;
}

void coll_region_close(struct coll *c)
{
    c->def->region_close(c);
}

void coll_tree_sum(struct coll *c, size_t from, size_t to)
{
    if (from < to)
        TIMED(tree_sum(c, from, to));
}

void coll_tree_begin(struct coll *c, size_t to)
{
    c->def->tree_begin(c, to);
}

void coll_tree_final(struct coll *c, size_t from)
{
    c->def->tree_final(c, from);
}

void coll_tree_end(struct coll *c)
{
    TIMED(tree_end(c));
}

void coll_merge_table(struct coll *c, double *table, size_t n)
{
    TIMED(merge_table(c, table, n));
}

void coll_sum_i128(struct coll *c, __int128 *v, size_t n)
{
    TIMED(sum_i128(c, v, n));
}

void coll_sum_i64(struct coll *c, int64_t *v, size_t n)
{
    TIMED(sum_i64(c, v, n));
}

void coll_bcast(struct coll *c, void *data, size_t bytes, int root)
{
    TIMED(bcast(c, data, bytes, root));
}

bool coll_agree(struct coll *c, bool ok, struct error *err)
{
    int64_t *failed = NEW_ARRAY(int64_t, (size_t)c->size);
    int first = 0;

    failed[c->rank] = !ok;
    coll_sum_i64(c, failed, (size_t)c->size);
    while (first < c->size && !failed[first])
        first++;
    free(failed);
    if (first == c->size)
        return true;
    coll_bcast(c, err, sizeof(*err), first);
    if (first != c->rank && c->size > 1)
        err_wrap(err, "rank %d", first);
    return false;
}
