/* What the teacher gives for every training view: made once, ahead of training, in chunks dealt to the ranks,
 * and kept in a file that later runs and jobs with the same teacher, data and views find. What is missing of
 * it, or damaged, is made again; so a run that was ended in between goes on where it was. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/pulse.h"
#include "proto/base/str.h"
#include "worker/data/loader.h"
#include "worker/session.h"
#include "worker/teacher_cache.h"

enum {
    ROUND = 16, /* chunks of a rank between two looks at what the others do */
    ATTEMPTS = 3
};

struct filling {
    struct session *s;
    struct outputs *o;
    bool *skip; /* views x blocks: those of this rank that are there */
    int64_t left, todo, damaged;
    int64_t view; /* of the loader */
    struct loader *loader;
    double began;
};

static bool *skipped(const struct filling *f, int64_t view)
{
    return f->skip + view * outputs_blocks(f->o);
}

static bool wanted(const struct session *s)
{
    const Distilld__CacheSpec *c = s->job->teacher->cache;

    return c && c->precision != DISTILLD__CACHE_SPEC__PRECISION__NONE && s->replica->train &&
           nets_uses(&s->replica->cfg.nets) != 0;
}

/* Seed and augmentation, where they matter; the images of view v are those that epoch v shows. free(). */
static char *view_text(const struct session *s)
{
    char *augment, *text;

    if (!augment_is_random(&s->augment))
        return str_dup("eval");
    augment = session_augmentation(s);
    text = str_fmt("train seed=%" PRIu64 " augment=%s", s->augment.seed, augment);
    free(augment);
    return text;
}

size_t teacher_outputs_list(const struct nets *n,
                            struct outputs_value values[NETS_MAX_TEACHER_VALUES])
{
    size_t count = 0;

    for (size_t i = 0; i < n->n_teacher_values; i++) {
        const struct nets_teacher_value *v = &n->teacher_values[i];
        struct outputs_value *to = &values[count];

        if (!teacher_makes(n, i))
            continue;
        *to = (struct outputs_value){.name = v->name, .rank = v->shape.rank - 1};
        memcpy(to->shape, v->shape.dim + 1, (size_t)to->rank * sizeof(*to->shape));
        count++;
    }
    return count;
}

/* All that the numbers depend on. */
static struct outputs *describe(const struct session *s, const char *folder)
{
    char *view = view_text(s), *transform = session_transform(s, view);
    char steps[SHA256_HEX], chunk[24], threads[16];
    const struct st_meta meta[] = {
        {"format", "distilld-teacher-outputs-1"},
        {"teacher_sha256", s->teacher_sha256},
        {"teacher_model", s->job->teacher->model},
        {"data_sha256", s->data_sha256},
        {"transform", transform},
        {"engine", s->engine},
        {"steps", steps},
        {"chunk", chunk},
        {"threads", threads},
    };
    struct outputs_value values[NETS_MAX_TEACHER_VALUES];
    const struct outputs_spec spec = {
        .views = s->views,
        .samples = s->samples,
        .block = s->chunk,
        .dtype = s->job->teacher->cache->precision == DISTILLD__CACHE_SPEC__PRECISION__FLOAT16
                     ? ST_F16
                     : ST_F32,
        .values = values,
        .n_values = teacher_outputs_list(&s->replica->cfg.nets, values),
        .meta = meta,
        .n_meta = ARRAY_LEN(meta),
    };
    struct outputs *o;

    teacher_algorithm(s->replica->teacher, TEACHER_READ, steps);
    snprintf(chunk, sizeof(chunk), "%" PRId64, s->chunk);
    snprintf(threads, sizeof(threads), "%d", s->job->resources->threads);
    o = outputs_new(folder, &spec);
    free(transform);
    free(view);
    return o;
}

