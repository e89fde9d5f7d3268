/* A sweep from JSON: never a crash; without problems every job has a spec or a reason why not, and the
 * values that its point names stand in it. */
#include <string.h>

#include "proto/wire/sweep.h"
#include "tests/fuzz/fuzz.h"

static void expand(const struct sweep *s, int64_t k)
{
    struct error err = {0};
    struct json *spec = sweep_spec(s, k, &err), *seed = sweep_seed(s, k);
    struct json *values = sweep_values(s, k / sweep_seeds(s));

    PROMISE(spec || err.msg[0]);
    if (spec && js_kind(seed) == JS_INT)
        PROMISE(js_int(js_path(spec, "train.seed"), -1) == js_int(seed, -2));
    js_free(values);
    js_free(seed);
    js_free(spec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json *j = js_parse((const char *)data, size, NULL);
    struct problems p = {0};
    struct sweep *s = j ? sweep_new(j, &p) : NULL;

    if (s) {
        const int64_t n = sweep_jobs(s);

        PROMISE(n >= 1 && n <= SWEEP_MAX_JOBS && n == sweep_points(s) * sweep_seeds(s));
        PROMISE(sweep_baseline(s) >= 0 && sweep_baseline(s) < sweep_points(s));
        expand(s, 0);
        expand(s, n / 2);
        expand(s, n - 1);
    }
    sweep_free(s);
    problems_free(&p);
    js_free(j);
    return 0;
}
