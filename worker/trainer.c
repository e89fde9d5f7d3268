#define _GNU_SOURCE
#include "worker/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/pulse.h"
#include "worker/collective/lane_tree.h"
#include "worker/data/loader.h"
#include "worker/data/sampler.h"
#include "worker/export.h"
#include "worker/fault.h"
#include "worker/footprint.h"
#include "worker/report/metrics.h"
#include "worker/result.h"
#include "worker/running_means.h"
#include "worker/state.h"

enum {
    POINTS_OF_A_RUN = 4000 /* of a curve, when the job does not say how often to log */
};

struct trainer {
    struct session *s;
    struct run_state st;
    struct loader *loader;
    struct metrics *metrics; /* rank 0 */
    struct lane_tree tree;
    struct running_means running;
    const struct schedule_def *schedule;
    struct schedule_args schedule_args;
    struct optim_hyper hyper;
    double weights[NETS_MAX_LOSSES]; /* of this step, ramp included */
    double *
        table; /* a row of sums for each lane, a stop request for each rank, |s| of each sample of the
                      batch, |t| likewise */
    double sums[SUM_COUNT]; /* of this step's batch */
    double grad_norm;
    enum uplink_stop stop;
    int64_t log_every, resumed_from, steps_executed, computed; /* samples, on this rank */
    size_t memory; /* of the process when an epoch was over, before evaluation */
    double began_s, epoch_began_s;
    bool failed_alone; /* rank 0 could not write; the others do not know */
};

/* For what rank 0 does by itself. */
static bool mine(struct trainer *t, bool ok)
{
    t->failed_alone |= !ok;
    return ok;
}

static int64_t epoch_of(const struct trainer *t, int64_t step)
{
    return step / t->s->steps_per_epoch;
}

static size_t table_rows(const struct trainer *t)
{
    return (size_t)t->s->lanes * SUM_COUNT;
}

static double *stop_requests(const struct trainer *t)
{
    return t->table + table_rows(t);
}

static double *norms(const struct trainer *t)
{
    return stop_requests(t) + t->s->size;
}

static double *teacher_norms(const struct trainer *t)
{
    return norms(t) + t->s->job->train->batch;
}

static size_t table_length(const struct trainer *t)
{
    return (size_t)(teacher_norms(t) + t->s->job->train->batch - t->table);
}

/* Nothing before the loss starts and from where it stops; the ramp begins where the loss does. */
static double weight_in(const LossSpec *l, int64_t epoch)
{
    double since = (double)(epoch - l->start_epoch);

    if (since < 0 || (l->has_stop_epoch && epoch >= l->stop_epoch))
        return 0;
    return l->weight * (l->ramp_epochs > 0 ? fmin(1, since / l->ramp_epochs) : 1);
}

static void set_weights(struct trainer *t, int64_t epoch)
{
    const JobSpec *job = t->s->job;

    t->weights[0] = 1; /* a job without losses trains on cross-entropy */
    for (size_t i = 0; i < job->n_losses; i++)
        t->weights[i] = weight_in(job->losses[i], epoch);
}

static struct lane lane_of(struct trainer *t, const struct batch *b, int l)
{
    struct session *s = t->s;
    int64_t image = 3 * s->replica->cfg.nets.image_size * s->replica->cfg.nets.image_size;
    int64_t first = sampler_cut(b->n, s->lanes, l), at = first - b->first;

    return (struct lane){.images = b->images + at * image,
                         .labels = b->labels + at,
                         .samples = b->samples + at,
                         .partners = b->partners ? b->partners + at : NULL,
                         .share = b->share,
                         .count = sampler_cut(b->n, s->lanes, l + 1) - first,
                         .first = first,
                         .batch = b->n,
                         .epoch = b->epoch,
                         .loss_weights = t->weights,
                         .norms = norms(t) + first,
                         .teacher_norms = teacher_norms(t) + first};
}

static void run_lane(struct trainer *t, const struct batch *b, int l, float *grads)
{
    const struct lane lane = lane_of(t, b, l);

    replica_lane(t->s->replica, &lane, grads, t->table + l * SUM_COUNT);
    running_means_add(&t->running, t->s, &lane);
}

/* Losses that are defined over the whole batch: what all lanes of all ranks give, then on every rank the
 * same. */
