#include "client/spec.h"

#include "proto/wire/job.h"

struct json *spec_load(const char *path, const opt_list *sets, struct error *err)
{
    struct json *spec = job_load(path, NULL, sets->at, sets->n, err);

    if (!spec && err && err->code == ERR_NOT_FOUND)
        err->code = ERR_INVALID;
    return spec;
}

struct json *spec_submit(struct ctl *c, const char *path, const opt_list *sets, struct error *err)
{
    struct json *spec = spec_load(path, sets, err);
    struct json *job = spec ? ctl_call(c, "POST", "/api/v1/jobs", spec, err) : NULL;

    js_free(spec);
    if (job && !js_string(js_get(job, "id"), NULL)) {
        err_set(err, ERR_FAILED, "%s accepted the job but named no id", c->base);
        js_free(job);
        return NULL;
    }
    return job;
}
