#include "worker/running_means.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

static bool runs(const struct running_means *m)
{
    return m->unit != NULL;
}

static void aim(const struct running_means *m, struct session *s)
{
    means_ema_unit(&s->ema, m->unit);
    replica_set_directions(s->replica, m->unit);
}

void running_means_open(struct running_means *m, struct session *s)
{
    const struct means_ema *e = &s->ema;

    *m = (struct running_means){.failed = false};
    if (!e->classes)
        return;
    replica_set_centres(s->replica, e->mean);
    means_sums_init(&m->batch, e->classes, e->width);
    m->unit = NEW_ARRAY(float, (size_t)e->classes *(size_t)e->width);
    aim(m, s);
}

void running_means_close(struct running_means *m)
{
    means_sums_free(&m->batch);
    free(m->unit);
}

void running_means_begin(struct running_means *m)
{
    if (runs(m))
        means_sums_clear(&m->batch);
}

void running_means_add(struct running_means *m, const struct session *s, const struct lane *lane)
{
    if (runs(m) && !m->failed)
        m->failed =
            !means_sums_add(&m->batch, replica_teacher_features(s->replica),
                            replica_labels(s->replica, lane), lane->count, lane->samples, &m->err);
}

bool running_means_step(struct running_means *m, struct session *s, struct error *err)
{
    if (!runs(m))
        return true;
    *err = m->err;
    if (!coll_agree(s->coll, !m->failed, err))
        return false;
    coll_sum_i128(s->coll, m->batch.sums, (size_t)s->ema.classes * (size_t)s->ema.width);
    coll_sum_i64(s->coll, m->batch.counts, (size_t)s->ema.classes);
    means_ema_step(&s->ema, &m->batch);
    aim(m, s);
    return true;
}
