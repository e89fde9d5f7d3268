#define _GNU_SOURCE
#include "worker/trainer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/pulse.h"
#include "worker/curves.h"
#include "worker/data/loader.h"
#include "worker/export.h"
#include "worker/footprint.h"
#include "worker/report/watch.h"
#include "worker/result.h"
#include "worker/state.h"
#include "worker/step.h"

enum {
    POINTS_OF_A_RUN = 4000, /* of a curve, when the job does not say how often to log */
    LINES_MAX = 16 << 20    /* bytes of metrics that wait for room on the disk */
};

/* What rank 0 writes while the run goes on. */
enum output {
    OUT_METRICS,
    OUT_BEST,
    OUT_CHECKPOINT,
    OUT_COUNT
};

static const char *const output_names[OUT_COUNT] = {"metrics.jsonl", "best.safetensors",
                                                    "a checkpoint"};

struct trainer {
    struct session *s;
    struct run_state st;
    struct loader *loader;
    struct metrics *metrics; /* rank 0 */
    struct train_step step;
    const struct schedule_def *schedule;
    struct schedule_args schedule_args;
    struct optim_hyper hyper;
    int64_t log_every, resumed_from, steps_executed, computed; /* samples, on this rank */
    size_t memory; /* of the process when an epoch was over, before evaluation */
    double began_s, epoch_began_s;
    bool failed_alone;    /* rank 0 could not write; the others do not know */
    bool late[OUT_COUNT]; /* rank 0: could not be written when it was due */
    /* Rank 0: of best.safetensors, as long as that is late; else NULL */
    float *best_params, *best_buffers;
    int64_t best_step;
};

/* For what rank 0 does by itself. */
static bool mine(struct trainer *t, bool ok)
{
    t->failed_alone |= !ok;
    return ok;
}

/* Whether a run that could not write goes on, and tries again when something is due: the disk may have room by then. The
 * end has to be written, and so has what a run stops with. */
static bool may_be_late(const struct trainer *t, const struct error *err)
{
    return (err->code == ERR_IO || err->code == ERR_FULL) && t->st.step < t->s->total_steps &&
           t->step.stop == UPLINK_GO_ON && metrics_pending(t->metrics) <= LINES_MAX;
}

/* Rank 0: takes note of whether an output was written; false: the run cannot go on. */
static bool written(struct trainer *t, enum output o, bool ok, struct error *err)
{
    bool was_late = t->late[o];

    if (!ok && !may_be_late(t, err))
        return mine(t, false);
    t->late[o] = !ok;
    if (!ok && !was_late)
        progress_say(&t->s->progress,
                     "warning: %s; the run goes on without, and tries again when one is due",
                     err->msg);
    else if (ok && was_late)
        progress_say(&t->s->progress, "%s could be written again, at step %" PRId64,
                     output_names[o], t->st.step);
    if (!ok)
        err_clear(err);
    return true;
}

static bool flush(struct trainer *t, struct error *err)
{
    return written(t, OUT_METRICS, metrics_flush(t->metrics, err), err);
}

static int64_t epoch_of(const struct trainer *t, int64_t step)
{
    return step / t->s->steps_per_epoch;
}

/* What the epoch and the rest of the run keep of a step. */
static void gather(struct trainer *t, int64_t n)
{
    for (int i = 0; i < SUM_COUNT; i++)
        t->st.epoch_sums[i] += t->step.sums[i];
    t->st.epoch_samples += n;
    for (int64_t i = 0; i < n; i++)
        norms_add(&t->st.norms, t->step.norms[i]);
    for (int64_t i = 0; step_compares_norms(&t->step) && i < n; i++)
        norms_add(&t->st.teacher_norms, t->step.teacher_norms[i]);
}

/* Where the points of the step that was finished last lie. */
static struct curves curves(const struct trainer *t)
{
    return (struct curves){
        .metrics = t->metrics, .step = t->st.step, .epoch = epoch_of(t, t->st.step - 1)};
}

static bool take_step(struct trainer *t, const struct batch *b, struct error *err)
{
    struct session *s = t->s;
    struct curves c;

    t->hyper.lr = schedule_lr(t->schedule, &t->schedule_args, s->job->optimizer->lr, t->st.step);
    t->hyper.step = t->st.step + 1;
    if (!step_run(&t->step, b, &t->hyper, err))
        return false;
    t->st.step++;
    t->steps_executed++;
    t->computed += b->count;
    gather(t, b->n);
    if (s->rank != 0 || (t->st.step % t->log_every != 0 && b->index + 1 != s->steps_per_epoch))
        return true;
    c = curves(t);
    curves_step(&c, &t->step, b->n, t->hyper.lr);
    return flush(t, err);
}

