/* The teacher's outputs of the random batch, kept as teacher.cache of a job keeps those of its data. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/str.h"
#include "worker/bench/bench.h"
#include "worker/teacher_cache.h"

static struct outputs *describe(const struct session *s, const struct batch *b, const char *folder)
{
    struct outputs_value values[NETS_MAX_TEACHER_VALUES];
    const struct outputs_spec spec = {
        .views = 1,
        .samples = b->count,
        .block = s->replica->teacher->chunk,
        .dtype = s->job->teacher->cache->precision == DISTILLD__CACHE_SPEC__PRECISION__FLOAT16
                     ? ST_F16
                     : ST_F32,
        .values = values,
        .n_values = teacher_outputs_list(&s->replica->cfg.nets, values),
    };

    return outputs_new(folder, &spec);
}

static bool fill(const struct session *s, struct outputs *o, const struct batch *b,
                 struct error *err)
{
    struct teacher *t = s->replica->teacher;
    const int64_t image = 3 * t->nets->image_size * t->nets->image_size;
    bool damaged, ok = outputs_make(o, &damaged, err);

    for (int64_t i = 0; ok && i < outputs_blocks(o); i++)
        ok = teacher_outputs_put(t, o, 0, i, b->images + i * t->chunk * image,
                                 outputs_block_samples(o, i), err);
    return ok && outputs_flush(o, err) && outputs_open(o, err);
}

bool bench_keep_outputs(struct session *s, const struct batch *b, struct error *err)
{
    const char *base = getenv("TMPDIR");
    char *folder = str_path(base && *base ? base : "/tmp", "distilld-bench-XXXXXX");
    bool ok = mkdtemp(folder) != NULL;

    if (!ok) {
        err_set(err, ERR_IO, "%s: %s", folder, strerror(errno));
    } else {
        s->outputs = describe(s, b, folder);
        ok = fill(s, s->outputs, b, err);
        /* It is mapped, and nobody else looks for it. */
        unlink(outputs_path(s->outputs));
        rmdir(folder);
    }
    free(folder);
    return ok && replica_set_outputs(s->replica, s->outputs, err);
}
