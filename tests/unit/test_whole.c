/* Losses over the whole batch: rows that come lane by lane make the value and the gradient of all. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "tests/unit/unit.h"
#include "worker/whole.h"

enum {
    BATCH = 6,
    CLASSES = 4
};
static const double temperature = 2;

/* Student's and teacher's logits. */
static float logits[2][BATCH * CLASSES];

static void draw(void)
{
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < BATCH * CLASSES; i++)
            logits[k][i] = (float)(4 * rng_uniform(rng_key(unit_seed(), k), i) - 2);
}

static void soften(const float *z, double p[BATCH][CLASSES])
{
    for (int i = 0; i < BATCH; i++) {
        double sum = 0;

        for (int c = 0; c < CLASSES; c++)
            sum += p[i][c] = exp((double)z[i * CLASSES + c] / temperature);
        for (int c = 0; c < CLASSES; c++)
            p[i][c] /= sum;
    }
}

/* T^2 (1 - mean correlation of columns), as paper.md 1.8 has it. */
static double intra(void)
{
    double s[BATCH][CLASSES], t[BATCH][CLASSES], sum = 0;

    soften(logits[0], s);
    soften(logits[1], t);
    for (int c = 0; c < CLASSES; c++) {
        double mean_s = 0, mean_t = 0, ss = 0, tt = 0, st = 0;

        for (int i = 0; i < BATCH; i++) {
            mean_s += s[i][c] / BATCH;
            mean_t += t[i][c] / BATCH;
        }
        for (int i = 0; i < BATCH; i++) {
            ss += pow(s[i][c] - mean_s, 2);
            tt += pow(t[i][c] - mean_t, 2);
            st += (s[i][c] - mean_s) * (t[i][c] - mean_t);
        }
        sum += st / (sqrt(ss * tt) + 1e-8) / CLASSES;
    }
    return temperature * temperature * (1 - sum);
}

static struct nets nets(void)
{
    struct nets n = {.classes = CLASSES, .n_losses = 2};

    n.losses[0] = (struct nets_loss){.def = &loss_ce};
    n.losses[1] = (struct nets_loss){
        &loss_dist, {.temperature = temperature, .gamma = 1, .scope = SCOPE_BATCH}};
    return n;
}

/* Lanes of 1, 3 and 2 samples, not in their order. */
static void run(struct whole *w, double weight)
{
    static const int lanes[][2] = {{4, 2}, {0, 1}, {1, 3}};
    const double weights[] = {1, weight};

    memset(w->logits, 0, whole_count(w, BATCH) * sizeof(*w->logits));
    for (size_t i = 0; i < ARRAY_LEN(lanes); i++)
        whole_put(w, BATCH, lanes[i][0], lanes[i][1], logits[0] + lanes[i][0] * CLASSES,
                  logits[1] + lanes[i][0] * CLASSES);
    whole_run(w, BATCH, weights);
}

START_TEST(columns_run_over_all_lanes)
{
    const int64_t sizes[] = {BATCH};
    const struct nets n = nets();
    struct error err;
    struct backend *b = backend_open("cpu", 1, &err);
    struct whole *w = whole_open(&n, b, sizes, 1, (struct compile_observer){NULL, NULL}, &err);
    void *arena;
    double slope = 0, above, below;

    ck_assert_msg(w != NULL, "%s", err.msg);
    arena = mem_try_aligned(64, w->plans[0]->arena_bytes);
    plan_set_region(w->plans[0], REGION_ARENA, arena);
    draw();
    run(w, 1.5);
    for (size_t i = 0; i < BATCH; i++)
        ck_assert_double_eq_tol((double)w->losses[BATCH + i], intra(), 1e-5);
    /* The gradient along a direction, and what 1.5 times the value does there. */
    for (size_t i = 0; i < BATCH * CLASSES; i++) {
        double d = rng_uniform(unit_seed(), 99 + i) - .5;

        slope += d * (double)w->grads[i];
        logits[0][i] += (float)(1e-3 * d);
    }
    above = intra();
    draw();
    for (size_t i = 0; i < BATCH * CLASSES; i++)
        logits[0][i] -= (float)(1e-3 * (rng_uniform(unit_seed(), 99 + i) - .5));
    below = intra();
    ck_assert_msg(fabs(slope - 1.5 * (above - below) / 2e-3) < 1e-3, "%g, not %g", slope,
                  1.5 * (above - below) / 2e-3);
    whole_close(w);
    backend_close(b);
    free(arena);
}
END_TEST

UNIT_MAIN(columns_run_over_all_lanes)