/* Blocks are chunks: chunk c is the business of rank c mod ranks. */
static void look(struct filling *f)
{
    f->left = f->damaged = 0;
    for (int64_t v = 0; v < f->s->views; v++)
        for (int64_t b = f->s->rank; b < outputs_blocks(f->o); b += f->s->size) {
            enum outputs_state state = outputs_look(f->o, v, b);

            skipped(f, v)[b] = state == OUTPUTS_WHOLE;
            f->left += state != OUTPUTS_WHOLE;
            f->damaged += state == OUTPUTS_DAMAGED;
            pulse_beat();
        }
    f->todo = f->left;
}

/* The next chunk that is missing; NULL with an error, or when there is none. */
static const struct batch *next_chunk(struct filling *f, struct error *err)
{
    struct session *s = f->s;
    const struct batch *b;

    for (;;) {
        if (!f->loader)
            f->loader = loader_open_views(s->train, &s->augment, s->chunk, s->rank, s->size,
                                          f->view, skipped(f, f->view), err);
        b = f->loader ? loader_next(f->loader) : NULL;
        if (b || !f->loader || !loader_ended(f->loader, err) || f->view + 1 == s->views)
            return b;
        loader_close(f->loader);
        f->loader = NULL;
        f->view++;
    }
}

bool teacher_outputs_put(struct teacher *t, struct outputs *o, int64_t view, int64_t block,
                         const float *images, int64_t count, struct error *err)
{
    static float *const nowhere[NETS_MAX_TEACHER_VALUES] = {NULL};
    const float *values[NETS_MAX_TEACHER_VALUES];
    size_t n = 0;

    teacher_run(t, TEACHER_READ, images, count, nowhere);
    for (size_t i = 0; i < t->nets->n_teacher_values; i++)
        if (teacher_makes(t->nets, i))
            values[n++] = t->values[i];
    return outputs_put(o, view, block, values, err);
}

static bool fill_some(struct filling *f, struct error *err)
{
    for (int i = 0; i < ROUND && f->left; i++) {
        const struct batch *b = next_chunk(f, err);

        if (!b || !teacher_outputs_put(f->s->replica->teacher, f->o, f->view, b->index, b->images,
                                       b->count, err))
            return false;
        f->left--;
    }
    return true;
}

static void show(const struct filling *f)
{
    struct session *s = f->s;
    double seconds = clock_mono_s() - f->began, done = (double)((f->todo - f->left) * s->chunk);
    struct progress_state p = {.phase = "teacher cache",
                               .done = (f->todo - f->left) * s->chunk,
                               .total = f->todo * s->chunk,
                               .eta_s = -1};

    if (s->rank != 0)
        return;
    if (seconds > 0 && done > 0) {
        p.images_per_s = done * s->size / seconds;
        p.eta_s = seconds / done * (double)(f->left * s->chunk);
    }
    progress_show(&s->progress, &p);
    uplink_progress(s->uplink, &p);
}

/* Chunks that are missing on all ranks together; *stop: what the first rank that was asked to stop was asked. */
static int64_t left_over(const struct filling *f, enum uplink_stop *stop)
{
    const struct session *s = f->s;
    int64_t *all = NEW_ARRAY(int64_t, (size_t)s->size + 1), left;

    all[0] = f->left;
    all[1 + s->rank] = session_stop_requested(s);
    coll_sum_i64(s->coll, all, (size_t)s->size + 1);
    *stop = UPLINK_GO_ON;
    for (int r = 0; r < s->size && *stop == UPLINK_GO_ON; r++)
        *stop = (enum uplink_stop)all[1 + r];
    left = all[0];
    free(all);
    return left;
}

static bool fill_all(struct filling *f, struct error *err)
{
    struct coll *coll = f->s->coll;
    enum uplink_stop stop;

    while (left_over(f, &stop)) {
        if (stop != UPLINK_GO_ON)
            return err_set(err, stop == UPLINK_CANCEL ? ERR_CANCELLED : ERR_STOPPED,
                           "stopped while the teacher's outputs were made; the same command goes "
                           "on from there");
        if (!coll_agree(coll, fill_some(f, err), err))
            return false;
        show(f);
    }
    return coll_agree(coll, outputs_flush(f->o, err), err);
}

