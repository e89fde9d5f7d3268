/* The ordered sum: one tree over lanes and ranks, whatever the parts, the processes and the memory it goes
 * through; and gradients that are said to be final while the backward pass goes on. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/rng.h"
#include "tests/unit/unit.h"
#include "worker/collective/hosts.h"
#include "worker/collective/lane_tree.h"
#include "worker/collective/shared.h"
#include "worker/replica.h"

enum {
    N = 5003, /* no multiple of anything that a sum might go by */
    MOST = 16
};

/* The i-th term of a rank or lane; magnitudes so far apart that another order gives other bits. */
static float term(uint64_t seed, int of, size_t i)
{
    uint64_t key = rng_key(seed, (uint64_t)of);

    return (float)((rng_uniform(key, 2 * i) - .5) *
                   (double)(1 << (int)(20 * rng_uniform(key, 2 * i + 1))));
}

static float tree(uint64_t seed, int first, int n, size_t i)
{
    return n == 1 ? term(seed, first, i)
                  : tree(seed, first, n / 2, i) + tree(seed, first + n / 2, n / 2, i);
}

static size_t first_wrong(const float *sum, uint64_t seed, int terms)
{
    for (size_t i = 0; i < N; i++) {
        float expected = tree(seed, 0, terms, i);

        if (memcmp(&sum[i], &expected, sizeof(expected)) != 0)
            return i;
    }
    return N;
}

START_TEST(lanes_are_summed_in_one_tree_whatever_the_parts)
{
    static float result[N];

    for (int lanes = 1; lanes <= MOST; lanes *= 2) {
        struct lane_tree t;
        struct error err;
        uint64_t seed = rng_key(unit_seed(), (uint64_t)lanes);

        ck_assert_ok(lane_tree_init(&t, lanes, result, N, &err), err);
        for (int step = 0; step < 2; step++)
            for (int l = 0; l < lanes; l++) {
                float *slot = lane_tree_slot(&t);
                size_t cut = (size_t)(rng_uniform(seed, (uint64_t)(step * lanes + l)) * N);

                ck_assert(lane_tree_is_last(&t) == (l == lanes - 1));
                for (size_t i = 0; i < N; i++)
                    slot[i] = term(seed, l, i);
                lane_tree_add(&t, cut, N);
                lane_tree_add(&t, 0, cut);
                lane_tree_push(&t);
            }
        ck_assert_msg(first_wrong(result, seed, lanes) == N, "%d lanes: element %zu", lanes,
                      first_wrong(result, seed, lanes));
        lane_tree_free(&t);
    }
}
END_TEST

/* What the processes of a test see in common. */
struct board {
    struct shared_card cards[MOST];
    _Atomic int shown;
};

static void sum_part(struct shared *m, size_t from, size_t to, bool by_way_of_own)
{
    size_t lo, hi;

    shared_meet(m);
    shared_share(m, from, to, &lo, &hi);
    if (by_way_of_own) {
        shared_sum_own(m, lo, hi);
        shared_spread(m, lo, hi);
    } else {
        shared_sum_all(m, lo, hi);
    }
    shared_meet(m);
}

/* One rank; the exit status of its process: 0 if all sums are right. */
static int rank(struct board *b, int r, int ranks, uint64_t seed)
{
    struct shared m;
    struct error err;

    if (!shared_create(&m, N, &b->cards[r], &err))
        return 2;
    b->shown++;
    while (b->shown < ranks)
        sched_yield();
    if (!shared_join(&m, b->cards, r, ranks, &err))
        return 3;
    for (uint64_t round = 0; round < 20; round++) {
        uint64_t key = rng_key(seed, round);
        size_t cut = (size_t)(rng_uniform(key, 0) * N);

        for (size_t i = 0; i < N; i++)
            shared_region(&m)[i] = term(key, r, i);
        sum_part(&m, cut, N, round & 1);
        sum_part(&m, 0, cut, round & 1);
        if (first_wrong(shared_region(&m), key, ranks) != N)
            return 4;
    }
    shared_close(&m);
    return 0;
}

START_TEST(ranks_of_a_host_sum_in_one_tree_through_shared_memory)
{
    for (int ranks = 2; ranks <= 8; ranks *= 2) {
        uint64_t seed = rng_key(unit_seed(), (uint64_t)ranks);
        struct board *b =
            mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        ck_assert(b != MAP_FAILED);
        for (int r = 0; r < ranks; r++)
            if (fork() == 0)
                _exit(rank(b, r, ranks, seed));
        for (int r = 0; r < ranks; r++) {
            int status;

            ck_assert(wait(&status) > 0);
            ck_assert_msg(status == 0, "%d ranks: status %x", ranks, (unsigned)status);
        }
        munmap(b, sizeof(*b));
    }
}
END_TEST

