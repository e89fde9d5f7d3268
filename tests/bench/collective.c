/* How long the ordered sum over ranks takes beside MPI_Allreduce: mpirun -n 2 tests/bench/collective. No test.
 *
 * Each size is summed in turn by both, many times; a time is that of the slowest rank. Medians and the best
 * are shown: where others use the cores, a median tells how long a rank waits for its core. First through the
 * memory that ranks of a host share, then by messages alone. From the best the model of the sum is fitted, t =
 * latency + bytes / rate, and what it says for many hosts is shown. */
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/opt.h"
#include "worker/collective/coll.h"

enum {
    MAX_RUNS = 1001
};

struct bench {
    int64_t runs, most_mb;
    double latency_us, gbit;
    struct coll *coll;
    float *ours, *theirs;
};

static const struct opt rows[] = {
    OPT(struct bench, runs, OPT_INT, "runs", "of a size, at most", .value = "N", .fallback = "101",
        .lo = 3, .hi = MAX_RUNS),
    OPT(struct bench, most_mb, OPT_INT, "most", "megabytes of the largest sum", .value = "MB",
        .fallback = "100", .lo = 1, .hi = 4000),
    OPT(struct bench, latency_us, OPT_REAL, "latency", "of a message between hosts", .value = "US",
        .fallback = "30", .lo = 0, .hi = 1e6),
    OPT(struct bench, gbit, OPT_REAL, "rate", "of a host's network", .value = "GBIT",
        .fallback = "10", .lo = 0.001, .hi = 1e4),
};

/* t = latency + bytes x per_byte, the sum of squared relative errors least. */
struct model {
    double latency, per_byte;
};

struct fit {
    double s00, s01, s11, r0, r1;
};

static void fit_add(struct fit *f, double bytes, double t)
{
    double a = 1 / t, b = bytes / t;

    f->s00 += a * a;
    f->s01 += a * b;
    f->s11 += b * b;
    f->r0 += a;
    f->r1 += b;
}

/* Neither is negative; where times are noise, one of them is zero. */
static struct model fit_solve(const struct fit *f)
{
    double det = f->s00 * f->s11 - f->s01 * f->s01;
    struct model m = {(f->r0 * f->s11 - f->r1 * f->s01) / det,
                      (f->r1 * f->s00 - f->r0 * f->s01) / det};

