#include "worker/curves.h"

#include <stdio.h>

#include "proto/base/mem.h"

static const struct quantile {
    const char *name;
    double q;
} quantiles[] = {{"p10", 0.1}, {"p50", 0.5}, {"p90", 0.9}};

static void add(const struct curves *c, const char *name, double value)
{
    metrics_add(c->metrics, c->step, c->epoch, "train", name, value);
}

/* The values stand in the order of the batch, on every rank the same; here they are sorted. */
static void step_norms(const struct curves *c, const char *whose, double *values, int64_t n)
{
    char name[48];

    norms_sort(values, n);
    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++) {
        snprintf(name, sizeof(name), "norm/%s_%s", whose, quantiles[i].name);
        add(c, name, norms_quantile(values, n, quantiles[i].q));
    }
}

void curves_epoch_norms(const struct curves *c, const char *whose, const struct norms *h)
{
    char name[48];

    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++) {
        snprintf(name, sizeof(name), "norm/%s_epoch_%s", whose, quantiles[i].name);
        add(c, name, norms_histogram_quantile(h, quantiles[i].q));
    }
}

static void step_losses(const struct curves *c, const struct train_step *step, double n)
{
    const struct nets *nets = &step->s->replica->cfg.nets;
    char name[48];

    for (size_t k = 0; k < nets->n_losses; k++) {
        double mean = step->sums[SUM_LOSS + k] / n;

        snprintf(name, sizeof(name), "loss/%s", nets->losses[k].def->name);
        add(c, name, step->weights[k] * mean);
        snprintf(name, sizeof(name), "loss_raw/%s", nets->losses[k].def->name);
        add(c, name, mean);
    }
}

void curves_step(const struct curves *c, struct train_step *step, int64_t n, double lr)
{
    add(c, "loss/total", step_loss(step, n));
    step_losses(c, step, (double)n);
    add(c, "lr", lr);
    add(c, "grad_norm", step->grad_norm);
    for (size_t i = 0; i < n_session_figures; i++)
        if (session_has_figure(step->s, &session_figures[i], false))
            add(c, session_figures[i].name,
                session_figures[i].factor * step->sums[session_figures[i].sum] / (double)n);
    step_norms(c, "student", step->norms, n);
    if (step_compares_norms(step))
        step_norms(c, "teacher", step->teacher_norms, n);
}

void curves_evaluation(const struct curves *c, const struct session *s, const char *split,
                       const struct eval_set *set, const double *sums)
{
    double n = (double)dataset_count(set->data);

    for (size_t i = 0; i < n_session_figures; i++)
        if (session_has_figure(s, &session_figures[i], true))
            metrics_add(c->metrics, c->step, c->epoch, split, session_figures[i].name,
                        session_figures[i].factor * sums[session_figures[i].sum] / n);
}
