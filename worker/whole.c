#include "worker/whole.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/mem.h"

/* Memory that is counted. */
static void *keep(struct whole *w, size_t n, size_t size)
{
    void *p = mem_try_aligned(64, n * size);

    ASSERT(p);
    w->bytes += n * size;
    return p;
}

static void allocate(struct whole *w)
{
    size_t most = 0, all;

    for (size_t i = 0; i < w->n_sizes; i++)
        most = (size_t)w->sizes[i] > most ? (size_t)w->sizes[i] : most;
    all = most * (size_t)w->nets->classes;
    w->logits = keep(w, 2 * all, sizeof(double));
    w->student = keep(w, all, sizeof(float));
    w->teacher = keep(w, all, sizeof(float));
    w->grads = keep(w, all, sizeof(float));
    w->losses = keep(w, most * w->nets->n_losses, sizeof(float));
    w->seeds = keep(w, most * w->nets->n_losses, sizeof(float));
}

struct whole *whole_open(const struct nets *nets, struct backend *backend, const int64_t *sizes,
                         size_t n_sizes, struct compile_observer observer, struct error *err)
{
    struct whole *w = NEW(struct whole);
    char title[96];
    const struct compile_options options = {
        .backend = backend, .title = title, .observer = observer};

    ASSERT(n_sizes <= WHOLE_MAX_SIZES);
    w->nets = nets;
    for (size_t i = 0; i < n_sizes; i++) {
        snprintf(title, sizeof(title), "losses over a batch of %" PRId64 " samples", sizes[i]);
        w->plans[i] = compile(nets_batch_graph(nets, sizes[i]), &options, err);
        if (!w->plans[i]) {
            whole_close(w);
            err_wrap(err, "losses over a batch of %" PRId64 " samples", sizes[i]);
            return NULL;
        }
        w->sizes[w->n_sizes++] = sizes[i];
    }
    allocate(w);
    return w;
}

void whole_close(struct whole *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < WHOLE_MAX_SIZES; i++)
        plan_free(w->plans[i]);
    free(w->logits);
    free(w->student);
    free(w->teacher);
    free(w->grads);
    free(w->losses);
    free(w->seeds);
    free(w);
}

size_t whole_count(const struct whole *w, int64_t n)
{
    return 2 * (size_t)(n * w->nets->classes);
}

void whole_put(struct whole *w, int64_t n, int64_t first, int64_t count, const float *student,
               const float *teacher)
{
    int64_t classes = w->nets->classes;
    double *s = w->logits + first * classes, *t = w->logits + (n + first) * classes;

    for (int64_t i = 0; i < count * classes; i++) {
        s[i] = (double)student[i];
        t[i] = (double)teacher[i];
    }
}

static struct plan *plan_for(const struct whole *w, int64_t n)
{
    for (size_t i = 0; i < w->n_sizes; i++)
        if (w->sizes[i] == n)
            return w->plans[i];
    ASSERT(!"a batch of a size that was not planned");
    return NULL;
}

static void bind_losses(struct whole *w, struct plan *p, int64_t n, const double *loss_weights)
{
    for (size_t k = 0; k < w->nets->n_losses; k++) {
        const char *kind = w->nets->losses[k].def->name;
        float *seeds = w->seeds + (int64_t)k * n, seed = (float)(loss_weights[k] / (double)n);
        char name[48];

        for (int64_t i = 0; i < n; i++)
            seeds[i] = seed;
        snprintf(name, sizeof(name), "seed/%s", kind);
        plan_bind_name(p, name, seeds);
        snprintf(name, sizeof(name), "loss/%s", kind);
        plan_bind_name(p, name, w->losses + (int64_t)k * n);
    }
}

void whole_run(struct whole *w, int64_t n, const double *loss_weights)
{
    struct plan *p = plan_for(w, n);
    int64_t all = n * w->nets->classes;

    for (int64_t i = 0; i < all; i++) {
        w->student[i] = (float)w->logits[i];
        w->teacher[i] = (float)w->logits[all + i];
    }
    plan_bind_name(p, "logits", w->student);
    plan_bind_name(p, "teacher_logits", w->teacher);
    plan_bind_name(p, "grad/logits", w->grads);
    bind_losses(w, p, n, loss_weights);
    plan_run(p);
}