static bool fill(struct filling *f, struct error *err)
{
    bool ok;

    f->view = 0;
    f->began = clock_mono_s();
    ok = fill_all(f, err);
    loader_close(f->loader);
    f->loader = NULL;
    return ok;
}

/* How many are damaged, or missing, on all ranks. */
static int64_t count(const struct filling *f, int64_t here)
{
    coll_sum_i64(f->s->coll, &here, 1);
    return here;
}

/* What was written is read once more, so that nothing is taken that does not verify. */
static bool complete(struct filling *f, struct error *err)
{
    struct session *s = f->s;

    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        int64_t damaged;

        if (!coll_agree(s->coll, outputs_open(f->o, err), err))
            return false;
        look(f);
        damaged = count(f, f->damaged);
        if (damaged && s->rank == 0)
            progress_say(&s->progress,
                         "warning: %s: %" PRId64 " damaged blocks of the teacher's outputs are "
                         "computed anew",
                         outputs_path(f->o), damaged);
        if (!count(f, f->left))
            return true;
        s->cache_origin = "computed";
        if (!fill(f, err))
            return false;
    }
    return err_set(err, ERR_IO, "%s: what is written there does not stay", outputs_path(f->o));
}

/* Each rank verifies a part of the blocks and reads any, so all have to see one folder: what rank 0 puts there,
 * under a name of its own, is there for all. */
static bool shares_folder(struct session *s, const char *folder, struct error *err)
{
    int64_t id[2] = {clock_wall_ms(), getpid()};
    char *probe;
    bool ok;

    if (s->size == 1)
        return true;
    coll_bcast(s->coll, id, sizeof(id), 0);
    probe = str_fmt("%s/probe-%" PRId64 "-%" PRId64, folder, id[0], id[1]);
    ok = coll_agree(s->coll, s->rank != 0 || file_replace(probe, "", 0, 0644, err), err) &&
         coll_agree(s->coll,
                    file_exists(probe) ||
                        err_set(err, ERR_INVALID,
                                "%s: expected the folder that rank 0 has there, got another one: "
                                "the hosts have to share it (DISTILLD_CACHE says where it is)",
                                folder),
                    err);
    if (s->rank == 0)
        unlink(probe);
    free(probe);
    return ok;
}

/* Rank 0 makes the file for all. */
static bool make(struct session *s, struct error *err)
{
    bool damaged, ok = outputs_make(s->outputs, &damaged, err);

    if (damaged)
        progress_say(&s->progress, "warning: %s is damaged, and is made anew",
                     outputs_path(s->outputs));
    else if (ok)
        progress_say(&s->progress, "teacher's outputs of %" PRId64 " views: %.1f MB, %s", s->views,
                     (double)outputs_bytes(s->outputs) / 1e6, outputs_path(s->outputs));
    return ok;
}

static bool find_or_make(struct session *s, struct error *err)
{
    char *cache = session_cache_folder(), *folder = str_fmt("%s/teacher_outputs", cache);
    struct filling f = {.s = s};
    bool ok;

    f.o = s->outputs = describe(s, folder);
    f.skip = NEW_ARRAY(bool, (size_t)(s->views * outputs_blocks(f.o)));
    s->cache_origin = "cached";
    ok = coll_agree(s->coll, s->rank != 0 || make(s, err), err) && shares_folder(s, folder, err) &&
         complete(&f, err);
    free(f.skip);
    free(folder);
    free(cache);
    return ok || err_wrap(err, "teacher.cache");
}

bool session_teacher_cache(struct session *s, struct error *err)
{
    if (!wanted(s))
        return true;
    pulse_phase("teacher cache");
    return find_or_make(s, err) && (!s->val || session_teacher_norms(s, &s->val_set, err)) &&
           session_teacher_norms(s, &s->test_set, err) &&
           coll_agree(s->coll, replica_set_outputs(s->replica, s->outputs, err), err);
}
