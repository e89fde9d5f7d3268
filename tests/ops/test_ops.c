/* Every case of cases.c: its gradient against finite differences in double, and the oneDNN back end
 * against the reference, forward and backward. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/rng.h"
#include "tests/ops/cases.h"
#include "tests/ops/rig.h"
#include "tests/unit/unit.h"
#include "worker/engine/ops/ops.h"

/* The case's graph with output "y"; with gradients of sum(y * up) when asked for. */
static struct graph *build(const struct op_case *c, bool with_grad)
{
    struct graph *g = graph_new();
    value_id y = c->build(g);

    ck_assert_msg(y != NO_VALUE, "%s: %s", c->name, g->err.msg);
    if (with_grad && !c->no_grad)
        graph_seed(g, y, graph_input(g, "up", DT_REAL, *graph_shape(g, y)));
    else
        g->wants.n = 0;
    graph_mark_output(g, y, "y");
    return g;
}

/* sum(y * up), with the forward plan's own inputs. */
static double objective(struct rig *forward, const struct rig *grad)
{
    int y = plan_io_find(forward->plan, "y"), up = plan_io_find(grad->plan, "up");
    double sum = 0;

    rig_run(forward);
    for (size_t i = 0; i < rig_count(forward, y); i++)
        sum += rig_get(forward, y, i) * rig_get(grad, up, i);
    return sum;
}

static void move(struct rig *r, int in, const double *x, const double *d, double step)
{
    for (size_t i = 0; i < rig_count(r, in); i++)
        rig_set(r, in, i, x[i] + step * d[i]);
}

/* The derivative along d by differences, as near to `wanted` as one of the steps gives it: a step may cross
 * a kink (of ReLU, of a maximum), and then a smaller one does not. A wrong gradient is far from all. */
static double differences(struct rig *forward, const struct rig *grad, int in, const double *x,
                          const double *d, double wanted)
{
    static const double steps[] = {1e-5, 1e-6, 1e-7};
    double best = INFINITY;

    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        double above, below, slope;

        move(forward, in, x, d, steps[i]);
        above = objective(forward, grad);
        move(forward, in, x, d, -steps[i]);
        below = objective(forward, grad);
        slope = (above - below) / (2 * steps[i]);
        if (fabs(slope - wanted) < fabs(best - wanted))
            best = slope;
    }
    move(forward, in, x, d, 0);
    return best;
}

/* The derivative along a random direction of one input, both ways. */
static void check_direction(const struct op_case *c, struct rig *forward, const struct rig *grad,
                            int in, uint64_t seed)
{
    char *name = forward->plan->io.at[in].name, full[64];
    size_t n = rig_count(forward, in);
    double *x = NEW_ARRAY(double, n), *d = NEW_ARRAY(double, n);
    double analytic = 0, scale = 0, numeric;
    int io;

    snprintf(full, sizeof(full), "grad/%s", name);
    io = plan_io_find(grad->plan, full);
    ck_assert_msg(io >= 0, "%s: no %s", c->name, full);
    for (size_t i = 0; i < n; i++) {
        x[i] = rig_get(forward, in, i);
        d[i] = 2 * rng_uniform(seed, i) - 1;
        analytic += d[i] * rig_get(grad, io, i);
        scale += fabs(d[i] * rig_get(grad, io, i));
    }
    numeric = differences(forward, grad, in, x, d, analytic);
    ck_assert_msg(fabs(numeric - analytic) <= 1e-6 * (scale + 1), "%s, %s: %.12g, not %.12g",
                  c->name, full, analytic, numeric);
    free(x);
    free(d);
}

START_TEST(gradients_are_those_of_finite_differences)
{
    for (size_t i = 0; i < n_op_cases; i++) {
        const struct op_case *c = &op_cases[i];
        struct rig forward, grad;

        if (c->no_grad)
            continue;
        rig_open(&forward, build(c, false), "ref64");
        rig_open(&grad, build(c, true), "ref64");
        rig_fill(&forward, unit_seed());
        rig_fill(&grad, unit_seed());
        rig_run(&grad);
        for (size_t io = 0; io < forward.plan->io.n; io++)
            if (!forward.plan->io.at[io].is_output && forward.plan->io.at[io].dtype == DT_REAL)
                for (uint64_t direction = 0; direction < 3; direction++)
                    check_direction(c, &forward, &grad, (int)io, rng_key(unit_seed(), direction));
        rig_close(&forward);
        rig_close(&grad);
    }
}
END_TEST

static void compare(const struct op_case *c, const struct rig *got, const struct rig *want)
{
    for (size_t io = 0; io < want->plan->io.n; io++) {
        const char *name = want->plan->io.at[io].name;
        int other = plan_io_find(got->plan, name);
        double largest = 0;

        if (!want->plan->io.at[io].is_output)
            continue;
        ck_assert_msg(other >= 0, "%s: no %s", c->name, name);
        for (size_t i = 0; i < rig_count(want, (int)io); i++)
            largest = fmax(largest, fabs(rig_get(want, (int)io, i)));
        for (size_t i = 0; i < rig_count(want, (int)io); i++) {
            double a = rig_get(got, other, i), b = rig_get(want, (int)io, i);

            ck_assert_msg(fabs(a - b) <= 2e-5 * (largest + 1e-3), "%s, %s, %s[%zu]: %.9g, not %.9g",
                          c->name, got->backend->def->name, name, i, a, b);
        }
    }
}

START_TEST(back_ends_agree)
{
    static const char *const others[] = {"ref", "cpu"};

    for (size_t i = 0; i < n_op_cases; i++) {
        struct rig want;

        rig_open(&want, build(&op_cases[i], true), "ref64");
        rig_fill(&want, unit_seed());
        rig_run(&want);
        for (size_t k = 0; k < ARRAY_LEN(others); k++) {
            struct rig got;

            rig_open(&got, build(&op_cases[i], true), others[k]);
            rig_fill(&got, unit_seed());
            rig_run(&got);
            rig_run(&got); /* a second run sees the arena as the first left it */
            compare(&op_cases[i], &got, &want);
            rig_close(&got);
        }
        rig_close(&want);
    }
}
END_TEST

START_TEST(every_operator_has_a_case)
{
    struct error err;
    struct backend *cpu = backend_open("cpu", 1, &err);
    bool seen[100] = {false};

    for (size_t i = 0; i < n_op_cases; i++) {
        struct compile_options options = {.backend = cpu};
        char *text = compile_dump(build(&op_cases[i], true), &options, "layout", &err);
        char *before = compile_dump(build(&op_cases[i], true), &options, "autodiff", &err);

        for (size_t k = 0; k < op_registry_len; k++) {
            char call[64];

            snprintf(call, sizeof(call), " = %s(", op_registry[k]->name);
            seen[k] |= strstr(text, call) || strstr(before, call);
        }
        free(text);
        free(before);
    }
    for (size_t k = 0; k < op_registry_len; k++)
        ck_assert_msg(seen[k], "no case for %s", op_registry[k]->name);
    backend_close(cpu);
}
END_TEST

UNIT_MAIN(gradients_are_those_of_finite_differences, back_ends_agree, every_operator_has_a_case)
