#include "worker/fault.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/file.h"
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

static void strike_sleep(float *grads)
{
    (void)grads;
    for (;;)
        pause();
}

static void strike_segv(float *grads)
{
    (void)grads;
    raise(SIGSEGV);
}

static void strike_stop(float *grads)
{
    (void)grads;
    raise(SIGSTOP);
}

static void strike_nan(float *grads)
{
    grads[0] = NAN;
}

static const struct {
    const char *name;
    void (*strike)(float *grads);
} kinds[] = {
    {"exit", strike_exit}, {"abort", strike_abort}, {"spin", strike_spin}, {"sleep", strike_sleep},
    {"segv", strike_segv}, {"stop", strike_stop},   {"nan", strike_nan},
};

struct fault {
    int rank;
    long long step;
    char kind[16];
};

static bool parse(const char *spec, struct fault *f)
{
    int end = 0;

    if (sscanf(spec, "rank:%d,step:%lld,kind:%15[a-z]%n", &f->rank, &f->step, f->kind, &end) != 3 ||
        spec[end])
        return false;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (strcmp(kinds[i].name, f->kind) == 0)
            return true;
    return false;
}

static bool parse_slow(const char *spec, int *ms)
{
    int end = 0;

    return sscanf(spec, "slow:%4d%n", ms, &end) == 1 && !spec[end] && *ms >= 0;
}

bool fault_check(struct error *err)
{
    const char *spec = getenv("DISTILLD_FAULT");
    struct fault f;
    struct buf names = buf_new(0);
    int ms;

    if (!spec || file_is_fault(spec) || parse_slow(spec, &ms) || parse(spec, &f))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        buf_fmt(&names, "%s%s", i ? "|" : "", kinds[i].name);
    err_set(err, ERR_INVALID,
            "DISTILLD_FAULT: expected rank:R,step:S,kind:%s, slow:MS or "
            "io:open|write|fsync|rename:N[+], got \"%s\"",
            buf_text(&names), spec);
    buf_free(&names);
    return false;
}

void fault_strike(int rank, int64_t step, float *grads)
{
    const char *spec = getenv("DISTILLD_FAULT"), *attempt = getenv("DISTILLD_GENERATION");
    struct fault f;
    int ms;

    if (spec && parse_slow(spec, &ms))
        nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
    if (!spec || (attempt && strcmp(attempt, "1") != 0) || !parse(spec, &f) || f.rank != rank ||
        f.step != step)
        return;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (strcmp(kinds[i].name, f.kind) == 0)
            kinds[i].strike(grads);
}
