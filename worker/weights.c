#include "worker/weights.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/base/vec.h"
#include "worker/nets.h"

/* PyTorch counts batches in every batch norm; the count has no use here. */
static bool is_counter(const char *name)
{
    return str_ends(name, ".num_batches_tracked");
}

static bool same_shape(const struct st_tensor *t, const struct shape *s)
{
    bool same = t->rank == s->rank;

    for (int i = 0; same && i < s->rank; i++)
        same = t->shape[i] == s->dim[i];
    return same;
}

static bool check_tensor(const struct weights *w, const struct value *v, const char *model,
                         int64_t classes, struct error *err)
{
    const struct st_tensor *t = st_find(w->file, v->name);
    char want[SHAPE_TEXT], *got;

    if (!t)
        return err_set(err, ERR_DATA, "%s: %s has no tensor %s; is it a %s?", w->role,
                       st_path(w->file), v->name, model);
    if (same_shape(t, &v->shape) && t->dtype <= ST_BF16)
        return true;
    got = st_describe(t);
    err_set(err, ERR_DATA, "%s: %s: tensor %s is %s; %s with %" PRId64 " classes needs %s", w->role,
            st_path(w->file), v->name, got, model, classes, shape_text(&v->shape, want));
    free(got);
    return false;
}

static bool check_foreign(const struct weights *w, const struct graph *g, const char *model,
                          struct error *err)
{
    for (size_t i = 0; i < st_tensors(w->file); i++) {
        const char *name = st_at(w->file, i)->name;

        if (graph_find(g, name) == NO_VALUE && !is_counter(name))
            return err_set(err, ERR_DATA,
                           "%s: %s has a tensor %s, which %s does not have; is it another model?",
                           w->role, st_path(w->file), name, model);
    }
    return true;
}

bool weights_open(struct weights *w, const char *role, const char *path,
                  const struct model_def *model, int64_t image_size, int64_t classes,
                  struct error *err)
{
    struct graph *g = nets_inference_graph(model, 1, image_size, classes, false);
    bool ok;

    *w = (struct weights){.role = role, .file = st_open(path, err)};
    ok = graph_ok(g, err) && w->file;
    if (!w->file) {
        err_wrap(err, "%s", role);
        err->code = ERR_DATA;
    }
    for (size_t i = 0; ok && i < g->values.n; i++)
        if (g->values.at[i].kind == VALUE_PARAM || g->values.at[i].kind == VALUE_BUFFER)
            ok = check_tensor(w, &g->values.at[i], model->name, classes, err);
    ok = ok && check_foreign(w, g, model->name, err);
    graph_free(g);
    if (!ok)
        weights_close(w);
    return ok;
}

void weights_close(struct weights *w)
{
    st_close(w->file);
    *w = (struct weights){0};
}

bool weights_tensor(void *arg, const char *name, const struct shape *shape, float *out,
                    struct error *err)
{
    const struct weights *w = arg;
    const struct st_tensor *t = st_find(w->file, name);

    if (!t || !same_shape(t, shape) || !st_to_float(t, out))
        return err_set(err, ERR_DATA, "%s: tensor %s does not fit", w->role, name);
    return true;
}

void weights_sha256(const struct weights *w, char hex[SHA256_HEX])
{
    VEC(struct st_tensor) used = {0};

    for (size_t i = 0; i < st_tensors(w->file); i++)
        if (!is_counter(st_at(w->file, i)->name))
            vec_push(&used, *st_at(w->file, i));
    st_tensors_sha256(used.at, used.n, hex);
    vec_free(&used);
}
