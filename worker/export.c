#include "worker/export.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/str.h"
#include "proto/base/table.h"
#include "proto/base/vec.h"
#include "worker/job_models.h"
#include "worker/means/means.h"
#include "worker/nets.h"
#include "worker/onnx/export.h"
#include "worker/weights.h"

enum {
    MAX_CLASSES = 1 << 20,
    MAX_SIZE = 4096
};

/* The model that is exported, as the request says or else the file. */
struct exported {
    const char *model;
    int64_t classes, image_size;
    const char *mean, *std; /* NULL: not known */
};

static bool whole(const struct tensor_file *f, const char *key, const char *option, int64_t given,
                  int64_t hi, int64_t *out, struct error *err)
{
    const char *text = tensor_file_meta(f, key);

    *out = given;
    if (given || (text && str_int(text, 1, hi, out)))
        return true;
    return err_set(err, ERR_INVALID, "%s does not say its %s; give %s", tensor_file_path(f), key,
                   option);
}

static bool is_onnx(const struct tensor_file *f)
{
    return strcmp(tensor_file_format(f), "onnx") == 0;
}

static const char *either(const char *given, const struct tensor_file *f, const char *key)
{
    return given ? given : tensor_file_meta(f, key);
}

/* A file with a graph is its own model, whatever it was made from. */
static const char *model_of(const struct export_request *r, const struct tensor_file *f)
{
    return !r->model && is_onnx(f) ? "onnx" : either(r->model, f, "model");
}

static bool find_facts(const struct export_request *r, const struct tensor_file *f,
                       struct exported *x, struct error *err)
{
    x->model = model_of(r, f);
    if (!x->model)
        return err_set(err, ERR_INVALID, "%s does not say its model; give --model",
                       tensor_file_path(f));
    x->mean = either(r->mean, f, "mean");
    x->std = either(r->std, f, "std");
    return whole(f, "classes", "--classes", r->classes, MAX_CLASSES, &x->classes, err) &&
           whole(f, "image_size", "--size", r->image_size, MAX_SIZE, &x->image_size, err);
}

/* Texts about the weights; what is not known is left out. */
struct notes {
    VEC(struct st_meta) list;
    char classes[24], size[24], sha256[SHA256_HEX];
};

static void note(struct notes *n, const char *key, const char *value)
{
    if (value && *value)
        vec_push(&n->list, (struct st_meta){key, value});
}

static void take_notes(struct notes *n, const struct exported *x, const struct weights *w)
{
    static const char *const copied[] = {"class_numbers", "spec_sha256", "data_sha256",
                                         "teacher_sha256"};

    weights_sha256(w, n->sha256);
    snprintf(n->classes, sizeof(n->classes), "%" PRId64, x->classes);
    snprintf(n->size, sizeof(n->size), "%" PRId64, x->image_size);
    note(n, "model", x->model);
    note(n, "classes", n->classes);
    note(n, "image_size", n->size);
    note(n, "image", "RGB, [batch,3,height,width], (pixel / 255 - mean) / std by channel");
    note(n, "mean", x->mean);
    note(n, "std", x->std);
    note(n, "weights_sha256", n->sha256);
    for (size_t i = 0; i < ARRAY_LEN(copied); i++)
        note(n, copied[i], tensor_file_meta(w->file, copied[i]));
}

/* A model with its weights, as the formats get it. */
struct content {
    struct graph *g; /* inference form, parameters open */
    struct weights *w;
    const struct exported *facts;
    struct notes notes;
};

static bool write_onnx(struct content *c, const char *out, struct error *err)
{
    static const char *const outputs[] = {"logits", "features", NULL};
    const struct onnx_labels labels = {.graph_name = c->facts->model,
                                       .outputs = outputs,
                                       .properties = c->notes.list.at,
                                       .n_properties = c->notes.list.n};
    struct buf file = buf_new(0);
    float *values = NULL;
    bool ok;

    graph_rename(c->g, graph_find(c->g, "images"), "image");
    ok = nets_set_constants(c->g, weights_tensor, c->w, &values, err) &&
         onnx_export(c->g, &labels, &file, err) &&
         file_replace(out, buf_text(&file), file.len, 0644, err);
    buf_free(&file);
    free(values);
    return ok;
}

