/* The job of a measurement: built as a user's would be, from options that name what is commonly varied. */
#include <string.h>

#include "proto/base/str.h"
#include "proto/base/table.h"
#include "proto/wire/validate.h"
#include "worker/bench/bench.h"
#include "worker/catalog.h"

/* Beside cross-entropy. The weights are of no matter to the time that a step takes; these are the ones of
 * the reference recipes. */
static const struct method {
    const char *name;
    const char *loss; /* as JSON; NULL: none */
} methods[] = {
    {"none", NULL},
    {"kd", "{\"kind\":\"kd\"}"},
    {"dkd", "{\"kind\":\"dkd\",\"alpha\":1,\"beta\":8}"},
    {"dist", "{\"kind\":\"dist\"}"},
    {"reviewkd", "{\"kind\":\"reviewkd\"}"},
};

static struct json *loss(const char *text)
{
    return js_parse(text, strlen(text), NULL);
}

static struct json *losses(const struct method *m, double nd)
{
    struct json *list = js_new_array();

    js_push(list, loss("{\"kind\":\"ce\"}"));
    if (m->loss)
        js_push(list, loss(m->loss));
    if (nd > 0) {
        struct json *j = loss("{\"kind\":\"nd\"}");

        js_set(j, "weight", js_new_real(nd));
        js_push(list, j);
    }
    return list;
}

static void set_text(struct json *spec, const char *path, const char *value)
{
    job_put(spec, path, js_new_string(value), NULL);
}

static void set_int(struct json *spec, const char *path, int64_t value)
{
    if (value)
        job_put(spec, path, js_new_int(value), NULL);
}

bool bench_reads_data(const struct bench_options *o)
{
    return strcmp(o->data, "random") != 0;
}

static struct json *spec_of(const struct bench_options *o, const struct method *m, int ranks)
{
    struct json *spec = js_new_object();
    bool teaches = m->loss || o->nd > 0;

    set_text(spec, "kind", teaches ? "distill" : "train");
    set_text(spec, "name", "bench");
    /* A job has data and their normalisation, also where they are never opened. */
    set_text(spec, "data.source", bench_reads_data(o) ? o->data : "procedural:train=1,test=1");
    set_text(spec, "student.model", o->student);
    if (teaches) {
        set_text(spec, "teacher.model", o->teacher);
        set_text(spec, "teacher.weights", "random");
    }
    js_set(spec, "losses", losses(m, o->nd));
    set_int(spec, "train.batch", o->batch);
    set_int(spec, "train.lanes", o->lanes);
    set_int(spec, "resources.threads", o->threads);
    set_int(spec, "resources.ranks", ranks);
    /* Networks that were not trained yet, on one batch again and again: at a rate at which nothing
     * overflows. */
    job_put(spec, "optimizer.lr", js_new_real(0.001), NULL);
    return spec;
}

static JobSpec *checked(struct json *take_spec, struct error *err)
{
    struct problems p = {0};
    struct catalog known;
    JobSpec *job = job_from_json(take_spec, &p);

    worker_catalog(&known);
    if (job)
        job_validate(job, &known, &p);
    catalog_free(&known);
    js_free(take_spec);
    if (!problems_none(&p, err)) {
        job_free(job);
        job = NULL;
    }
    problems_free(&p);
    return job;
}

JobSpec *bench_job(const struct bench_options *o, int ranks, struct error *err)
{
    const struct method *m = table_find(TABLE(methods), o->method);
    struct json *spec;

    if (!m) {
        table_unknown(TABLE(methods), "method", o->method, err);
        err_wrap(err, "--method");
        return NULL;
    }
    spec = spec_of(o, m, ranks);
    for (size_t i = 0; i < o->sets.n; i++)
        if (!job_set(spec, o->sets.at[i], err)) {
            js_free(spec);
            return NULL;
        }
    return checked(spec, err);
}