static double top1_of(const struct eval_set *set, const double *sums)
{
    return 100 * sums[SUM_TOP1] / (double)dataset_count(set->data);
}

static void tell_evaluation(struct trainer *t)
{
    struct session *s = t->s;
    int64_t epoch = epoch_of(t, t->st.step - 1) + 1;
    double test = top1_of(&s->test_set, t->st.eval_sums);

    if (s->val)
        progress_say(&s->progress, "epoch %" PRId64 ": val top-1 %.2f %%, test top-1 %.2f %%",
                     epoch, top1_of(&s->val_set, t->st.val_sums), test);
    else
        progress_say(&s->progress, "epoch %" PRId64 ": test top-1 %.2f %%", epoch, test);
}

static void forget_best(struct trainer *t)
{
    free(t->best_params);
    free(t->best_buffers);
    t->best_params = t->best_buffers = NULL;
}

static void remember_best(struct trainer *t)
{
    const struct replica *r = t->s->replica;

    t->best_params = NEW_ARRAY(float, r->flat.param_count);
    t->best_buffers = NEW_ARRAY(float, r->flat.buffer_count);
    memcpy(t->best_params, r->params, r->flat.param_count * sizeof(float));
    memcpy(t->best_buffers, r->buffers, r->flat.buffer_count * sizeof(float));
    t->best_step = t->st.step;
}

/* The student as it is now is the best. */
static bool save_best(struct trainer *t, struct error *err)
{
    const struct student now = state_student(t->s, &t->st);
    bool ok = state_save_student(t->s, &now, "best.safetensors", err);

    forget_best(t);
    if (!ok)
        remember_best(t);
    return written(t, OUT_BEST, ok, err);
}

/* The best that could not be written when it was. */
static bool save_late_best(struct trainer *t, struct error *err)
{
    const struct student then = {t->best_params, t->best_buffers, t->best_step};
    bool ok = state_save_student(t->s, &then, "best.safetensors", err);

    if (ok)
        forget_best(t);
    return written(t, OUT_BEST, ok, err);
}

/* Evaluates, logs, keeps the best student so far: by the validation set where there is one. */
static bool evaluate(struct trainer *t, struct error *err)
{
    struct session *s = t->s;
    const struct curves c = curves(t);
    double test, top1;
    bool ok = true;

    if ((s->val && !session_evaluate(s, &s->val_set, t->st.val_sums, err)) ||
        !session_evaluate(s, &s->test_set, t->st.eval_sums, err))
        return false;
    t->st.eval_step = t->st.step;
    test = top1_of(&s->test_set, t->st.eval_sums);
    top1 = s->val ? top1_of(&s->val_set, t->st.val_sums) : test;
    if (t->st.best_step < 0 || top1 > t->st.best_top1) {
        t->st.best_top1 = top1;
        t->st.best_test_top1 = test;
        t->st.best_step = t->st.step;
        ok = s->rank != 0 || save_best(t, err);
    }
    if (ok && s->rank == 0) {
        if (s->val)
            curves_evaluation(&c, s, "val", &s->val_set, t->st.val_sums);
        curves_evaluation(&c, s, "test", &s->test_set, t->st.eval_sums);
        ok = flush(t, err);
        tell_evaluation(t);
    }
    return ok;
}

/* What a checkpoint speaks of is there first: the metrics up to it, and the best student so far. */
static bool save(struct trainer *t, struct error *err)
{
    double began = clock_mono_s();
    bool ok;

    if (t->s->rank != 0)
        return true;
    if (!flush(t, err) || (t->late[OUT_BEST] && !save_late_best(t, err)))
        return false;
    if (t->late[OUT_METRICS] || t->late[OUT_BEST])
        return true;
    if (!mine(t, metrics_sync(t->metrics, err)))
        return false;
    t->st.metrics_bytes = metrics_length(t->metrics);
    ok = state_save(t->s, &t->st, err);
    if (ok)
        uplink_checkpoint(t->s->uplink, clock_mono_s() - began);
    return written(t, OUT_CHECKPOINT, ok, err);
}