START_TEST(memory_of_another_process_is_not_taken_for_a_ranks)
{
    struct shared a, b;
    struct shared_card cards[2];
    struct error err;

    ck_assert_ok(shared_create(&a, N, &cards[0], &err), err);
    ck_assert_ok(shared_create(&b, N, &cards[1], &err), err);
    cards[1].nonce ^= 1;
    ck_assert_error(shared_join(&a, cards, 0, 2, &err), err, "is not the memory of another rank");
    cards[1].fd = 1 << 20;
    ck_assert_error(shared_join(&a, cards, 0, 2, &err), err, "No such file");
    shared_close(&a);
    shared_close(&b);
}
END_TEST

START_TEST(whole_subtrees_on_one_host_add_up_through_memory)
{
    static const struct {
        const char *hosts;
        int group;
    } cases[] = {{"a", 1},    {"aa", 2},   {"ab", 1},       {"aabb", 2},     {"abab", 1},
                 {"aaaa", 4}, {"aaab", 1}, {"aaaabbbb", 4}, {"aaaabbcc", 2}, {"aaa", 1}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *names[8];
        int ranks = (int)strlen(cases[i].hosts);

        for (int r = 0; r < ranks; r++)
            names[r] = cases[i].hosts[r] == 'a' ? "a" : cases[i].hosts[r] == 'b' ? "b" : "c";
        ck_assert_msg(hosts_group(names, ranks) == cases[i].group, "%s: %d", cases[i].hosts,
                      hosts_group(names, ranks));
    }
}
END_TEST

/* Notes what it is told to be final, when it is told. */
struct notes {
    const float *grads;
    float *noted;
    size_t from, told;
};

static void note(void *arg, size_t from)
{
    struct notes *n = arg;

    ck_assert_msg(from <= n->from, "final from %zu, then from %zu", n->from, from);
    memcpy(n->noted + from, n->grads + from, (n->from - from) * sizeof(float));
    n->from = from;
    n->told++;
}

static struct replica *resnet20(void)
{
    static const int64_t sizes[1] = {4};
    struct replica_config cfg = {.nets = {.student = model_find("resnet20", NULL),
                                          .classes = 10,
                                          .image_size = 32,
                                          .losses = {{.def = &loss_ce}},
                                          .n_losses = 1},
                                 .backend = "cpu",
                                 .threads = 1,
                                 .chunk = 4,
                                 .lane_sizes = sizes,
                                 .n_lane_sizes = 1,
                                 .optim = optim_find("sgd"),
                                 .seed = unit_seed()};
    struct replica *r;
    struct error err;

    ck_assert_ok(nets_measure(&cfg.nets, &err), err);
    r = replica_open(&cfg, NULL, NULL, &err);
    ck_assert_msg(r != NULL, "%s", err.msg);
    replica_init(r);
    return r;
}

static void run_lane(struct replica *r, struct notes *n, float *grads)
{
    static float images[4 * 3 * 32 * 32];
    static const int32_t labels[4] = {0, 1, 2, 3};
    static const int64_t samples[4] = {0, 1, 2, 3};
    const double weight = 1;
    double sums[SUM_COUNT], norms[4];
    const struct lane lane = {.images = images,
                              .labels = labels,
                              .samples = samples,
                              .share = 1,
                              .count = 4,
                              .batch = 4,
                              .loss_weights = &weight,
                              .norms = norms,
                              .teacher_norms = norms,
                              .grads_final = {note, n}};

    for (size_t i = 0; i < ARRAY_LEN(images); i++)
        images[i] = (float)rng_uniform(unit_seed(), i) - .5f;
    replica_lane(r, &lane, grads, sums);
}

/* Steps that are still to run when the gradients from there on are final. */
static size_t steps_left(const struct plan *p, size_t from)
{
    size_t i = 0;

    while (p->steps.at[i].final_from > from)
        i++;
    return p->steps.n - 1 - i;
}

START_TEST(gradients_that_are_final_do_not_change)
{
    struct replica *r = resnet20();
    size_t count = r->flat.param_count;
    float *grads = mem_try_aligned(64, flat_grad_count(&r->flat) * sizeof(float));
    float *noted = mem_try_aligned(64, count * sizeof(float));
    struct notes n = {.grads = grads, .noted = noted, .from = count};

    run_lane(r, &n, grads);
    ck_assert(n.from == 0 && n.told == r->train[0]->steps.n);
    ck_assert(memcmp(grads, noted, count * sizeof(float)) == 0);
    /* Most are on their way while much is still to do. */
    ck_assert_msg(steps_left(r->train[0], count / 4) > n.told / 5, "%zu of %zu steps",
                  steps_left(r->train[0], count / 4), n.told);
    free(grads);
    free(noted);
    replica_close(r);
}
END_TEST

UNIT_MAIN(lanes_are_summed_in_one_tree_whatever_the_parts,
          ranks_of_a_host_sum_in_one_tree_through_shared_memory,
          memory_of_another_process_is_not_taken_for_a_ranks,
          whole_subtrees_on_one_host_add_up_through_memory, gradients_that_are_final_do_not_change)
