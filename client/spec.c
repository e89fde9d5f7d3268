#include "client/spec.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "proto/base/clock.h"
#include "proto/wire/job.h"

static const double patience_s = 30; /* of a submission whose answer was lost */

struct json *spec_load(const char *path, const opt_list *sets, struct error *err)
{
    struct json *spec = job_load(path, NULL, sets->at, sets->n, err);

    if (!spec && err && err->code == ERR_NOT_FOUND)
        err->code = ERR_INVALID;
    return spec;
}

static void new_key(char key[33])
{
    uint64_t n[2] = {0};

    if (getrandom(n, sizeof(n), 0) != (ssize_t)sizeof(n)) {
        n[0] = (uint64_t)clock_wall_ms();
        n[1] = (uint64_t)clock_mono_ns();
    }
    snprintf(key, 33, "%016" PRIx64 "%016" PRIx64, n[0], n[1]);
}

static void pause_s(double s)
{
    struct timespec t = {(time_t)s, (long)((s - (double)(time_t)s) * 1e9)};

    nanosleep(&t, NULL);
}

/* A request that was lost on its way may have been carried out or not: under the same key it is sent
 * again, until the daemon, which may be starting anew, has answered. */
static struct json *post(struct ctl *c, const struct json *spec, struct error *err)
{
    struct http *h = ctl_http(c, err);
    double until = clock_mono_s() + patience_s;
    bool lost = false;
    char key[33];

    if (!h)
        return NULL;
    new_key(key);
    http_set_key(h, key);
    for (double wait = 0.1;; wait = wait < 2 ? wait * 2 : wait) {
        struct json *job = ctl_call(c, "POST", "/api/v1/jobs", spec, err);

        lost = lost || http_lost(h);
        if (job || !lost || err->code != ERR_UNREACHABLE || clock_mono_s() > until) {
            http_set_key(h, NULL);
            return job;
        }
        pause_s(wait);
    }
}

struct json *spec_submit(struct ctl *c, const char *path, const opt_list *sets, struct error *err)
{
    struct json *spec = spec_load(path, sets, err);
    struct json *job = spec ? post(c, spec, err) : NULL;

    js_free(spec);
    if (job && !js_string(js_get(job, "id"), NULL)) {
        err_set(err, ERR_FAILED, "%s accepted the job but named no id", c->base);
        js_free(job);
        return NULL;
    }
    return job;
}
