#define _GNU_SOURCE
#include "worker/session.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/pulse.h"
#include "proto/base/str.h"
#include "proto/wire/validate.h"
#include "worker/calibrate.h"
#include "worker/data/sampler.h"
#include "worker/fault.h"
#include "worker/footprint.h"
#include "worker/report/watch.h"

const struct session_figure session_figures[] = {
    {"top1", SUM_TOP1, 100},        {"top5", SUM_TOP5, 100},
    {"norm/student", SUM_NORM, 1},  {"norm/teacher", SUM_TEACHER_NORM, 1},
    {"norm/ratio", SUM_RATIO, 1},   {"norm/below_share", SUM_BELOW, 1},
    {"cos/class_mean", SUM_COS, 1}, {"loss_raw/ce", SUM_CE, 1},
};
const size_t n_session_figures = ARRAY_LEN(session_figures);

bool session_has_figure(const struct session *s, const struct session_figure *f, bool evaluation)
{
    const struct nets *n = &s->replica->cfg.nets;
    bool comparable = n->teacher && (n->projector || n->student_width == n->teacher_width);

    switch (f->sum) {
    case SUM_TEACHER_NORM:
    case SUM_RATIO:
    case SUM_BELOW: return comparable && (evaluation || nets_uses(n) != 0);
    case SUM_COS: return comparable && s->replica->has_directions;
    case SUM_CE: return evaluation;
    default: return true;
    }
}

static atomic_int signalled;

static void on_signal(int signal_number)
{
    (void)signal_number;
    atomic_store(&signalled, 1);
}

void session_catch_signals(void)
{
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGUSR1, &a, NULL);
    signal(SIGPIPE, SIG_IGN);
}

enum uplink_stop session_stop_requested(const struct session *s)
{
    enum uplink_stop asked = uplink_stop_requested(s->uplink);

    return asked == UPLINK_GO_ON && atomic_load(&signalled) ? UPLINK_PREEMPT : asked;
}

static bool trains(const struct session *s)
{
    return s->job->kind == DISTILLD__JOB_KIND__TRAIN || s->job->kind == DISTILLD__JOB_KIND__DISTILL;
}

/* The folder, rank 0's streams, the others' log files. */
static bool open_outputs(struct session *s, const struct session_request *r, struct error *err)
{
    char *fallback = str_fmt("%s.out", s->job->name), *metrics = NULL, *logs;
    char *generation = NULL;
    const char *path = r->out ? r->out : fallback;
    bool ok = true;

    if (s->rank == 0)
        ok = rundir_open(&s->dir, path, s->job, err);
    else
        s->dir = (struct rundir){.path = str_dup(path), .lock_fd = -1};
    logs = rundir_file(&s->dir, "logs");
    if (ok && s->rank == 0 && s->size > 1)
        ok = file_make_dirs(logs, 0755, err);
    ok = coll_agree(s->coll, ok, err);
    if (ok && s->rank == 0) {
        metrics = rundir_file(&s->dir, "metrics.jsonl");
        generation = rundir_file(&s->dir, "generation");
        watch_guard(generation);
        progress_init(&s->progress, r->json);
        s->uplink = uplink_open(metrics, s->size);
    } else if (ok) {
        ok = rundir_take_errors(&s->dir, s->rank, err);
    }
    free(metrics);
    free(generation);
    free(logs);
    free(fallback);
    return coll_agree(s->coll, ok, err);
}

static int64_t smallest(const int64_t *sizes, size_t n)
{
    int64_t least = INT64_MAX;

    for (size_t i = 0; i < n; i++)
        least = sizes[i] < least ? sizes[i] : least;
    return least;
}

/* What a loss of the job cannot do with this data is told, but no mistake. */
static void tell_doubts(struct session *s)
{
    const struct replica_config *c = &s->replica->cfg;

    for (size_t i = 0; i < c->nets.n_losses; i++) {
        const struct loss_def *def = c->nets.losses[i].def;
        int64_t samples = nets_loss_spans_batch(&c->nets.losses[i])
                              ? smallest(c->batch_sizes, c->n_batch_sizes)
                              : smallest(c->lane_sizes, c->n_lane_sizes);
        const char *doubt = def->doubt ? def->doubt(c->nets.classes, samples) : NULL;

        if (doubt)
            progress_say(&s->progress, "warning: loss \"%s\": %s", def->name, doubt);
    }
}

static bool open_teacher(struct session *s, struct error *err)
{
    return !s->job->teacher ||
           weights_open(&s->teacher, "teacher.weights", s->job->teacher->weights,
                        job_model_def(s->models.teacher), dataset_size(s->train),
                        dataset_classes(s->train), err);
}

static bool load_student(struct session *s, struct error *err)
{
    struct replica *r = s->replica;
    struct weights w;
    bool ok = true;

    if (!s->job->student || !s->job->student->weights)
        return true;
    if (!weights_open(&w, "student.weights", s->job->student->weights, r->cfg.nets.student,
                      dataset_size(s->train), dataset_classes(s->train), err))
        return false;
    for (size_t i = 0; ok && i < r->flat.params.n; i++) {
        const struct flat_entry *e = &r->flat.params.at[i];

        ok = !nets_in_student(e->name) ||
             weights_tensor(&w, e->name, &e->shape, r->params + e->offset, err);
    }
    for (size_t i = 0; ok && i < r->flat.buffers.n; i++) {
        const struct flat_entry *e = &r->flat.buffers.at[i];

        ok = !nets_in_student(e->name) ||
             weights_tensor(&w, e->name, &e->shape, r->buffers + e->offset, err);
    }
    weights_close(&w);
    replica_refresh(r);
    return ok;
}