/* Tensors as the file has them, and for each batch norm the counter that PyTorch expects. */
static bool write_safetensors(struct content *c, const char *out, struct error *err)
{
    static const char mean[] = ".running_mean";
    static const int64_t none = 0;
    VEC(struct st_tensor) list = {0};
    VEC(char *) counters = {0};
    bool ok;

    for (size_t i = 0; i < c->w->list.n; i++) {
        const char *name = c->w->list.at[i].name;

        vec_push(&list, c->w->list.at[i]);
        if (!str_ends(name, mean))
            continue;
        vec_push(&counters,
                 str_fmt("%.*s.num_batches_tracked", (int)(strlen(name) - strlen(mean)), name));
        vec_push(&list, (struct st_tensor){.name = counters.at[counters.n - 1],
                                           .dtype = ST_I64,
                                           .data = &none,
                                           .bytes = sizeof(none)});
    }
    note(&c->notes, "format", "pt");
    ok = st_write(out, list.at, list.n, c->notes.list.at, c->notes.list.n, NULL, err);
    for (size_t i = 0; i < counters.n; i++)
        free(counters.at[i]);
    vec_free(&counters);
    vec_free(&list);
    return ok;
}

static bool export_content(const struct export_request *r, const struct exported *x,
                           const struct model_def *def, struct error *err);

static bool export_model(const struct export_request *r, struct error *err)
{
    struct tensor_file *f = tensor_file_open(r->from, err);
    struct model_request request = {
        .pointer = "#", .graph = r->graph ? r->graph : r->from, .features = r->features};
    struct job_model *m = NULL;
    struct exported x = {0};
    bool ok = f && find_facts(r, f, &x, err);

    if (ok) {
        request.model = x.model;
        if (!r->graph && !is_onnx(f))
            request.graph = NULL;
        m = job_model_open(&request, err);
        ok = m && export_content(r, &x, job_model_def(m), err);
    }
    job_model_close(m);
    tensor_file_close(f);
    return ok;
}

static bool export_means(const struct export_request *r, struct error *err)
{
    struct class_means m;
    bool ok;

    if (!means_load(&m, r->from, err))
        return false;
    ok = means_save_json(&m, r->out, err);
    means_free(&m);
    return ok;
}

struct export_format {
    const char *name;
    const char *source, *target;
    bool (*run)(const struct export_request *r, struct error *err);
    bool (*write)(struct content *c, const char *out, struct error *err); /* for export_model */
};

static const struct export_format formats[] = {
    {"onnx", "student.safetensors", "student.onnx", export_model, write_onnx},
    {"safetensors", "student.safetensors", "exported.safetensors", export_model, write_safetensors},
    {"json", "class_means.safetensors", "center_emb_train.json", export_means, NULL},
};

static bool export_content(const struct export_request *r, const struct exported *x,
                           const struct model_def *def, struct error *err)
{
    struct weights w;
    struct content c = {.w = &w, .facts = x};
    bool ok;

    if (!weights_open(&w, "weights", r->from, def, x->image_size, x->classes, err))
        return false;
    c.g = nets_inference_graph(def, 1, x->image_size, x->classes, false);
    take_notes(&c.notes, x, &w);
    ok = r->format->write(&c, r->out, err);
    vec_free(&c.notes.list);
    graph_free(c.g);
    weights_close(&w);
    return ok;
}

const struct export_format *export_format(const char *name, struct error *err)
{
    const struct export_format *f = table_find(TABLE(formats), name);

    if (!f)
        table_unknown(TABLE(formats), "format", name, err);
    return f;
}

const char *export_source(const struct export_format *f)
{
    return f->source;
}

char *export_target(const struct export_format *f, const char *from)
{
    const char *slash = strrchr(from, '/');

    return str_fmt("%.*s%s", slash ? (int)(slash - from + 1) : 0, from, f->target);
}

bool export_file(const struct export_request *r, struct error *err)
{
    return r->format->run(r, err) || err_wrap(err, "exporting %s", r->from);
}
