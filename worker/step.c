#include "worker/step.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/pulse.h"
#include "worker/data/sampler.h"
#include "worker/fault.h"

bool step_open(struct train_step *step, struct session *s, struct error *err)
{
    size_t rows = (size_t)s->lanes * SUM_COUNT, batch = (size_t)s->job->train->batch;
    size_t n = flat_grad_count(&s->replica->flat);

    *step = (struct train_step){.s = s, .table_length = rows + (size_t)s->size + 2 * batch + 1};
    step->table = NEW_ARRAY(double, step->table_length);
    step->stop_requests = step->table + rows;
    step->norms = step->stop_requests + s->size;
    step->teacher_norms = step->norms + batch;
    step->wish = step->teacher_norms + batch;
    running_means_open(&step->running, s);
    step->grads = coll_region_open(s->coll, n, err);
    return step->grads && lane_tree_init(&step->tree, s->lane_hi - s->lane_lo, step->grads, n, err);
}

void step_close(struct train_step *step)
{
    if (step->grads)
        coll_region_close(step->s->coll);
    lane_tree_free(&step->tree);
    running_means_close(&step->running);
    free(step->table);
}

double step_loss(const struct train_step *step, int64_t n)
{
    double total = 0;

    for (size_t k = 0; k < step->s->replica->cfg.nets.n_losses; k++)
        total += step->weights[k] * step->sums[SUM_LOSS + k] / (double)n;
    return total;
}

bool step_compares_norms(const struct train_step *step)
{
    return session_has_figure(step->s, &(struct session_figure){.sum = SUM_TEACHER_NORM}, false);
}

/* Nothing before the loss starts and from where it stops; the ramp begins where the loss does. */
static double weight_in(const LossSpec *l, int64_t epoch)
{
    double since = (double)(epoch - l->start_epoch);

    if (since < 0 || (l->has_stop_epoch && epoch >= l->stop_epoch))
        return 0;
    return l->weight * (l->ramp_epochs > 0 ? fmin(1, since / l->ramp_epochs) : 1);
}

static void set_weights(struct train_step *step, int64_t epoch)
{
    const JobSpec *job = step->s->job;

    step->weights[0] = 1; /* a job without losses trains on cross-entropy */
    for (size_t i = 0; i < job->n_losses; i++)
        step->weights[i] = weight_in(job->losses[i], epoch);
}

static struct lane lane_of(struct train_step *step, const struct batch *b, int l)
{
    struct session *s = step->s;
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
                         .view = b->view,
                         .loss_weights = step->weights,
                         .norms = step->norms + first,
                         .teacher_norms = step->teacher_norms + first};
}

static void run_lane(struct train_step *step, const struct batch *b, int l, float *grads,
                     struct grads_listener listener)
{
    struct lane lane = lane_of(step, b, l);

    lane.grads_final = listener;
    replica_lane(step->s->replica, &lane, grads, step->table + l * SUM_COUNT);
    running_means_add(&step->running, step->s, &lane);
}

/* While a lane goes backward: a bucket at a time, gradients that are final go up the tree of lanes, and those
 * of the last lane are summed over ranks meanwhile. What comes first in the region is final last. */
static void grads_final(void *arg, size_t from)
{
    struct train_step *step = arg;

    if (from == 0 || step->final_from - from < COLL_BUCKET)
        return;
    lane_tree_add(&step->tree, from, step->final_from);
    step->final_from = from;
    if (lane_tree_is_last(&step->tree))
        coll_tree_final(step->s->coll, from);
}

/* Losses that are defined over the whole batch: what all lanes of all ranks give, then on every rank the
 * same. */
static void run_whole_batch(struct train_step *step, const struct batch *b)
{
    struct session *s = step->s;
    struct whole *w = s->replica->whole;

    memset(w->logits, 0, whole_count(w, b->n) * sizeof(*w->logits));
    for (int l = s->lane_lo; l < s->lane_hi; l++) {
        const struct lane lane = lane_of(step, b, l);

        replica_lane_logits(s->replica, &lane, lane_tree_slot(&step->tree));
        pulse_beat();
    }
    coll_merge_table(s->coll, w->logits, whole_count(w, b->n));
    whole_run(w, b->n, step->weights);
}

/* Forward and backward of a lane, and what of the sum over lanes and ranks can be done with it. `steps_done`
 * steps are finished. */