static bool make_replica(struct session *s, struct replica_config *cfg, struct error *err)
{
    cfg->teacher_ranges = s->ranges.of[TEACHER_PLAIN] ? &s->ranges : NULL;
    s->replica = replica_open(cfg, weights_tensor, &s->teacher, err);
    if (!s->replica)
        return err_wrap(err, "%" PRId64 " training images in batches of %d on %d lanes",
                        dataset_count(s->train), s->job->train->batch, s->job->train->lanes);
    if (s->job->student)
        replica_init(s->replica);
    return load_student(s, err);
}

/* On all ranks alike. */
static bool open_replica(struct session *s, struct error *err)
{
    struct replica_config cfg;
    int64_t *lane_sizes = NULL;
    bool ok =
        coll_agree(s->coll,
                   session_configure(s->job, &s->models, trains(s) ? dataset_count(s->train) : 0,
                                     dataset_classes(s->train), dataset_size(s->train), &cfg,
                                     &lane_sizes, err),
                   err);

    ok = ok && session_calibrate(s, &cfg, err) &&
         coll_agree(s->coll, make_replica(s, &cfg, err), err);
    free(lane_sizes);
    return ok;
}

static struct eval_set eval_set(const struct dataset *d)
{
    return (struct eval_set){
        .data = d, .teacher_norms = d ? NEW_ARRAY(double, (size_t)dataset_count(d)) : NULL};
}

bool session_set_course(struct session *s, int64_t samples, struct error *err)
{
    const Distilld__TrainSpec *t = s->job->train;
    const Distilld__Range *ranks = s->job->resources->ranks;
    int64_t all;

    if (trains(s) && !job_ranks_fit(s->size, t->lanes, err))
        return err_wrap(err, "#/train/lanes");
    if (ranks->min < ranks->max && !job_ranks_allowed(s->size, ranks->min, ranks->max, err))
        return err_wrap(err, "#/resources/ranks");
    s->lanes = t->lanes;
    s->lane_lo = s->lanes / s->size * s->rank;
    s->lane_hi = s->lanes / s->size * (s->rank + 1);
    s->chunk = session_chunk(s->job);
    s->samples = samples;
    s->steps_per_epoch = sampler_steps(samples, t->batch);
    all = s->steps_per_epoch * t->epochs;
    s->total_steps = t->has_max_steps && t->max_steps < all ? t->max_steps : all;
    return true;
}

static bool set_up(struct session *s, const struct session_request *r, struct error *err)
{
    *s = (struct session){.dir.lock_fd = -1};
    session_catch_signals();
    if (!watch_start(coll_launched_rank(), err))
        return false;
    s->coll = coll_open(err);
    if (!s->coll)
        return false;
    s->memory_at_start = footprint_now();
    s->rank = coll_rank(s->coll);
    s->size = coll_size(s->coll);
    if (!coll_agree(s->coll, fault_check(err), err))
        return false;
    s->job = session_shared_job(s, r, err);
    if (!coll_agree(s->coll, s->job != NULL, err))
        return false;
    pulse_phase("load");
    if (!open_outputs(s, r, err) || !coll_agree(s->coll, session_open_data(s, err), err) ||
        !session_skip_corrupt(s, s->train, r->verify_data, err) ||
        (s->val && !session_skip_corrupt(s, s->val, r->verify_data, err)) ||
        !session_skip_corrupt(s, s->test, r->verify_data, err))
        return false;
    s->val_set = eval_set(s->val);
    s->test_set = eval_set(s->test);
    if (!coll_agree(s->coll,
                    session_set_course(s, dataset_count(s->train), err) &&
                        job_models_open(&s->models, s->job, err) && open_teacher(s, err),
                    err) ||
        !open_replica(s, err))
        return false;
    if (s->rank == 0)
        tell_doubts(s);
    return session_identify(s, r->verify_data, err) &&
           (!s->job->teacher || (session_directions(s, err) && session_teacher_cache(s, err))) &&
           coll_agree(s->coll, s->rank != 0 || rundir_claim(&s->dir, s->job, err), err);
}

bool session_open(struct session *s, const struct session_request *r, struct error *err)
{
    bool ok = set_up(s, r, err);

    /* Compiling leaves holes that nothing will fill again: they go back to the system. */
    malloc_trim(0);
    return ok;
}

void session_close(struct session *s, const char *state)
{
    uplink_close(s->uplink, state);
    replica_close(s->replica);
    outputs_free(s->outputs);
    weights_close(&s->teacher);
    teacher_ranges_free(&s->ranges);
    job_models_close(&s->models);
    if (s->means.classes)
        means_free(&s->means);
    means_ema_free(&s->ema);
    free(s->classifier);
    dataset_close(s->train);
    dataset_close(s->val);
    dataset_close(s->test);
    rundir_close(&s->dir);
    free(s->val_set.teacher_norms);
    free(s->test_set.teacher_norms);
    job_free(s->job);
    coll_close(s->coll);
    watch_end();
    *s = (struct session){.dir.lock_fd = -1};
}
