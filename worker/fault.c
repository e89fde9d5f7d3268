#include "worker/fault.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

static void strike_exit(float *grads)
{
    (void)grads;
    _Exit(1);
}

static void strike_abort(float *grads)
{
    (void)grads;
    abort();
}

static void strike_spin(float *grads)
{
    (void)grads;
    for (volatile int forever = 1; forever;)
        ;
}

static void strike_nan(float *grads)
{
    grads[0] = NAN;
}

static const struct {
    const char *name;
    void (*strike)(float *grads);
} kinds[] = {
    {"exit", strike_exit},
    {"abort", strike_abort},
    {"spin", strike_spin},
    {"nan", strike_nan},
};

void fault_strike(int rank, int64_t step, float *grads)
{
    const char *spec = getenv("DISTILLD_FAULT"), *attempt = getenv("DISTILLD_GENERATION");
    int on_rank;
    long long on_step;
    char kind[16];

    if (!spec || (attempt && strcmp(attempt, "1") != 0) ||
        sscanf(spec, "rank:%d,step:%lld,kind:%15s", &on_rank, &on_step, kind) != 3 ||
        on_rank != rank || on_step != step)
        return;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (strcmp(kinds[i].name, kind) == 0)
            kinds[i].strike(grads);
}