static void run_whole_batch(struct trainer *t, const struct batch *b)
{
    struct session *s = t->s;
    struct whole *w = s->replica->whole;

    memset(w->logits, 0, whole_count(w, b->n) * sizeof(*w->logits));
    for (int l = s->lane_lo; l < s->lane_hi; l++) {
        const struct lane lane = lane_of(t, b, l);

        replica_lane_logits(s->replica, &lane, lane_tree_slot(&t->tree));
        pulse_beat();
    }
    coll_merge_table(s->coll, w->logits, whole_count(w, b->n));
    whole_run(w, b->n, t->weights);
}

static bool compares_norms(const struct trainer *t)
{
    return session_has_figure(t->s, &(struct session_figure){.sum = SUM_TEACHER_NORM}, false);
}

/* Forward and backward of this rank's lanes; the sum over all lanes of all ranks. */
static const float *gradients(struct trainer *t, const struct batch *b)
{
    struct session *s = t->s;
    float *sum = NULL;

    memset(t->table, 0, table_length(t) * sizeof(*t->table));
    running_means_begin(&t->running);
    if (s->replica->whole)
        run_whole_batch(t, b);
    for (int l = s->lane_lo; l < s->lane_hi; l++) {
        run_lane(t, b, l, lane_tree_slot(&t->tree));
        sum = lane_tree_push(&t->tree);
        pulse_beat();
    }
    t->computed += b->count;
    fault_strike(s->rank, t->st.step, sum);
    coll_tree_sum(s->coll, sum, t->tree.n);
    stop_requests(t)[s->rank] = (double)session_stop_requested(s);
    coll_merge_table(s->coll, t->table, table_length(t));
    lane_tree_rows(t->table, s->lanes, SUM_COUNT, t->sums);
    for (int r = 0; r < s->size && t->stop == UPLINK_GO_ON; r++)
        t->stop = (enum uplink_stop)stop_requests(t)[r];
    return sum;
}

/* The loss as summed. */
static double total_loss(const struct trainer *t, double n)
{
    double total = 0;

    for (size_t k = 0; k < t->s->replica->cfg.nets.n_losses; k++)
        total += t->weights[k] * t->sums[SUM_LOSS + k] / n;
    return total;
}

static void log_metric(struct trainer *t, int64_t epoch, const char *name, double value)
{
    metrics_add(t->metrics, t->st.step, epoch, "train", name, value);
}

static const struct quantile {
    const char *name;
    double q;
} quantiles[] = {{"p10", 0.1}, {"p50", 0.5}, {"p90", 0.9}};

/* The values stand in the order of the batch, on every rank the same; here they are sorted. */
static void log_norms(struct trainer *t, int64_t epoch, const char *whose, double *values,
                      int64_t n)
{
    char name[48];

    norms_sort(values, n);
    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++) {
        snprintf(name, sizeof(name), "norm/%s_%s", whose, quantiles[i].name);
        log_metric(t, epoch, name, norms_quantile(values, n, quantiles[i].q));
    }
}

static void log_epoch_norms(struct trainer *t, int64_t epoch, const char *whose,
                            const struct norms *h)
{
    char name[48];

    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++) {
        snprintf(name, sizeof(name), "norm/%s_epoch_%s", whose, quantiles[i].name);
        log_metric(t, epoch, name, norms_histogram_quantile(h, quantiles[i].q));
    }
}

static void log_step(struct trainer *t, int64_t epoch, double n)
{
    const struct nets *nets = &t->s->replica->cfg.nets;
    char name[48];

    log_metric(t, epoch, "loss/total", total_loss(t, n));
    for (size_t k = 0; k < nets->n_losses; k++) {
        double mean = t->sums[SUM_LOSS + k] / n;

        snprintf(name, sizeof(name), "loss/%s", nets->losses[k].def->name);
        log_metric(t, epoch, name, t->weights[k] * mean);
        snprintf(name, sizeof(name), "loss_raw/%s", nets->losses[k].def->name);
        log_metric(t, epoch, name, mean);
    }
    log_metric(t, epoch, "lr", t->hyper.lr);
    log_metric(t, epoch, "grad_norm", t->grad_norm);
    for (size_t i = 0; i < n_session_figures; i++)
        if (session_has_figure(t->s, &session_figures[i], false))
            log_metric(t, epoch, session_figures[i].name,
                       session_figures[i].factor * t->sums[session_figures[i].sum] / n);
    log_norms(t, epoch, "student", norms(t), (int64_t)n);
    if (compares_norms(t))
        log_norms(t, epoch, "teacher", teacher_norms(t), (int64_t)n);
}