/* What each rank computed in this epoch and how long it took; outside the determinism contract. */
static void time_epoch(struct trainer *t)
{
    struct session *s = t->s;
    size_t n = RANK_FIGURES * (size_t)s->size;
    double *figures = NEW_ARRAY(double, n), now = clock_mono_s();
    struct footprint planned;
    struct rusage usage;

    footprint_plan(&planned, s->replica, s->job, s->size, s->train, s->val, s->test);
    getrusage(RUSAGE_SELF, &usage);
    const double here[RANK_FIGURES] = {
        [RANK_SAMPLES] = (double)t->computed,
        [RANK_RSS_MB] = (double)usage.ru_maxrss / 1024,
        [RANK_MEMORY_MB] = ((double)t->memory - (double)s->memory_at_start) / 1e6,
        [RANK_PLANNED_MB] = (double)planned.total / 1e6,
        [RANK_TEACHER_S] = t->step.times.teacher,
        [RANK_STUDENT_S] = t->step.times.student,
        [RANK_UPDATE_S] = t->step.times.update,
        [RANK_WAITING_S] = coll_seconds(s->coll),
        [RANK_COMMUNICATION_S] = coll_communication_s(s->coll),
        [RANK_HIDDEN_S] = coll_hidden_s(s->coll),
    };
    for (int i = 0; i < RANK_FIGURES; i++)
        figures[i * s->size + s->rank] = here[i];
    coll_merge_table(s->coll, figures, n);
    if (s->rank == 0)
        result_time_epoch(s, t->st.step, epoch_of(t, t->st.step - 1), now - t->epoch_began_s,
                          figures);
    t->computed = 0;
    t->epoch_began_s = clock_mono_s();
    free(figures);
}

static void show(struct trainer *t)
{
    struct session *s = t->s;
    double seconds = clock_mono_s() - t->began_s;
    int64_t epochs = s->job->train->epochs;
    struct progress_state p = {.phase = "train",
                               .done = t->st.step,
                               .total = s->total_steps,
                               .epoch = epoch_of(t, t->st.step - 1) + 1,
                               .epochs = epochs,
                               .eta_s = -1};

    if (s->rank != 0)
        return;
    if (t->steps_executed > 0 && seconds > 0) {
        double a_step = seconds / (double)t->steps_executed;

        p.eta_s = a_step * (double)(s->total_steps - t->st.step);
        p.images_per_s = (double)s->samples / (double)s->steps_per_epoch / a_step;
    }
    progress_show(&s->progress, &p);
    uplink_progress(s->uplink, &p);
}

/* What was gathered over an epoch is told, and gathered anew. */
static bool end_epoch(struct trainer *t, struct error *err)
{
    const struct curves c = curves(t);
    bool ok = true;

    t->memory = footprint_now();
    if (t->s->rank == 0) {
        curves_epoch_norms(&c, "student", &t->st.norms);
        if (step_compares_norms(&t->step))
            curves_epoch_norms(&c, "teacher", &t->st.teacher_norms);
        ok = flush(t, err);
    }
    memcpy(t->st.last_sums, t->st.epoch_sums, sizeof(t->st.last_sums));
    t->st.last_samples = t->st.epoch_samples;
    memset(t->st.epoch_sums, 0, sizeof(t->st.epoch_sums));
    t->st.epoch_samples = 0;
    t->st.norms = t->st.teacher_norms = (struct norms){{0}};
    return ok;
}

/* Evaluation, checkpoint and figures that are due after a step. */
static bool after_step(struct trainer *t, struct error *err)
{
    const JobSpec *job = t->s->job;
    int64_t done = t->st.step, per_epoch = t->s->steps_per_epoch, epochs = done / per_epoch;
    bool end = done == t->s->total_steps, epoch_end = done % per_epoch == 0;
    bool due = end || t->step.stop != UPLINK_GO_ON || t->step.checkpoint_asked ||
               (epoch_end && epochs % job->checkpoint->every_epochs == 0) ||
               (job->checkpoint->has_every_steps && done % job->checkpoint->every_steps == 0);

    if ((epoch_end || end) && !end_epoch(t, err))
        return false;
    if (end || (epoch_end && epochs % job->train->eval_every_epochs == 0))
        if (!evaluate(t, err))
            return false;
    if (epoch_end || end)
        time_epoch(t);
    return !due || save(t, err);
}

static bool open_loader(struct trainer *t, struct error *err)
{
    struct session *s = t->s;
    struct train_loader_config cfg = session_loader(s);

    cfg.first_epoch = epoch_of(t, t->st.step);
    cfg.first_batch = t->st.step % s->steps_per_epoch;
    t->loader = loader_open_train(&cfg, err);
    return t->loader != NULL;
}

static bool open_metrics(struct trainer *t, struct error *err)
{
    char *path;

    if (t->s->rank != 0)
        return true;
    path = rundir_file(&t->s->dir, "metrics.jsonl");
    t->metrics = metrics_open(path, t->st.metrics_bytes, err);
    free(path);
    return t->metrics != NULL;
}

static bool open_trainer(struct trainer *t, struct session *s, const struct trainer_options *o,
                         struct error *err)
{
    const JobSpec *job = s->job;

