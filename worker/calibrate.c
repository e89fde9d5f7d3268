#include "worker/calibrate.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "proto/base/pulse.h"
#include "worker/data/loader.h"

struct calibration {
    struct nets nets; /* settled */
    struct backend *backend;
    struct teacher *teacher; /* PRECISION_OBSERVED */
    void *arena;
    float *seen[TEACHER_FORMS]; /* of each range, a number for each sample of a chunk */
    struct teacher_ranges most;
};

/* The number of the output range/I; -1 where there is none. */
static int range_io(const struct plan *p, size_t i)
{
    char name[32];

    snprintf(name, sizeof(name), "range/%zu", i);
    return plan_io_find(p, name);
}

static void bind_ranges(struct calibration *c, enum teacher_form form)
{
    const struct plan *p = c->teacher->plans[form];
    size_t n = 0;

    if (!p)
        return;
    while (range_io(p, n) >= 0)
        n++;
    c->most.n[form] = n;
    c->most.of[form] = NEW_ARRAY(float, n);
    c->seen[form] = NEW_ARRAY(float, n *(size_t)c->teacher->chunk);
    for (size_t i = 0; i < n; i++)
        plan_bind(c->teacher->plans[form], range_io(p, i),
                  c->seen[form] + i * (size_t)c->teacher->chunk);
}

static bool make_arena(struct calibration *c, struct error *err)
{
    size_t most = 64;

    for (int form = 0; form < TEACHER_FORMS; form++)
        if (c->teacher->plans[form] && c->teacher->plans[form]->arena_bytes > most)
            most = c->teacher->plans[form]->arena_bytes;
    c->arena = mem_try_aligned(64, most);
    if (!c->arena)
        return err_set(err, ERR_FAILED, "no memory for an arena of %zu bytes", most);
    for (int form = 0; form < TEACHER_FORMS; form++)
        if (c->teacher->plans[form])
            plan_set_region(c->teacher->plans[form], REGION_ARENA, c->arena);
    return true;
}

static bool open_teacher(struct calibration *c, const struct replica_config *cfg, tensor_fn tensor,
                         void *arg, struct error *err)
{
    const struct compile_options how = {.backend = c->backend,
                                        .convolution = cfg->teacher_convolution,
                                        .precision = PRECISION_OBSERVED};

    c->teacher = teacher_open(&c->nets, cfg->chunk, &how, NULL, tensor, arg, err);
    return c->teacher != NULL;
}

struct calibration *calibration_open(const struct replica_config *cfg, tensor_fn tensor, void *arg,
                                     struct error *err)
{
    struct calibration *c = NEW(struct calibration);

    c->nets = cfg->nets;
    if (backend_multiplies_bytes(err) &&
        (c->backend = backend_open(cfg->backend, cfg->threads, err)) &&
        nets_settle(&c->nets, err) && open_teacher(c, cfg, tensor, arg, err) &&
        make_arena(c, err)) {
        for (int form = 0; form < TEACHER_FORMS; form++)
            bind_ranges(c, (enum teacher_form)form);
        return c;
    }
    calibration_close(c);
    return NULL;
}

void calibration_close(struct calibration *c)
{
    if (!c)
        return;
    teacher_close(c->teacher);
    backend_close(c->backend);
    teacher_ranges_free(&c->most);
    for (int form = 0; form < TEACHER_FORMS; form++)
        free(c->seen[form]);
    free(c->arena);
    free(c);
}

void calibration_add(struct calibration *c, const float *images, int64_t count)
{
    static float *const nowhere[NETS_MAX_TEACHER_VALUES] = {NULL};
    const int64_t chunk = c->teacher->chunk;

    ASSERT(count <= chunk);
    for (int form = 0; form < TEACHER_FORMS; form++) {
        if (!c->teacher->plans[form])
            continue;
        teacher_run(c->teacher, (enum teacher_form)form, images, count, nowhere);
        for (size_t i = 0; i < c->most.n[form]; i++)
            for (int64_t k = 0; k < count; k++)
                c->most.of[form][i] =
                    fmaxf(c->most.of[form][i], c->seen[form][(int64_t)i * chunk + k]);
    }
}

bool calibration_end(const struct calibration *c, struct teacher_ranges *out, struct error *err)
{
    *out = (struct teacher_ranges){{NULL}, {0}};
    for (int form = 0; form < TEACHER_FORMS; form++) {
        out->n[form] = c->most.n[form];
        if (!c->most.of[form])
            continue;
        out->of[form] = NEW_ARRAY(float, out->n[form]);
        for (size_t i = 0; i < out->n[form]; i++)
            out->of[form][i] = c->most.of[form][i];
    }
    for (int form = 0; form < TEACHER_FORMS; form++)
        for (size_t i = 0; i < out->n[form]; i++)
            if (!isfinite(out->of[form][i]))
                return err_set(err, ERR_DATA,
                               "teacher.precision: a value of %s is not finite in float32",
                               c->nets.teacher->name);
    return true;
}

bool calibration_add_set(struct calibration *c, const struct dataset *data,
                         const struct augment *augment, int64_t images, int rank, int ranks,
                         struct error *err)
{
    const int64_t chunk = c->teacher->chunk;
    struct loader *l = loader_open_chunks(data, augment, chunk, rank, ranks, err);
    const struct batch *b = NULL;
    bool ok;

    while (l && (b = loader_next(l)) && b->index * chunk < images) {
        int64_t left = images - b->index * chunk;

        calibration_add(c, b->images, b->count < left ? b->count : left);
        pulse_beat();
    }
    ok = l && (b || loader_ended(l, err));
    loader_close(l);
    return ok;
}

/* Of each range the greatest on all ranks. */
static void merge(struct session *s, struct calibration *c)
{
    for (int form = 0; form < TEACHER_FORMS; form++) {
        size_t n = c->most.n[form];
        double *table = NEW_ARRAY(double, n *(size_t)s->size);

        for (size_t i = 0; i < n; i++)
            table[(size_t)s->rank * n + i] = (double)c->most.of[form][i];
        coll_merge_table(s->coll, table, n * (size_t)s->size);
        for (size_t i = 0; i < n * (size_t)s->size; i++)
            c->most.of[form][i % n] = fmaxf(c->most.of[form][i % n], (float)table[i]);
        free(table);
    }
}

bool session_calibrate(struct session *s, const struct replica_config *cfg, struct error *err)
{
    struct calibration *c;
    bool ok;

    if (cfg->teacher_precision != PRECISION_INT8)
        return true;
    pulse_phase("calibration");
    c = calibration_open(cfg, weights_tensor, &s->teacher, err);
    ok = coll_agree(s->coll,
                    c && calibration_add_set(c, s->train, &s->augment,
                                             s->job->teacher->calibration_images, s->rank, s->size,
                                             err),
                    err);
    if (ok) {
        merge(s, c);
        ok = coll_agree(s->coll, calibration_end(c, &s->ranges, err), err);
    }
    calibration_close(c);
    pulse_phase("load");
    return ok || err_wrap(err, "#/teacher/precision");
}
