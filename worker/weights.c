#include "worker/weights.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"
#include "worker/job_models.h"
#include "worker/nets.h"

/* PyTorch counts batches in every batch norm; the count has no use here. */
static bool is_counter(const char *name)
{
    return str_ends(name, ".num_batches_tracked");
}

/* How files of the paper's authors, of mdistiller and of PyTorch's wrappers differ (paper.md 3.3): what
 * stands in front of a name, what is there besides the network, and layers that are called otherwise. */
static const char *const prefixes[] = {"module.", "student."};
static const char *const extras[] = {"fc1.", "abfs."};
static const struct {
    const char *theirs, *ours;
} synonyms[] = {{"bn.", "bn1."}, {"bn1.", "bn."}, {"linear.", "fc."}, {"fc.", "linear."}};

static bool is_loaded(const struct value *v)
{
    return v->kind == VALUE_PARAM || v->kind == VALUE_BUFFER;
}

static bool knows(const struct graph *g, const char *name)
{
    value_id v = graph_find(g, name);

    return v != NO_VALUE && is_loaded(&g->values.at[v]);
}

static const char *without_prefixes(const struct graph *g, const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (str_starts(name, prefixes[i]) && !knows(g, name))
            name += strlen(prefixes[i]);
    return name;
}

/* The model's name for a tensor of the file; as it is when the model has none. */
static char *our_name(const struct graph *g, const char *name)
{
    name = without_prefixes(g, name);
    for (size_t i = 0; i < ARRAY_LEN(synonyms) && !knows(g, name); i++)
        if (str_starts(name, synonyms[i].theirs)) {
            char *other = str_fmt("%s%s", synonyms[i].ours, name + strlen(synonyms[i].theirs));

            if (knows(g, other))
                return other;
            free(other);
        }
    return str_dup(name);
}

static bool is_extra(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(extras); i++)
        if (str_starts(name, extras[i]))
            return true;
    return is_counter(name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct st_tensor *)a)->name, ((const struct st_tensor *)b)->name);
}

static const struct st_tensor *find(const struct weights *w, const char *name)
{
    const struct st_tensor key = {.name = name};

    return w->list.n ? bsearch(&key, w->list.at, w->list.n, sizeof(key), by_name) : NULL;
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
    const struct st_tensor *t = find(w, v->name);
    char want[SHAPE_TEXT], *got;

    if (!t)
        return err_set(err, ERR_DATA, "%s: %s has no tensor %s; is it a %s?", w->role,
                       tensor_file_path(w->file), v->name, model);
    if (same_shape(t, &v->shape) && t->dtype <= ST_BF16)
        return true;
    got = st_describe(t);
    err_set(err, ERR_DATA, "%s: %s: tensor %s is %s; %s with %" PRId64 " classes needs %s", w->role,
            tensor_file_path(w->file), v->name, got, model, classes, shape_text(&v->shape, want));
    free(got);
    return false;
}

static bool check_foreign(const struct weights *w, const struct graph *g, const char *model,
                          struct error *err)
{
    for (size_t i = 0; i < w->list.n; i++)
        if (!knows(g, w->list.at[i].name))
            return err_set(err, ERR_DATA,
                           "%s: %s has a tensor %s, which %s does not have; is it another model?",
                           w->role, tensor_file_path(w->file), w->list.at[i].name, model);
    return true;
}

/* The file's tensors under our names. */
static bool list_tensors(struct weights *w, const struct graph *g, struct error *err)
{
    size_t n;
    const struct st_tensor *tensors = tensor_file_tensors(w->file, &n);

    for (size_t i = 0; i < n; i++) {
        struct st_tensor t = tensors[i];
        char *name = our_name(g, t.name);

        if (is_extra(name) && !knows(g, name)) {
            free(name);
            continue;
        }
        t.name = name;
        vec_push(&w->list, t);
    }
    if (w->list.n)
        qsort(w->list.at, w->list.n, sizeof(*w->list.at), by_name);
    for (size_t i = 1; i < w->list.n; i++)
        if (by_name(&w->list.at[i - 1], &w->list.at[i]) == 0)
            return err_set(err, ERR_DATA, "%s: %s has two tensors for %s", w->role,
                           tensor_file_path(w->file), w->list.at[i].name);
    return true;
}

/* A graph that came from a file is part of what the weights mean; beside its parameters it has constants,
 * which are no foreign tensors. */
static bool check_all(struct weights *w, const struct graph *g, const struct model_def *model,
                      int64_t image_size, int64_t classes, struct error *err)
{
    if (!list_tensors(w, g, err))
        return false;
    for (size_t i = 0; i < g->values.n; i++)
        if (is_loaded(&g->values.at[i]) &&
            !check_tensor(w, &g->values.at[i], model->name, classes, err))
            return false;
    w->structure = job_model_structure(model, image_size, classes);
    return w->structure || check_foreign(w, g, model->name, err);
}

bool weights_open(struct weights *w, const char *role, const char *path,
                  const struct model_def *model, int64_t image_size, int64_t classes,
                  struct error *err)
{
    struct graph *g = nets_inference_graph(model, 1, image_size, classes, false);
    bool ok;

    *w = (struct weights){.role = role, .file = tensor_file_open(path, err)};
    if (!w->file) {
        err_wrap(err, "%s", role);
        err->code = ERR_DATA;
    }
    ok = w->file && graph_ok(g, err) && check_all(w, g, model, image_size, classes, err);
    graph_free(g);
    if (!ok)
        weights_close(w);
    return ok;
}

void weights_close(struct weights *w)
{
    for (size_t i = 0; i < w->list.n; i++)
        free((char *)(uintptr_t)w->list.at[i].name);
    vec_free(&w->list);
    tensor_file_close(w->file);
    free(w->structure);
    *w = (struct weights){0};
}

bool weights_tensor(void *arg, const char *name, const struct shape *shape, float *out,
                    struct error *err)
{
    const struct weights *w = arg;
    const struct st_tensor *t = find(w, name);

    if (!t || !same_shape(t, shape) || !st_to_float(t, out))
        return err_set(err, ERR_DATA, "%s: tensor %s does not fit", w->role, name);
    return true;
}

void weights_sha256(const struct weights *w, char hex[SHA256_HEX])
{
    struct sha256 *sum;

    st_tensors_sha256(w->list.at, w->list.n, hex);
    if (!w->structure)
        return;
    sum = sha256_new();
    sha256_add(sum, hex, SHA256_HEX);
    sha256_add(sum, w->structure, strlen(w->structure));
    sha256_end(sum, hex);
}
