#include "worker/export.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/file.h"
#include "proto/base/str.h"
#include "proto/base/vec.h"
#include "worker/nets.h"
#include "worker/onnx/export.h"
#include "worker/weights.h"

enum {
    MAX_CLASSES = 1 << 20,
    MAX_SIZE = 4096
};

/* What is known of the weights, from the request or else from the file. */
struct facts {
    const struct model_def *model;
    int64_t classes, image_size;
    const char *mean, *std; /* NULL: not known */
};

static bool whole(const struct safetensors *f, const char *key, const char *option, int64_t given,
                  int64_t hi, int64_t *out, struct error *err)
{
    const char *text = st_meta(f, key);

    *out = given;
    if (given || (text && str_int(text, 1, hi, out)))
        return true;
    return err_set(err, ERR_INVALID, "%s does not say its %s; give %s", st_path(f), key, option);
}

static bool find_facts(const struct export_request *r, const struct safetensors *f, struct facts *x,
                       struct error *err)
{
    const char *model = r->model ? r->model : st_meta(f, "model");

    if (!model)
        return err_set(err, ERR_INVALID, "%s does not say its model; give --model", st_path(f));
    x->model = model_find(model, err);
    x->mean = r->mean ? r->mean : st_meta(f, "mean");
    x->std = r->std ? r->std : st_meta(f, "std");
    return x->model &&
           whole(f, "classes", "--classes", r->classes, MAX_CLASSES, &x->classes, err) &&
           whole(f, "image_size", "--size", r->image_size, MAX_SIZE, &x->image_size, err);
}

struct properties {
    VEC(struct onnx_property) list;
};

static void add(struct properties *p, const char *key, const char *value)
{
    if (value && *value)
        vec_push(&p->list, (struct onnx_property){key, value});
}

static void add_number(struct properties *p, const char *key, int64_t value, char text[24])
{
    snprintf(text, 24, "%" PRId64, value);
    add(p, key, text);
}

static bool write_model(const struct graph *g, const struct facts *x, const struct weights *w,
                        const char *out, struct error *err)
{
    static const char *const outputs[] = {"logits", "features", NULL};
    static const char *const copied[] = {"class_numbers", "spec_sha256", "data_sha256",
                                         "teacher_sha256"};
    char classes[24], size[24], hex[SHA256_HEX];
    struct onnx_labels labels = {.graph_name = x->model->name, .outputs = outputs};
    struct properties p = {0};
    struct buf file = buf_new(0);
    bool ok;

    weights_sha256(w, hex);
    add(&p, "model", x->model->name);
    add_number(&p, "classes", x->classes, classes);
    add_number(&p, "image_size", x->image_size, size);
    add(&p, "image", "RGB, [batch,3,height,width], (pixel / 255 - mean) / std by channel");
    add(&p, "mean", x->mean);
    add(&p, "std", x->std);
    add(&p, "weights_sha256", hex);
    for (size_t i = 0; i < ARRAY_LEN(copied); i++)
        add(&p, copied[i], tensor_file_meta(w->file, copied[i]));
    labels.properties = p.list.at;
    labels.n_properties = p.list.n;
    ok = onnx_export(g, &labels, &file, err) &&
         file_replace(out, buf_text(&file), file.len, 0644, err);
    buf_free(&file);
    vec_free(&p.list);
    return ok;
}

static bool export_facts(const struct facts *x, const char *path, const char *out,
                         struct error *err)
{
    struct weights w;
    struct graph *g;
    float *values = NULL;
    bool ok;

    if (!weights_open(&w, "weights", path, x->model, x->image_size, x->classes, err))
        return false;
    g = nets_inference_graph(x->model, 1, x->image_size, x->classes, false);
    graph_rename(g, graph_find(g, "images"), "image");
    ok = nets_set_constants(g, weights_tensor, &w, &values, err) && write_model(g, x, &w, out, err);
    graph_free(g);
    free(values);
    weights_close(&w);
    return ok;
}

bool export_onnx(const struct export_request *r, struct error *err)
{
    struct safetensors *f = st_open(r->weights, err);
    struct facts x;
    bool ok = f && find_facts(r, f, &x, err) && export_facts(&x, r->weights, r->out, err);

    st_close(f);
    return ok || err_wrap(err, "exporting %s", r->weights);
}
