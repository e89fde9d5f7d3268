#define _GNU_SOURCE
#include "worker/collective/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/mem.h"
#include "worker/collective/add.h"

enum {
    LINE = 64,
    HEAD = 4096,  /* bytes before the floats */
    BLOCK = 2048, /* floats that are summed at a time; they stay in the nearest cache */
    SPINS =
        2000 /* of a waiting rank before it lets others run, and as many times before it sleeps */
};

/* Each on a line of its own: one is read all the time while others are written. */
struct shared_head {
    uint64_t nonce;
    char pad[LINE - sizeof(uint64_t)];
    _Atomic uint64_t arrived; /* meetings that the rank has come to */
};

static size_t mapped_bytes(const struct shared *m)
{
    return HEAD + m->n * sizeof(float);
}

static struct shared_head *map_head(const struct shared *m, int fd, struct error *err)
{
    void *head = mmap(NULL, mapped_bytes(m), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (head != MAP_FAILED)
        return head;
    err_set(err, ERR_IO, "mapping %zu shared bytes: %s", mapped_bytes(m), strerror(errno));
    return NULL;
}

static void set_rank(struct shared *m, int rank, int size)
{
    m->rank = rank;
    m->size = size;
    m->heads = NEW_ARRAY(struct shared_head *, (size_t)size);
    m->parts = NEW_ARRAY(float *, (size_t)size);
}

static void place(struct shared *m, int rank, struct shared_head *head)
{
    m->heads[rank] = head;
    m->parts[rank] = (float *)(void *)((char *)head + HEAD);
}

static bool draw_nonce(uint64_t *nonce, struct error *err)
{
    return getrandom(nonce, sizeof(*nonce), 0) == (ssize_t)sizeof(*nonce) ||
           err_set(err, ERR_IO, "no random number: %s", strerror(errno));
}

/* Pages are reserved now: where there is no memory this fails, and nothing dies of it later. */
static int reserve(size_t bytes, struct error *err)
{
    int fd = memfd_create("distill-gradients", MFD_CLOEXEC), error;

    if (fd < 0) {
        err_set(err, ERR_IO, "memory to share between ranks: %s", strerror(errno));
        return -1;
    }
    error = posix_fallocate(fd, 0, (off_t)bytes);
    if (error == 0)
        return fd;
    close(fd);
    err_set(err, ERR_FAILED, "no memory for %zu bytes to share between ranks: %s", bytes,
            strerror(error));
    return -1;
}

bool shared_create(struct shared *m, size_t n, struct shared_card *card, struct error *err)
{
    struct shared_head *head;

    *m = (struct shared){.n = n, .fd = -1};
    *card = (struct shared_card){.pid = getpid()};
    if (!draw_nonce(&card->nonce, err))
        return false;
    m->fd = reserve(mapped_bytes(m), err);
    if (m->fd < 0)
        return false;
    head = map_head(m, m->fd, err);
    if (!head) {
        close(m->fd);
        return false;
    }
    head->nonce = card->nonce;
    card->fd = m->fd;
    set_rank(m, 0, 1);
    place(m, 0, head);
    m->scratch = mem_try_aligned(LINE, 32 * BLOCK * sizeof(float)); /* a block for each level */
    return m->scratch != NULL || err_set(err, ERR_FAILED, "no memory for sums");
}

static struct shared_head *open_peer(const struct shared *m, const struct shared_card *card,
                                     struct error *err)
{
    struct shared_head *head;
    char path[64];
    int fd;

    snprintf(path, sizeof(path), "/proc/%" PRId64 "/fd/%" PRId64, card->pid, card->fd);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        err_set(err, ERR_IO, "open %s: %s", path, strerror(errno));
        return NULL;
    }
    head = lseek(fd, 0, SEEK_END) == (off_t)mapped_bytes(m) ? map_head(m, fd, err) : NULL;
    close(fd);
    if (head && head->nonce == card->nonce)
        return head;
    if (head)
        munmap(head, mapped_bytes(m));
    err_set(err, ERR_IO, "%s is not the memory of another rank", path);
    return NULL;
}

