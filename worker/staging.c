#include "worker/staging.h"

#include <stdlib.h>

#include "proto/base/mem.h"
#include "worker/replica.h"

static int64_t largest_lane(const struct replica_config *c)
{
    int64_t most = c->chunk;

    for (size_t i = 0; i < c->n_lane_sizes; i++)
        if (c->lane_sizes[i] > most)
            most = c->lane_sizes[i];
    return most;
}

/* Floats that are counted. */
static float *room(struct replica_staging *s, size_t n)
{
    float *p = mem_try_aligned(64, n * sizeof(float));

    ASSERT(p);
    s->bytes += n * sizeof(float);
    return p;
}

struct replica_staging *staging_new(const struct replica_config *c)
{
    const struct nets *n = &c->nets;
    const size_t lane = (size_t)largest_lane(c);
    const size_t teacher = (size_t)n->teacher_width, student = (size_t)n->student_width;
    struct replica_staging *s = NEW(struct replica_staging);

    for (size_t i = 0; i < n->n_teacher_values; i++)
        if (teacher_makes(n, i))
            s->teacher[i] = room(s, lane * teacher_value_count(n, i));
    s->logits = room(s, lane * (size_t)n->classes);
    s->features = room(s, lane * student);
    s->projected = room(s, lane * teacher);
    s->mask = room(s, lane * student);
    s->seeds = room(s, lane * NETS_MAX_LOSSES);
    s->shares = room(s, n->mixes ? lane : 0);
    s->direction = room(s, n->mixes ? lane * teacher : 0);
    s->centre = NEW_ARRAY(double, n->mixes ? teacher : 0);
    s->bytes += n->mixes ? teacher * sizeof(*s->centre) : 0;
    for (size_t i = 0; i < n->n_losses; i++)
        s->losses[i] = room(s, lane);
    return s;
}

void staging_free(struct replica_staging *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < NETS_MAX_TEACHER_VALUES; i++)
        free(s->teacher[i]);
    free(s->logits);
    free(s->features);
    free(s->projected);
    free(s->mask);
    free(s->seeds);
    free(s->shares);
    free(s->direction);
    free(s->centre);
    for (size_t i = 0; i < NETS_MAX_LOSSES; i++)
        free(s->losses[i]);
    free(s);
}