    *t = (struct trainer){.s = s, .resumed_from = -1};
    t->schedule = schedule_find(job->schedule->kind);
    t->schedule_args =
        (struct schedule_args){.milestones = job->schedule->milestones,
                               .n_milestones = job->schedule->n_milestones,
                               .gamma = job->schedule->gamma,
                               .least = job->schedule->min_lr / job->optimizer->lr,
                               .warmup_epochs = job->schedule->warmup_epochs,
                               .steps_per_epoch = s->steps_per_epoch,
                               .total_steps = s->steps_per_epoch * job->train->epochs};
    t->hyper = session_hyper(job);
    t->log_every = job->train->has_log_every_steps
                       ? job->train->log_every_steps
                       : (s->total_steps + POINTS_OF_A_RUN - 1) / POINTS_OF_A_RUN;
    if (!state_load(s, o->resume, o->allow_other_isa, &t->st, &t->resumed_from, err))
        return false;
    return coll_agree(
        s->coll, step_open(&t->step, s, err) && open_metrics(t, err) && open_loader(t, err), err);
}

static void close_trainer(struct trainer *t)
{
    forget_best(t);
    loader_close(t->loader);
    metrics_close(t->metrics);
    step_close(&t->step);
}

/* All ranks see the same stop request at the same step. */
static bool stopped(const struct trainer *t, struct error *err)
{
    if (t->step.stop == UPLINK_CANCEL)
        return err_set(err, ERR_CANCELLED, "cancelled after step %" PRId64, t->st.step);
    return err_set(err, ERR_STOPPED,
                   "stopped after step %" PRId64 " of %" PRId64
                   " with a checkpoint; the same command goes on from there",
                   t->st.step, t->s->total_steps);
}

/* There are as many batches as steps, so an image is at fault. */
static bool no_batch(struct trainer *t, struct error *err)
{
    bool ended = loader_ended(t->loader, err);

    ASSERT(!ended);
    return mine(t, false);
}

static bool train(struct trainer *t, struct error *err)
{
    struct session *s = t->s;

    t->began_s = t->epoch_began_s = clock_mono_s();
    while (t->st.step < s->total_steps) {
        const struct batch *b = loader_next(t->loader);
        bool ok;

        pulse_phase("train");
        ok = b ? take_step(t, b, err) && after_step(t, err) : no_batch(t, err);
        /* Nobody waits to hear that all is well, so a rank that failed alone has to end the others. */
        if (t->failed_alone && s->size > 1) {
            progress_clear(&s->progress);
            fprintf(stderr, "distill-worker train: %s\n", err->msg);
            watch_fail();
            coll_abort(s->coll, watch_exit_status(err->code));
        }
        if (!ok)
            return false;
        show(t);
        if (t->step.stop != UPLINK_GO_ON && t->st.step < s->total_steps)
            return stopped(t, err);
    }
    return true;
}

static void tell_communication(struct session *s)
{
    double all = coll_communication_s(s->coll);

    progress_say(&s->progress, "sums over ranks: %.2f s, %.0f %% of it while computing went on",
                 all, all > 0 ? 100 * coll_hidden_s(s->coll) / all : 0);
}

/* Rank 0: what a finished run leaves. */
static bool write_results(const struct trainer *t, const struct trainer_options *o,
                          struct error *err)
{
    const struct session *s = t->s;
    const Distilld__StudentSpec *student = s->job->student;
    char *weights = rundir_file(&s->dir, "student.safetensors");
    char *onnx = rundir_file(&s->dir, "student.onnx");
    const struct export_request request = {.format = export_format("onnx", err),
                                           .from = weights,
                                           .out = onnx,
                                           .graph =
                                               student->graph ? student->graph : student->weights,
                                           .features = student->features};
    const struct student last = state_student(s, &t->st);
    bool ok = state_save_student(s, &last, "student.safetensors", err) &&
              export_file(&request, err) &&
              result_write_training(s, &t->st, t->resumed_from, t->steps_executed,
                                    o->allow_other_isa, err);

    free(onnx);
    free(weights);
    return ok;
}

bool trainer_run(struct session *s, const struct trainer_options *options, struct error *err)
{
    struct trainer t;
    bool ok = open_trainer(&t, s, options, err);

    if (ok && s->rank == 0) {
        result_time_start(s, t.resumed_from);
        if (t.resumed_from >= 0)
            progress_say(&s->progress, "resumed from step %" PRId64, t.resumed_from);
    }
    ok = ok && train(&t, err);
    if (ok && s->rank == 0 && s->size > 1)
        tell_communication(s);
    if (ok)
        ok = coll_agree(s->coll, s->rank != 0 || write_results(&t, options, err), err);
    close_trainer(&t);
    return ok;
}
