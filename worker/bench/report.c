/* Figures as one JSON object. Those that another program prints too have its names. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "worker/bench/bench.h"
#include "worker/norms.h"

static const double slow = 1.5; /* times the median */

/* Digits that were not measured are not shown. */
static void set_real(struct json *j, const char *key, double value, int digits)
{
    double unit = pow(10, digits);

    js_set(j, key, js_new_real(round(value * unit) / unit));
}

static void set_work(struct json *j, const struct session *s, const struct bench_options *o)
{
    const struct nets *n = &s->replica->cfg.nets;

    js_set(j, "program", js_new_string("distill-worker"));
    js_set(j, "isa", js_new_string(backend_isa()));
    js_set(j, "teacher", n->teacher ? js_new_string(n->teacher->name) : js_new_null());
    js_set(j, "student", js_new_string(n->student->name));
    js_set(j, "method", js_new_string(o->method));
    js_set(j, "nd_weight", js_new_real(o->nd));
    js_set(j, "data", js_new_string(o->data));
    js_set(j, "batch", js_new_int(s->job->train->batch));
    js_set(j, "lanes", js_new_int(s->lanes));
    js_set(j, "threads", js_new_int(s->job->resources->threads));
    js_set(j, "ranks", js_new_int(s->size));
    js_set(j, "size", js_new_int(n->image_size));
    js_set(j, "classes", js_new_int(n->classes));
    js_set(j, "steps", js_new_int(o->steps));
    js_set(j, "repeats", js_new_int(o->repeats));
}

/* How numbers are spread, whatever their order. */
struct spread {
    double min, median, p99, max;
};

static struct spread spread_of(const double *x, int64_t n)
{
    double *sorted = NEW_ARRAY(double, (size_t)n);
    struct spread s;

    memcpy(sorted, x, (size_t)n * sizeof(*x));
    norms_sort(sorted, n);
    s = (struct spread){.min = sorted[0],
                        .median = norms_quantile(sorted, n, 0.5),
                        .p99 = norms_quantile(sorted, n, 0.99),
                        .max = sorted[n - 1]};
    free(sorted);
    return s;
}

static void set_speed(struct json *j, const struct bench_options *o, const struct bench_figures *f)
{
    const struct spread rates = spread_of(f->rates, f->n_rates);
    const struct spread times = spread_of(f->times, f->n_times);
    double gflop_s = f->flops * rates.median * 1e-9;

    set_real(j, "img_s", rates.median, 2);
    set_real(j, "img_s_min", rates.min, 2);
    set_real(j, "img_s_max", rates.max, 2);
    set_real(j, "step_ms", 1e3 * times.median, 3);
    set_real(j, "step_ms_min", 1e3 * times.min, 3);
    set_real(j, "cpu_ms_per_image", 1e3 * f->cpu_s / f->images, 3);
    set_real(j, "ready_s", f->ready_s, 3);
    set_real(j, "first_step_s", f->first_step_s, 3);
    set_real(j, "first_loss", f->first_loss, 4);
    set_real(j, "gflop_per_image", f->flops * 1e-9, 4);
    set_real(j, "gflop_s", gflop_s, 1);
    if (o->peak > 0)
        set_real(j, "peak_share", gflop_s / o->peak, 3);
}

static void set_memory(struct json *j, const struct bench_figures *f)
{
    set_real(j, "peak_rss_mib", f->peak_rss / (1 << 20), 1);
    set_real(j, "memory_mib", f->memory / (1 << 20), 1);
    set_real(j, "planned_mib", f->planned / (1 << 20), 1);
}

static struct json *phases(const struct bench_figures *f)
{
    const struct {
        const char *name;
        double seconds;
    } rows[] = {{"data", f->data_s},
                {"teacher", f->phases.teacher},
                {"student", f->phases.student},
                {"collective", f->phases.collective},
                {"update", f->phases.update}};
    struct json *j = js_new_object();

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        set_real(j, rows[i].name, 1e3 * rows[i].seconds / (double)f->n_times, 3);
    return j;
}

static struct json *communication(const struct bench_figures *f)
{
    struct json *j = js_new_object();

    set_real(j, "ms", 1e3 * f->communication_s / (double)f->n_times, 3);
    set_real(j, "hidden", f->communication_s > 0 ? f->hidden_s / f->communication_s : 0, 3);
    return j;
}

/* Shares of the whole step; what no operator took is "other". */
static struct json *ops(const struct bench_figures *f)
{
    struct json *j = js_new_object(), *one;
    double rest = f->profiled_s;

    for (size_t i = 0; i < f->ops.n; i++) {
        const struct bench_op *op = &f->ops.at[i];

        one = js_new_object();
        set_real(one, "share", op->seconds / f->profiled_s, 4);
        if (op->flops > 0)
            set_real(one, "gflop_s", op->flops / op->seconds * 1e-9, 1);
        js_set(j, op->name, one);
        rest -= op->seconds;
    }
    one = js_new_object();
    set_real(one, "share", rest / f->profiled_s, 4);
    js_set(j, "other", one);
    return j;
}

static struct json *each_step(const struct bench_figures *f)
{
    const struct spread times = spread_of(f->times, f->n_times);
    struct json *j = js_new_object();
    int64_t above = 0, undisturbed = 0;

    for (int64_t i = 0; i < f->n_times; i++)
        if (f->times[i] > slow * times.median) {
            above++;
            undisturbed += f->disturbed[i] == 0;
        }
    js_set(j, "steps", js_new_int(f->n_times));
    set_real(j, "p50_ms", 1e3 * times.median, 3);
    set_real(j, "p99_ms", 1e3 * times.p99, 3);
    set_real(j, "max_ms", 1e3 * times.max, 3);
    js_set(j, "slow", js_new_int(above));
    js_set(j, "slow_undisturbed", js_new_int(undisturbed));
    return j;
}

struct json *bench_report(const struct bench_rig *r, const struct bench_options *o,
                          const struct bench_figures *f)
{
    struct json *j = js_new_object();

    set_work(j, &r->s, o);
    set_speed(j, o, f);
    set_memory(j, f);
    js_set(j, "phase_ms", phases(f));
    if (r->s.size > 1)
        js_set(j, "communication", communication(f));
    js_set(j, "ops", ops(f));
    if (o->each)
        js_set(j, "each", each_step(f));
    return j;
}