/* Computes this rank's lanes again, watching; the first lane of all ranks in which some node makes a value
 * that is not finite, and what was seen there. The number of lanes: in none. */
static int find_source(struct trainer *t, const struct batch *b, struct nonfinite *first)
{
    struct session *s = t->s;
    int64_t *seen = NEW_ARRAY(int64_t, (size_t)s->lanes);
    int lane = 0;

    *first = (struct nonfinite){0};
    replica_watch(s->replica, first);
    for (int l = s->lane_lo; l < s->lane_hi && !first->found; l++) {
        run_lane(t, b, l, lane_tree_slot(&t->tree));
        seen[l] = first->found;
    }
    replica_watch(s->replica, NULL);
    coll_sum_i64(s->coll, seen, (size_t)s->lanes);
    while (lane < s->lanes && !seen[lane])
        lane++;
    free(seen);
    if (lane < s->lanes)
        coll_bcast(s->coll, first, sizeof(*first), lane / (s->lanes / s->size));
    return lane;
}

/* The message of a step that is not taken. All ranks come here alike. */
static bool diverged(struct trainer *t, const struct batch *b, const float *grads,
                     struct error *err)
{
    struct session *s = t->s;
    bool loss = !isfinite(total_loss(t, (double)b->n));
    const char *param = replica_spoiled(s->replica, s->replica->params);
    const char *grad = replica_spoiled(s->replica, grads);
    struct nonfinite first;
    int lane = find_source(t, b, &first);

    if (param)
        err_set(err, ERR_FAILED, "the parameter %s is not finite since the step before", param);
    else if (lane < s->lanes)
        err_set(err, ERR_FAILED, "first in lane %d on rank %d, %s", lane,
                lane / (s->lanes / s->size), first.text);
    else
        err_set(err, ERR_FAILED,
                "computed again, every node gives finite values: %s%s overflowed in the sum over "
                "lanes, or memory or the network is at fault",
                grad ? "the gradient of " : "the gradient's norm", grad ? grad : "");
    return err_wrap(err,
                    "diverged: step %" PRId64 ", learning rate %g: the %s is not a finite number "
                    "(a lower optimizer.lr or a warm-up usually helps)",
                    t->st.step, t->hyper.lr, loss ? "loss" : "gradient");
}

/* One step, as the paper has it: losses and gradients over the batch, the optimiser, the running
 * statistics. */
static bool step(struct trainer *t, const struct batch *b, struct error *err)
{
    struct session *s = t->s;
    double n = (double)b->n;
    const float *grads;

    set_weights(t, b->epoch);
    t->hyper.lr = schedule_lr(t->schedule, &t->schedule_args, s->job->optimizer->lr, t->st.step);
    t->hyper.step = t->st.step + 1;
    grads = gradients(t, b);
    t->grad_norm = replica_grad_norm(s->replica, grads);
    pulse_step(++t->st.step);
    if (!isfinite(total_loss(t, n)) || !isfinite(t->grad_norm))
        return diverged(t, b, grads, err);
    replica_update(s->replica, grads, &t->hyper);
    if (!running_means_step(&t->running, s, err))
        return false;
    t->steps_executed++;
    for (int i = 0; i < SUM_COUNT; i++)
        t->st.epoch_sums[i] += t->sums[i];
    t->st.epoch_samples += b->n;
    for (int64_t i = 0; i < b->n; i++)
        norms_add(&t->st.norms, norms(t)[i]);
    for (int64_t i = 0; compares_norms(t) && i < b->n; i++)
        norms_add(&t->st.teacher_norms, teacher_norms(t)[i]);
    if (s->rank == 0 && (t->st.step % t->log_every == 0 || b->index + 1 == s->steps_per_epoch)) {
        log_step(t, b->epoch, n);
        return mine(t, metrics_flush(t->metrics, err));
    }
    return true;
}

static void log_evaluation(struct trainer *t, const char *split, const struct eval_set *set,
                           const double *sums)
{
    double n = (double)dataset_count(set->data);
    int64_t epoch = epoch_of(t, t->st.step - 1);

    for (size_t i = 0; i < n_session_figures; i++)
        if (session_has_figure(t->s, &session_figures[i], true))
            metrics_add(t->metrics, t->st.step, epoch, split, session_figures[i].name,
                        session_figures[i].factor * sums[session_figures[i].sum] / n);
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

/* Evaluates, logs, keeps the best student so far: by the validation set where there is one. */
static bool evaluate(struct trainer *t, struct error *err)
{
    struct session *s = t->s;
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
        ok = s->rank != 0 || mine(t, state_save_student(s, &t->st, "best.safetensors", err));
    }
    if (ok && s->rank == 0) {
        if (s->val)
            log_evaluation(t, "val", &s->val_set, t->st.val_sums);
        log_evaluation(t, "test", &s->test_set, t->st.eval_sums);
        ok = mine(t, metrics_flush(t->metrics, err));
        tell_evaluation(t);
    }
    return ok;
}

