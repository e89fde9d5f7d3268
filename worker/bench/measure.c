/* Repeats of steps between which all ranks wait for each other. */
#include <stdlib.h>

#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "worker/bench/bench.h"
#include "worker/footprint.h"

static bool warm_up(struct bench_rig *r, const struct bench_options *o, struct bench_figures *f,
                    struct error *err)
{
    f->ready_s = bench_age_s(r->s.size > 1);
    if (!bench_rig_step(r, err))
        return false;
    f->first_step_s = bench_age_s(r->s.size > 1);
    f->first_loss = step_loss(&r->step, r->last_count);
    for (int64_t i = 1; i < o->warmup; i++)
        if (!bench_rig_step(r, err))
            return false;
    return true;
}

static bool timed_step(struct bench_rig *r, struct bench_figures *f, struct error *err)
{
    int64_t before = f->disturbed ? bench_disturbances() : 0;
    double began = clock_mono_s();

    if (!bench_rig_step(r, err))
        return false;
    f->times[f->n_times] = clock_mono_s() - began;
    if (f->disturbed)
        f->disturbed[f->n_times] = bench_disturbances() != before;
    f->n_times++;
    return true;
}

static bool repeat(struct bench_rig *r, int64_t steps, struct bench_figures *f, struct error *err)
{
    int64_t images = r->images;
    double began;

    if (!coll_agree(r->s.coll, true, err))
        return false;
    began = clock_mono_s();
    for (int64_t i = 0; i < steps; i++)
        if (!timed_step(r, f, err))
            return false;
    if (!coll_agree(r->s.coll, true, err))
        return false;
    f->rates[f->n_rates++] = (double)(r->images - images) / (clock_mono_s() - began);
    return true;
}

static struct step_times since(struct step_times before, struct step_times now)
{
    return (struct step_times){.teacher = now.teacher - before.teacher,
                               .student = now.student - before.student,
                               .collective = now.collective - before.collective,
                               .update = now.update - before.update};
}

/* A job evaluates, too; a plan that never ran has its memory on paper only. */
static void evaluate(const struct bench_rig *r)
{
    const struct session *s = &r->s;
    const int64_t size = s->replica->cfg.nets.image_size;
    float *images = NEW_ARRAY(float, (size_t)(s->chunk * 3 * size * size));
    int32_t *labels = NEW_ARRAY(int32_t, (size_t)s->chunk);
    double sums[SUM_COUNT];

    replica_eval(s->replica, images, labels, s->chunk, NULL, sums);
    free(labels);
    free(images);
}

static void measure_memory(const struct bench_rig *r, struct bench_figures *f)
{
    const struct session *s = &r->s;
    struct footprint planned;

    f->peak_rss = bench_peak_rss();
    evaluate(r);
    footprint_plan(&planned, s->replica, s->job, s->size, s->train, s->val, s->test);
    f->planned = (double)(planned.total + (r->random ? bench_batch_bytes(r->random) : 0));
    f->memory = (double)footprint_now() - (double)s->memory_at_start;
    bench_rig_sum(r, &f->planned);
    bench_rig_sum(r, &f->memory);
    bench_rig_sum(r, &f->peak_rss);
}

/* A step that waits for another rank is not its own master either. */
static void merge_disturbed(const struct session *s, struct bench_figures *f)
{
    size_t n = (size_t)f->n_times, size = (size_t)s->size;
    double *all = NEW_ARRAY(double, n *size);

    for (size_t i = 0; i < n; i++)
        all[(size_t)s->rank * n + i] = f->disturbed[i];
    coll_merge_table(s->coll, all, n * size);
    for (size_t i = 0; i < n * size; i++)
        if (all[i] > 0)
            f->disturbed[i % n] = 1;
    free(all);
}

bool bench_measure(struct bench_rig *r, const struct bench_options *o, struct bench_figures *f,
                   struct error *err)
{
    size_t n = (size_t)(o->steps * o->repeats);
    struct step_times before;
    double data_before, communication, hidden;
    int64_t images;

    f->rates = NEW_ARRAY(double, (size_t)o->repeats);
    f->times = NEW_ARRAY(double, n);
    f->disturbed = o->each ? NEW_ARRAY(double, n) : NULL;
    if (!warm_up(r, o, f, err))
        return false;
    before = r->step.times;
    data_before = r->data_s;
    communication = coll_communication_s(r->s.coll);
    hidden = coll_hidden_s(r->s.coll);
    images = r->images;
    f->cpu_s = -bench_cpu_s();
    for (int64_t i = 0; i < o->repeats; i++)
        if (!repeat(r, o->steps, f, err))
            return false;
    f->phases = since(before, r->step.times);
    f->data_s = r->data_s - data_before;
    f->communication_s = coll_communication_s(r->s.coll) - communication;
    f->hidden_s = coll_hidden_s(r->s.coll) - hidden;
    f->images = (double)(r->images - images);
    f->cpu_s += bench_cpu_s();
    bench_rig_sum(r, &f->cpu_s);
    measure_memory(r, f);
    if (f->disturbed)
        merge_disturbed(&r->s, f);
    return true;
}

void bench_figures_free(struct bench_figures *f)
{
    free(f->rates);
    free(f->times);
    free(f->disturbed);
    vec_free(&f->ops);
}
