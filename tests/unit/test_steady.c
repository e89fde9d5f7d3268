/* A step in the middle of a run allocates nothing: all memory was there before the first. What oneDNN takes for
 * the argument list of each primitive, which its interface wants, is not counted. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/rng.h"
#include "tests/unit/unit.h"
#include "worker/replica.h"

enum {
    BATCH = 6,
    LANES = 2,
    CLASSES = 4,
    SIZE = 32,
    IMAGE = 3 * SIZE * SIZE
};

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(__GLIBC__)
/* Allocations that the program itself asked for, told by where it called from. */
static int asked;
extern char __executable_start, etext;
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t count, size_t n);
void *__libc_realloc(void *p, size_t n);
void *malloc(size_t n);
void *calloc(size_t count, size_t n);
void *realloc(void *p, size_t n);

static void note(const void *caller)
{
    asked += (const char *)caller >= &__executable_start && (const char *)caller < &etext;
}

void *malloc(size_t n)
{
    note(__builtin_return_address(0));
    return __libc_malloc(n);
}

void *calloc(size_t count, size_t n)
{
    note(__builtin_return_address(0));
    return __libc_calloc(count, n);
}

void *realloc(void *p, size_t n)
{
    note(__builtin_return_address(0));
    return __libc_realloc(p, n);
}

static bool tensor(void *arg, const char *name, const struct shape *shape, float *out,
                   struct error *err)
{
    uint64_t key = rng_key_text(1, name);

    (void)arg;
    (void)err;
    for (int64_t i = 0; i < shape_count(shape); i++)
        out[i] = (float)(0.1 * rng_normal(key, (uint64_t)i) + (strstr(name, "var") ? 1 : 0));
    return true;
}

static struct replica *open_replica(void)
{
    static const int64_t lane = BATCH / LANES;
    struct replica_config cfg = {.backend = "cpu",
                                 .threads = 1,
                                 .chunk = lane,
                                 .lane_sizes = &lane,
                                 .n_lane_sizes = 1,
                                 .optim = optim_find("sgd"),
                                 .dropout = 0.1,
                                 .seed = 1};
    struct replica *r;
    struct error err;

    cfg.nets = (struct nets){.student = model_find("resnet8", NULL),
                             .teacher = model_find("resnet8", NULL),
                             .classes = CLASSES,
                             .image_size = SIZE,
                             .dropout = true,
                             .losses = {{.def = &loss_ce},
                                        {.def = &loss_kd, .params = {.temperature = 4}},
                                        {.def = &loss_nd}},
                             .n_losses = 3};
    ck_assert_ok(nets_measure(&cfg.nets, &err), err);
    r = replica_open(&cfg, tensor, NULL, &err);
    ck_assert_msg(r, "%s", err.msg);
    replica_init(r);
    return r;
}

/* No check in here: the library of checks allocates, too. */
static double step(struct replica *r, const float *images, float *grads)
{
    static const int32_t labels[BATCH] = {0, 1, 2, 3, 0, 1};
    static const int64_t samples[BATCH] = {0, 1, 2, 3, 4, 5};
    static const double weights[] = {1, 1, 1};
    double norms[BATCH], sums[SUM_COUNT];

    for (int l = 0; l < LANES; l++) {
        const int at = l * BATCH / LANES;
        const struct lane lane = {.images = images + at * IMAGE,
                                  .labels = labels + at,
                                  .samples = samples + at,
                                  .count = BATCH / LANES,
                                  .first = at,
                                  .batch = BATCH,
                                  .loss_weights = weights,
                                  .norms = norms,
                                  .teacher_norms = norms};

        replica_lane(r, &lane, grads, sums);
    }
    replica_update(r, grads, &(struct optim_hyper){.lr = .01, .momentum = .9, .step = 1});
    return replica_grad_norm(r, grads);
}

START_TEST(a_step_allocates_nothing)
{
    struct replica *r = open_replica();
    float *images = NEW_ARRAY(float, BATCH *IMAGE);
    float *grads = mem_try_aligned(64, flat_grad_count(&r->flat) * sizeof(float));
    int first, second;
    double norm;

    for (int i = 0; i < BATCH * IMAGE; i++)
        images[i] = (float)rng_normal(7, (uint64_t)i);
    step(r, images, grads);
    first = asked;
    norm = step(r, images, grads);
    second = asked - first;
    ck_assert_msg(first > 100, "allocations are not seen: %d", first);
    ck_assert_msg(second == 0, "%d allocations in the second step", second);
    ck_assert_msg(norm > 0, "the second step computed nothing");
    free(grads);
    free(images);
    replica_close(r);
}
END_TEST
#else
/* A sanitizer has its own allocator. */
START_TEST(a_step_allocates_nothing)
{
}
END_TEST
#endif

UNIT_MAIN(a_step_allocates_nothing)