static bool save(struct trainer *t, struct error *err)
{
    double began = clock_mono_s();

    if (t->s->rank != 0)
        return true;
    if (!mine(t, metrics_sync(t->metrics, err)))
        return false;
    t->st.metrics_bytes = metrics_length(t->metrics);
    if (!mine(t, state_save(t->s, &t->st, err)))
        return false;
    uplink_checkpoint(t->s->uplink, clock_mono_s() - began);
    return true;
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
        [RANK_WAITING_S] = coll_seconds(s->coll),
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
    int64_t epoch = epoch_of(t, t->st.step - 1);
    bool ok = true;

    t->memory = footprint_now();
    if (t->s->rank == 0) {
        log_epoch_norms(t, epoch, "student", &t->st.norms);
        if (compares_norms(t))
            log_epoch_norms(t, epoch, "teacher", &t->st.teacher_norms);
        ok = mine(t, metrics_flush(t->metrics, err));
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
    bool due = end || t->stop != UPLINK_GO_ON ||
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
    const struct train_loader_config cfg = {.data = s->train,
                                            .augment = &s->augment,
                                            .mix = s->replica->cfg.nets.mixes ? &s->mix : NULL,
                                            .in_order = !s->job->data->shuffle,
                                            .seed = s->job->train->seed,
                                            .first_epoch = epoch_of(t, t->st.step),
                                            .first_batch = t->st.step % s->steps_per_epoch,
                                            .last_epoch = s->job->train->epochs,
                                            .batch = s->job->train->batch,
                                            .lanes = s->lanes,
                                            .lane_lo = s->lane_lo,
                                            .lane_hi = s->lane_hi};

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
    t->hyper = (struct optim_hyper){.momentum = job->optimizer->momentum,
                                    .weight_decay = job->optimizer->weight_decay,
                                    .nesterov = job->optimizer->nesterov,
                                    .beta1 = job->optimizer->beta1,
                                    .beta2 = job->optimizer->beta2,
                                    .epsilon = job->optimizer->epsilon};
    t->log_every = job->train->has_log_every_steps
                       ? job->train->log_every_steps
                       : (s->total_steps + POINTS_OF_A_RUN - 1) / POINTS_OF_A_RUN;
    t->table = NEW_ARRAY(double, table_rows(t) + (size_t)s->size + 2 * (size_t)job->train->batch);
    if (!state_load(s, o->resume, o->allow_other_isa, &t->st, &t->resumed_from, err))
        return false;
    running_means_open(&t->running, s);
    return coll_agree(s->coll,
                      lane_tree_init(&t->tree, s->lane_hi - s->lane_lo,
                                     flat_grad_count(&s->replica->flat), err) &&
                          open_metrics(t, err) && open_loader(t, err),
                      err);
}

static void close_trainer(struct trainer *t)
{
    loader_close(t->loader);
    metrics_close(t->metrics);
    lane_tree_free(&t->tree);
    running_means_close(&t->running);
    free(t->table);
}

/* All ranks see the same stop request at the same step. */
static bool stopped(const struct trainer *t, struct error *err)
{
    if (t->stop == UPLINK_CANCEL)
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
        ok = b ? step(t, b, err) && after_step(t, err) : no_batch(t, err);
        /* Nobody waits to hear that all is well, so a rank that failed alone has to end the others. */
        if (t->failed_alone && s->size > 1) {
            progress_clear(&s->progress);
            fprintf(stderr, "distill-worker train: %s\n", err->msg);
            coll_abort(s->coll, err_exit_status(err->code));
        }
        if (!ok)
            return false;
        show(t);
        if (t->stop != UPLINK_GO_ON && t->st.step < s->total_steps)
            return stopped(t, err);
    }
    return true;
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
    bool ok = state_save_student(s, &t->st, "student.safetensors", err) &&
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
    if (ok)
        ok = coll_agree(s->coll, s->rank != 0 || write_results(&t, options, err), err);
    close_trainer(&t);
    return ok;
}