    if (m.latency < 0)
        return (struct model){0, f->r1 / f->s11};
    if (m.per_byte < 0)
        return (struct model){f->r0 / f->s00, 0};
    return m;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

struct times {
    double best, median;
};

static struct times times(double *t, size_t n)
{
    qsort(t, n, sizeof(*t), ascending);
    return (struct times){t[0], t[n / 2]};
}

static double slowest(double t)
{
    MPI_Allreduce(MPI_IN_PLACE, &t, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return t;
}

/* As after a backward pass: the terms have just been written. */
static void fill(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = 1;
    MPI_Barrier(MPI_COMM_WORLD);
}

static double time_ours(const struct bench *b, size_t n)
{
    double began;

    fill(b->ours, n);
    began = clock_mono_s();
    coll_tree_sum(b->coll, 0, n);
    return slowest(clock_mono_s() - began);
}

static double time_theirs(const struct bench *b, size_t n)
{
    double began;

    fill(b->theirs, n);
    began = clock_mono_s();
    MPI_Allreduce(MPI_IN_PLACE, b->theirs, (int)n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    return slowest(clock_mono_s() - began);
}

static void run_size(const struct bench *b, size_t n, struct fit *fit)
{
    static double ours[MAX_RUNS], theirs[MAX_RUNS];
    size_t runs = (size_t)b->runs, many = 3 + (400u << 20) / (n * sizeof(float));
    double bytes = (double)(n * sizeof(float));
    struct times a, o;

    runs = runs < many ? runs : many;
    time_ours(b, n);
    time_theirs(b, n);
    for (size_t i = 0; i < runs; i++) {
        ours[i] = time_ours(b, n);
        theirs[i] = time_theirs(b, n);
    }
    a = times(ours, runs);
    o = times(theirs, runs);
    fit_add(fit, bytes, a.best);
    if (coll_rank(b->coll) == 0)
        printf("%9.0f%12.1f%12.1f%8.2f%12.1f%12.1f%8.2f%8.2f%6zu\n", bytes / 1024, a.median * 1e6,
               o.median * 1e6, o.median / a.median, a.best * 1e6, o.best * 1e6, o.best / a.best,
               bytes / a.best / 1e9, runs);
}

static bool run_sizes(struct bench *b, const char *how, struct model *m, struct error *err)
{
    size_t most = (size_t)b->most_mb * 1000 * 1000 / sizeof(float);
    struct fit fit = {0};

    b->ours = coll_region_open(b->coll, most, err);
    if (!coll_agree(b->coll, b->ours != NULL, err))
        return false;
    if (coll_rank(b->coll) == 0)
        printf("%d ranks, %s: microseconds of the ordered sum and of MPI_Allreduce\n"
               "%9s%12s%12s%8s%12s%12s%8s%8s%6s\n",
               coll_size(b->coll), how, "KB", "median", "MPI", "ratio", "best", "MPI", "ratio",
               "GB/s", "runs");
    for (size_t n = 1024; n < most; n *= 4)
        run_size(b, n, &fit);
    run_size(b, most, &fit);
    *m = fit_solve(&fit);
    if (coll_rank(b->coll) == 0)
        printf("t = %.1f us + bytes / %.2f GB/s\n\n", m->latency * 1e6, 1 / m->per_byte / 1e9);
    coll_region_close(b->coll);
    return true;
}

/* Each host sums in its memory; the parts of its ranks go through its network by halving and doubling. */
static void predict(const struct bench *b, const struct model *host)
{
    static const double sizes[] = {1e6, 10e6, 100e6};

    printf("Hosts with %d ranks each, a network of %g us and %g Gbit/s: milliseconds\n"
           "t = t(host) + 2 log2(H) latency + 2 bytes (H - 1) / H / rate\n%8s",
           coll_size(b->coll), b->latency_us, b->gbit, "hosts");
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        printf("%8.0f MB", sizes[i] / 1e6);
    for (int hosts = 1; hosts <= 64; hosts *= 2) {
        printf("\n%8d", hosts);
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            double t = host->latency + sizes[i] * host->per_byte +
                       2 * log2(hosts) * b->latency_us * 1e-6 +
                       2 * sizes[i] * (hosts - 1) / hosts / (b->gbit * 1e9 / 8);

            printf("%11.2f", t * 1e3);
        }
    }
    printf("\n");
}

/* The comm thread rests while this thread calls MPI. */
static bool run(struct bench *b, struct error *err)
{
    struct model shared, messages;
    bool ok;

    b->coll = coll_open(err);
    if (!b->coll)
        return false;
    if (coll_size(b->coll) < 2) {
        coll_close(b->coll);
        return err_set(err, ERR_INVALID, "wants two ranks at least: mpirun -n 2 ...");
    }
    b->theirs = mem_try_aligned(64, (size_t)b->most_mb * 1000 * 1000);
    ok = b->theirs && run_sizes(b, "memory shared inside a host", &shared, err);
    setenv("DISTILLD_SHARED_RANKS", "1", 1);
    ok = ok && run_sizes(b, "messages alone", &messages, err);
    if (ok && coll_rank(b->coll) == 0)
        predict(b, &shared);
    free(b->theirs);
    coll_close(b->coll);
    return ok;
}

int main(int argc, char **argv)
{
    struct bench b = {.runs = 0};
    const struct opt_set set = OPT_SET(rows, &b);
    struct opt_words words = {argv + 1, (size_t)argc - 1};
    struct error err;

    if (opt_defaults(&set, &err) && opt_parse(&set, 1, &words, &err) && run(&b, &err))
        return 0;
    fprintf(stderr, "collective: %s\n", err.msg);
    return 1;
}
