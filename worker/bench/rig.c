/* A session without files: networks from the seed, and random images or the job's. */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/wire/validate.h"
#include "worker/bench/bench.h"
#include "worker/footprint.h"

static bool keeps(const JobSpec *job)
{
    return job->teacher && job->teacher->cache &&
           job->teacher->cache->precision != DISTILLD__CACHE_SPEC__PRECISION__NONE;
}

static bool supported(const JobSpec *job, const struct bench_options *o, int ranks,
                      struct error *err)
{
    if (job->kind != DISTILLD__JOB_KIND__DISTILL && job->kind != DISTILLD__JOB_KIND__TRAIN)
        return err_set(err, ERR_INVALID, "#/kind: expected a job that trains, got \"%s\"",
                       job_kind_name(job));
    if (job->student->weights)
        return err_set(err, ERR_INVALID,
                       "#/student/weights: expected none, since students start from the seed here, "
                       "got \"%s\"",
                       job->student->weights);
    return !keeps(job) || (!bench_reads_data(o) && ranks == 1) ||
           err_set(err, ERR_INVALID,
                   "#/teacher/cache: expected none, since outputs are kept here only of random "
                   "images on one rank");
}

/* Images of the job have their own number, classes and size; random ones make one full batch, as the
 * options say, or as the student's row does. */
static bool set_up(struct session *s, const struct bench_options *o, struct error *err)
{
    const struct model_facts *facts;
    struct replica_config cfg;
    int64_t *lane_sizes = NULL, samples = s->job->train->batch;
    int64_t classes = o->classes, size = o->size;
    bool ok;

    if (!supported(s->job, o, s->size, err) || !job_models_open(&s->models, s->job, err))
        return false;
    facts = job_model_def(s->models.student)->facts;
    if (s->train) {
        samples = dataset_count(s->train);
        classes = dataset_classes(s->train);
        size = dataset_size(s->train);
    }
    if (!classes)
        classes = facts ? facts->classes : 100;
    if (!size)
        size = facts ? facts->image_size : 32;
    ok = session_set_course(s, samples, err) &&
         session_configure(s->job, &s->models, samples, classes, size, &cfg, &lane_sizes, err) &&
         bench_replica(s, &cfg, err);
    free(lane_sizes);
    return ok;
}

/* Running means move in every step, others stay. */
static void set_directions(struct bench_rig *r)
{
    struct session *s = &r->s;
    const struct nets *n = &s->replica->cfg.nets;

    if (!(nets_uses(n) & USES_CLASS_MEANS))
        return;
    if (s->job->teacher->directions == DISTILLD__TEACHER_SPEC__DIRECTIONS__EMA)
        means_ema_init(&s->ema, (int)n->classes, (int)n->teacher_width,
                       s->job->teacher->ema_momentum);
    else
        r->centres = bench_directions(s);
}

static bool open_loader(struct bench_rig *r, struct error *err)
{
    struct train_loader_config cfg = session_loader(&r->s);

    cfg.last_epoch = INT64_MAX; /* as many steps as are measured */
    r->loader = loader_open_train(&cfg, err);
    return r->loader != NULL;
}

static bool open_batches(struct bench_rig *r, struct error *err)
{
    if (r->s.train)
        return open_loader(r, err);
    r->random = bench_batch_new(&r->s);
    return !keeps(r->s.job) || bench_keep_outputs(&r->s, bench_batch_get(r->random), err);
}

static bool open_session(struct bench_rig *r, const struct bench_options *o, struct error *err)
{
    struct session *s = &r->s;
    bool ok;

    s->job = bench_job(o, s->size, err);
    ok = s->job && (!bench_reads_data(o) || session_open_data(s, err)) && set_up(s, o, err);
    malloc_trim(0); /* as session_open does */
    if (!ok)
        return false;
    set_directions(r);
    r->hyper = session_hyper(s->job);
    r->hyper.lr = s->job->optimizer->lr;
    return open_batches(r, err);
}

bool bench_rig_open(struct bench_rig *r, const struct bench_options *o, struct error *err)
{
    struct session *s = &r->s;

    *r = (struct bench_rig){.s.dir.lock_fd = -1};
    session_catch_signals();
    s->coll = coll_open(err);
    if (!s->coll)
        return false;
    s->memory_at_start = footprint_now();
    s->rank = coll_rank(s->coll);
    s->size = coll_size(s->coll);
    return coll_agree(s->coll, open_session(r, o, err), err) &&
           coll_agree(s->coll, step_open(&r->step, s, err), err);
}

void bench_rig_close(struct bench_rig *r)
{
    step_close(&r->step);
    loader_close(r->loader);
    bench_batch_free(r->random);
    session_close(&r->s, "succeeded");
    free(r->centres);
}

/* NULL with err: an image cannot be used. */
static const struct batch *next(struct bench_rig *r, struct error *err)
{
    double began = clock_mono_s();
    const struct batch *b = r->loader ? loader_next(r->loader) : bench_batch_get(r->random);

    r->data_s += clock_mono_s() - began;
    if (!b)
        loader_ended(r->loader, err);
    return b;
}

bool bench_rig_step(struct bench_rig *r, struct error *err)
{
    const struct batch *b = next(r, err);

    /* Nobody waits to hear that all is well, so a rank that failed alone has to end the others. */
    if (!b && r->s.size > 1) {
        fprintf(stderr, "distill-worker bench: %s\n", err->msg);
        coll_abort(r->s.coll, err_exit_status(err->code));
    }
    if (!b)
        return false;
    r->hyper.step++;
    r->images += b->n;
    r->last_count = b->n;
    if (!step_run(&r->step, b, &r->hyper, err))
        return false;
    return r->step.stop == UPLINK_GO_ON ||
           err_set(err, ERR_CANCELLED, "stopped after step %" PRId64, r->hyper.step);
}

void bench_rig_sum(const struct bench_rig *r, double *x)
{
    const struct session *s = &r->s;
    double *all = NEW_ARRAY(double, (size_t)s->size);

    all[s->rank] = *x;
    coll_merge_table(s->coll, all, (size_t)s->size);
    *x = 0;
    for (int i = 0; i < s->size; i++)
        *x += all[i];
    free(all);
}