bool shared_join(struct shared *m, const struct shared_card *cards, int rank, int size,
                 struct error *err)
{
    struct shared_head *own = m->heads[0];

    free(m->heads);
    free(m->parts);
    set_rank(m, rank, size);
    place(m, rank, own);
    for (int r = 0; r < size; r++) {
        struct shared_head *head = r == rank ? own : open_peer(m, &cards[r], err);

        if (!head)
            return false;
        place(m, r, head);
    }
    return true;
}

void shared_close(struct shared *m)
{
    for (int r = 0; m->heads && r < m->size; r++)
        if (m->heads[r])
            munmap(m->heads[r], mapped_bytes(m));
    if (m->heads && m->fd >= 0)
        close(m->fd);
    free(m->heads);
    free(m->parts);
    free(m->scratch);
    *m = (struct shared){.fd = -1};
}

float *shared_region(const struct shared *m)
{
    return m->parts[m->rank];
}

/* Ranks that run side by side meet within microseconds; where they share a core the other has to run for
 * this one to get on, and where one is late for long the core belongs to others. */
static void wait_a_little(const struct shared *m, int round)
{
    if (round < SPINS)
        return;
    if (m->idle)
        m->idle(m->idle_arg);
    if (round < SPINS + SPINS / 10)
        sched_yield();
    else
        nanosleep(&(struct timespec){0, 50000}, NULL);
}

void shared_meet(struct shared *m)
{
    uint64_t now = ++m->meetings;

    atomic_store_explicit(&m->heads[m->rank]->arrived, now, memory_order_release);
    for (int r = 0; r < m->size; r++)
        for (int round = 0; atomic_load_explicit(&m->heads[r]->arrived, memory_order_acquire) < now;
             round += round < SPINS * 2)
            wait_a_little(m, round);
}

void shared_share(const struct shared *m, size_t from, size_t to, size_t *lo, size_t *hi)
{
    const size_t line = LINE / sizeof(float), lines = (to - from + line - 1) / line;
    const size_t rank = (size_t)m->rank, size = (size_t)m->size;

    *lo = from + lines * rank / size * line;
    *hi = from + lines * (rank + 1) / size * line;
    *lo = *lo < to ? *lo : to;
    *hi = *hi < to ? *hi : to;
}

/* out := the tree over ranks [first, first + size), two at least, of a block at `at`. */
static void sum_block(const struct shared *m, int first, int size, size_t at, size_t n, float *out,
                      float *scratch)
{
    const int half = size / 2;

    ASSERT(size >= 2);
    if (size == 2) {
        add_floats(out, m->parts[first] + at, m->parts[first + 1] + at, n);
        return;
    }
    sum_block(m, first, half, at, n, out, scratch);
    sum_block(m, first + half, half, at, n, scratch, scratch + BLOCK);
    add_floats(out, out, scratch, n);
}

/* Sums into regions [first, last). */
static void sum_into(struct shared *m, size_t lo, size_t hi, int first, int last)
{
    for (size_t at = lo; at < hi; at += BLOCK) {
        size_t n = hi - at < BLOCK ? hi - at : BLOCK;

        sum_block(m, 0, m->size, at, n, m->scratch, m->scratch + BLOCK);
        for (int r = first; r < last; r++)
            memcpy(m->parts[r] + at, m->scratch, n * sizeof(float));
    }
}

void shared_sum_own(struct shared *m, size_t lo, size_t hi)
{
    sum_into(m, lo, hi, m->rank, m->rank + 1);
}

void shared_sum_all(struct shared *m, size_t lo, size_t hi)
{
    sum_into(m, lo, hi, 0, m->size);
}

void shared_spread(struct shared *m, size_t lo, size_t hi)
{
    for (int r = 0; r < m->size; r++)
        if (r != m->rank)
            memcpy(m->parts[r] + lo, m->parts[m->rank] + lo, (hi - lo) * sizeof(float));
}
