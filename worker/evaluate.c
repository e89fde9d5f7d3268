/* Evaluation: every image of a set once, in chunks dealt to the ranks. Each chunk's sums have their own row in
 * a table, and the rows are added in the order of the chunks, so the ranks do not show. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/pulse.h"
#include "worker/data/loader.h"
#include "worker/session.h"
#include "worker/stats.h"

static void find_norms(const struct session *s, const struct batch *b, float *logits,
                       float *features, double *norms)
{
    const int64_t width = s->replica->cfg.nets.teacher_width;

    replica_teacher(s->replica, b->images, b->count, logits, features);
    for (int64_t i = 0; i < b->count; i++)
        norms[i] = stats_norm(features + i * width, width);
}

/* |t| of the chunk's images: from the teacher the first time, remembered afterwards. */
static const double *norms_of(const struct session *s, const struct eval_set *set,
                              const struct batch *b, float *logits, float *features)
{
    double *norms = set->teacher_norms + b->index * s->chunk;

    if (!s->replica->cfg.nets.teacher)
        return NULL;
    if (!set->has_teacher_norms)
        find_norms(s, b, logits, features, norms);
    return norms;
}

bool session_teacher_norms(struct session *s, struct eval_set *set, struct error *err)
{
    const struct nets *n = &s->replica->cfg.nets;
    float *logits = NEW_ARRAY(float, (size_t)(s->chunk * n->classes));
    float *features = NEW_ARRAY(float, (size_t)(s->chunk * n->teacher_width));
    struct loader *l = loader_open_chunks(set->data, &s->augment, s->chunk, s->rank, s->size, err);
    const struct batch *b;

    while (l && (b = loader_next(l)))
        find_norms(s, b, logits, features, set->teacher_norms + b->index * s->chunk);
    set->has_teacher_norms = coll_agree(s->coll, l && loader_ended(l, err), err);
    loader_close(l);
    free(features);
    free(logits);
    return set->has_teacher_norms;
}

static void show(struct session *s, const struct eval_set *set, int64_t done, double began)
{
    double seconds = clock_mono_s() - began;
    int64_t total = (dataset_count(set->data) + s->size - 1) / s->size;
    struct progress_state p = {.phase = "eval", .done = done, .total = total};

    if (s->rank != 0)
        return;
    p.images_per_s = seconds > 0 ? (double)(done * s->size) / seconds : 0;
    p.eta_s = done ? seconds / (double)done * (double)(total - done) : -1;
    progress_show(&s->progress, &p);
}

bool session_evaluate(struct session *s, struct eval_set *set, double sums[SUM_COUNT],
                      struct error *err)
{
    const struct nets *n = &s->replica->cfg.nets;
    int64_t chunks = (dataset_count(set->data) + s->chunk - 1) / s->chunk, done = 0;
    double *table = NEW_ARRAY(double, (size_t)chunks *SUM_COUNT), began = clock_mono_s();
    float *logits = NEW_ARRAY(float, (size_t)(s->chunk * n->classes));
    float *features = NEW_ARRAY(float, (size_t)(s->chunk * n->teacher_width));
    struct loader *l = loader_open_chunks(set->data, &s->augment, s->chunk, s->rank, s->size, err);
    const struct batch *b;
    bool ok = coll_agree(s->coll, l != NULL, err);

    pulse_phase("eval");
    while (ok && (b = loader_next(l))) {
        replica_eval(s->replica, b->images, b->labels, b->count,
                     norms_of(s, set, b, logits, features), table + b->index * SUM_COUNT);
        done += b->count;
        show(s, set, done, began);
    }
    if (ok)
        ok = coll_agree(s->coll, loader_ended(l, err), err);
    loader_close(l);
    if (ok) {
        set->has_teacher_norms = true;
        coll_merge_table(s->coll, table, (size_t)chunks * SUM_COUNT);
        memset(sums, 0, SUM_COUNT * sizeof(*sums));
        for (int64_t c = 0; c < chunks; c++)
            for (int i = 0; i < SUM_COUNT; i++)
                sums[i] += table[c * SUM_COUNT + i];
    }
    free(features);
    free(logits);
    free(table);
    return ok;
}
