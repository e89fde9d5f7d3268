/* Where a number stopped being one. A run is repeated with this switched on, so it may take its time. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "worker/engine/plan/plan.h"

void plan_watch(struct plan *p, struct nonfinite *first)
{
    p->watch = first;
}

static double element(const void *data, size_t i, size_t real)
{
    return real == sizeof(float) ? (double)((const float *)data)[i] : ((const double *)data)[i];
}

static void look(const struct plan *p, const char *kind, const char *what, int output,
                 const void *data, size_t bytes)
{
    static const char *const which[NODE_MAX_OUT] = {"", " of the second output",
                                                    " of the third output"};
    size_t real = p->backend->def->real_size;

    for (size_t i = 0; i < bytes / real && !p->watch->found; i++) {
        double x = element(data, i, real);

        if (isfinite(x))
            continue;
        p->watch->found = true;
        snprintf(p->watch->text, sizeof(p->watch->text), "%s %s: element %zu of %zu%s is %f", kind,
                 what, i, bytes / real, which[output], x);
    }
}

void plan_watch_inputs(const struct plan *p)
{
    for (size_t i = 0; i < p->io.n; i++) {
        const struct plan_io *io = &p->io.at[i];

        if (!io->is_output && io->dtype == DT_REAL)
            look(p, "input", io->name, 0, io->bound, io->bytes);
    }
}

void plan_watch_step(const struct plan *p, const struct step *s, void *const *args)
{
    for (int k = s->n_in; k < s->n_in + s->n_out; k++)
        if (s->values[k].dtype == DT_REAL)
            look(p, "node", s->text, k - s->n_in, args[k], s->values[k].bytes);
}
