#include "daemon/failure.h"

#include <math.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/rng.h"

/* Without a field the first such end is final: another attempt would only find the same. */
static const struct {
    const char *name, *field; /* of RetrySpec */
    int64_t fallback;
} classes[FAILURE_COUNT] = {
    [FAILURE_NONE] = {"", NULL, 1},
    [FAILURE_INFRA] = {"infra", "max_attempts", 3},
    [FAILURE_LOST_HOST] = {"lost_host", "max_lost_hosts", 10},
    [FAILURE_HANG] = {"hang", "max_hangs", 3},
    [FAILURE_OOM] = {"oom", "max_out_of_memory", 1},
    [FAILURE_PREEMPTED] = {"preempted", "max_preemptions", 100},
    [FAILURE_USER] = {"user", NULL, 1},
    [FAILURE_DATA] = {"data", NULL, 1},
    [FAILURE_DIVERGED] = {"diverged", NULL, 1},
};

static const double spread = 0.2;

const char *failure_name(enum failure f)
{
    return classes[f].name;
}

enum failure failure_parse(const char *name)
{
    for (enum failure f = 0; f < FAILURE_COUNT; f++)
        if (strcmp(classes[f].name, name) == 0)
            return f;
    return FAILURE_NONE;
}

struct retry_policy retry_policy_of(const char *spec)
{
    struct json *j = js_parse(spec, strlen(spec), NULL);
    const struct json *retry = js_get(j, "retry");
    struct retry_policy p = {
        .reset_s = js_real(js_get(retry, "reset_s"), 3600),
        .backoff_s = js_real(js_get(retry, "backoff_s"), 2),
        .backoff_max_s = js_real(js_get(retry, "backoff_max_s"), 300),
    };

    for (enum failure f = 0; f < FAILURE_COUNT; f++)
        p.limit[f] = classes[f].field ? js_int(js_get(retry, classes[f].field), classes[f].fallback)
                                      : classes[f].fallback;
    js_free(j);
    return p;
}

int64_t retry_delay_ms(const struct retry_policy *p, const int64_t count[FAILURE_COUNT],
                       uint64_t seed)
{
    int64_t n = 0;
    double delay;

    for (enum failure f = 0; f < FAILURE_COUNT; f++)
        n += count[f];
    if (n == 0)
        return 0;
    /* No power may become infinite: of a pause of 0 it would make one that is not a number. */
    delay = fmin(p->backoff_max_s, p->backoff_s * pow(2, fmin((double)n - 1, 1000)));
    return (int64_t)(1e3 * delay * (1 + spread * (2 * rng_uniform(seed, (uint64_t)n) - 1)));
}

int64_t retry_longest_ms(const char *spec)
{
    return (int64_t)(1e3 * (1 + spread) * retry_policy_of(spec).backoff_max_s);
}
