#include "client/preview.h"

#include <inttypes.h>
#include <stdlib.h>

#include "client/out.h"
#include "client/points.h"
#include "proto/base/mem.h"
#include "proto/wire/sweep.h"

enum {
    JOBS_SHOWN = 1000
};

static int64_t shown(const struct sweep *s)
{
    return sweep_jobs(s) < JOBS_SHOWN ? sweep_jobs(s) : JOBS_SHOWN;
}

static struct json *jobs_json(const struct sweep *s)
{
    struct json *all = js_new_object(), *items = js_new_array();

    for (int64_t k = 0; k < shown(s); k++) {
        struct json *job = js_new_object();

        js_set(job, "index", js_new_int(k));
        js_set(job, "point", js_new_int(k / sweep_seeds(s)));
        js_set(job, "values", sweep_values(s, k / sweep_seeds(s)));
        js_set(job, "seed", sweep_seed(s, k));
        js_push(items, job);
    }
    js_set(all, "total", js_new_int(sweep_jobs(s)));
    js_set(all, "items", items);
    return all;
}

static void add_row(struct out_table *t, const struct json *job)
{
    char *seed = js_text(js_get(job, "seed"), JS_COMPACT);
    struct buf values = buf_new(0);

    points_values(js_get(job, "values"), &values);
    out_cell(t, "%" PRId64, js_int(js_get(job, "index"), 0));
    out_cell(t, "%" PRId64, js_int(js_get(job, "point"), 0));
    out_cell(t, "%s", buf_text(&values));
    out_cell(t, "%s", js_kind(js_get(job, "seed")) == JS_NULL ? "-" : seed);
    buf_free(&values);
    free(seed);
}

static void print_jobs(const struct ctl *c, const struct json *jobs)
{
    static const struct out_column columns[] = {{"JOB", true, false},
                                                {"POINT", true, false},
                                                {"VALUES", false, false},
                                                {"SEED", true, false}};
    const struct json *items = js_get(jobs, "items");
    const int64_t total = js_int(js_get(jobs, "total"), 0);
    struct out_table t = OUT_TABLE(columns);
    struct buf b = buf_new(0);

    for (size_t i = 0; i < js_len(items); i++)
        add_row(&t, js_at(items, i));
    out_table_write(&t, &c->out, &b);
    if (total > (int64_t)js_len(items))
        buf_fmt(&b, "and %" PRId64 " more\n", total - (int64_t)js_len(items));
    out_print(&b);
    out_table_free(&t);
    buf_free(&b);
}

static void show_spec(const struct json *spec)
{
    struct problems none = {0};
    JobSpec *job = job_from_json(spec, &none);
    struct json *normal = job_to_json(job);

    out_json(normal);
    js_free(normal);
    job_free(job);
    problems_free(&none);
}

bool preview_show(struct ctl *c, const struct json *spec, struct error *err)
{
    struct problems problems = {0};
    struct sweep *s = sweep_new(spec, &problems);
    bool ok = ctl_no_problems(c, &problems, err);
    struct json *jobs = s ? jobs_json(s) : NULL;

    if (jobs && c->json)
        out_json(jobs);
    else if (jobs)
        print_jobs(c, jobs);
    else if (ok)
        show_spec(spec);
    js_free(jobs);
    sweep_free(s);
    problems_free(&problems);
    return ok;
}