static void add_lane(struct train_step *step, const struct batch *b, int l, int64_t steps_done)
{
    struct session *s = step->s;
    const size_t params = s->replica->flat.param_count;
    float *slot = lane_tree_slot(&step->tree);
    bool last = lane_tree_is_last(&step->tree);

    step->final_from = params;
    if (last)
        coll_tree_begin(s->coll, params);
    run_lane(step, b, l, slot, (struct grads_listener){grads_final, step});
    if (last)
        fault_strike(s->rank, steps_done, slot);
    lane_tree_add(&step->tree, 0, step->final_from);
    lane_tree_add(&step->tree, params, step->tree.n);
    lane_tree_push(&step->tree);
    pulse_beat();
}

static void run_lanes(struct train_step *step, const struct batch *b, int64_t steps_done)
{
    struct session *s = step->s;

    memset(step->table, 0, step->table_length * sizeof(*step->table));
    running_means_begin(&step->running);
    if (s->replica->whole)
        run_whole_batch(step, b);
    for (int l = s->lane_lo; l < s->lane_hi; l++)
        add_lane(step, b, l, steps_done);
}

/* Gradients, batch statistics and table := the sums over all ranks. */
static void sum_ranks(struct train_step *step)
{
    struct session *s = step->s;

    coll_tree_end(s->coll);
    coll_tree_sum(s->coll, s->replica->flat.param_count, step->tree.n);
    step->stop_requests[s->rank] = (double)session_stop_requested(s);
    if (s->rank == 0)
        *step->wish = uplink_take_wish(s->uplink);
    coll_merge_table(s->coll, step->table, step->table_length);
    step->checkpoint_asked = *step->wish > 0;
    lane_tree_rows(step->table, s->lanes, SUM_COUNT, step->sums);
    for (int r = 0; r < s->size && step->stop == UPLINK_GO_ON; r++)
        step->stop = (enum uplink_stop)step->stop_requests[r];
}

/* Computes this rank's lanes again, watching; the first lane of all ranks in which some node makes a value
 * that is not finite, and what was seen there. The number of lanes: in none. */
static int find_source(struct train_step *step, const struct batch *b, struct nonfinite *first)
{
    struct session *s = step->s;
    int64_t *seen = NEW_ARRAY(int64_t, (size_t)s->lanes);
    int lane = 0;

    *first = (struct nonfinite){0};
    replica_watch(s->replica, first);
    for (int l = s->lane_lo; l < s->lane_hi && !first->found; l++) {
        run_lane(step, b, l, lane_tree_slot(&step->tree), (struct grads_listener){NULL, NULL});
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
static bool diverged(struct train_step *step, const struct batch *b,
                     const struct optim_hyper *hyper, struct error *err)
{
    struct session *s = step->s;
    bool loss = !isfinite(step_loss(step, b->n));
    const char *param = replica_spoiled(s->replica, s->replica->params);
    const char *grad = replica_spoiled(s->replica, step->grads);
    struct nonfinite first;
    int lane = find_source(step, b, &first);

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
                    hyper->step, hyper->lr, loss ? "loss" : "gradient");
}

/* The clocks that phases are read off. */
struct clocks {
    double now, teacher, collective;
};

static struct clocks clocks_read(const struct train_step *step)
{
    return (struct clocks){.now = clock_mono_s(),
                           .teacher = step->s->replica->teacher_seconds,
                           .collective = coll_seconds(step->s->coll)};
}

/* Books the time since `from`: the teacher's, that of collectives, and the rest under *rest. */
static struct clocks lap(struct train_step *step, struct clocks from, double *rest)
{
    struct clocks to = clocks_read(step);
    double teacher = to.teacher - from.teacher, collective = to.collective - from.collective;

    step->times.teacher += teacher;
    step->times.collective += collective;
    *rest += to.now - from.now - teacher - collective;
    return to;
}

bool step_run(struct train_step *step, const struct batch *b, const struct optim_hyper *hyper,
              struct error *err)
{
    struct replica *r = step->s->replica;
    struct clocks start = clocks_read(step);
    bool ok;

    set_weights(step, b->epoch);
    run_lanes(step, b, hyper->step - 1);
    start = lap(step, start, &step->times.student);
    sum_ranks(step);
    step->grad_norm = replica_grad_norm(r, step->grads);
    pulse_step(hyper->step);
    if (!isfinite(step_loss(step, b->n)) || !isfinite(step->grad_norm))
        return diverged(step, b, hyper, err);
    replica_update(r, step->grads, hyper);
    ok = running_means_step(&step->running, step->s, err);
    lap(step, start, &step->times.update);
    return ok;
}
