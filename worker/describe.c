#include "worker/describe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/job_models.h"
#include "worker/weights.h"

enum {
    MAX_CLASSES = 1 << 20,
    MAX_SIZE = 4096
};

/* What is known of the file, as text; NULL: it is not. */
struct facts {
    const char *model, *classes, *image_size, *mean, *std;
};

/* What the file says, which what was said must not contradict; or what was said. */
static bool join(const char **fact, const struct tensor_file *f, const char *key, const char *said,
                 struct error *err)
{
    const char *own = tensor_file_meta(f, key);

    *fact = own ? own : said;
    return !own || !said || strcmp(own, said) == 0 ||
           err_set(err, ERR_INVALID, "%s: the file says \"%s\", not \"%s\"", key, own, said);
}

static struct json *number(const char *text, int64_t hi)
{
    int64_t n;

    return text && str_int(text, 1, hi, &n) ? js_new_int(n) : js_new_null();
}

/* "1,2,3"; null for anything else. */
static struct json *numbers(const char *text)
{
    char *whole = text ? str_fmt("[%s]", text) : NULL;
    struct json *j = whole ? js_parse(whole, strlen(whole), NULL) : NULL;

    free(whole);
    return j ? j : js_new_null();
}

static struct json *text_or_null(const char *text)
{
    return text && *text ? js_new_string(text) : js_new_null();
}

/* Where all of that is known, the file must hold just this model's tensors; then also their identity. Tensors
 * of a graph that is in another file cannot be judged. */
static bool check_tensors(const char *path, const struct facts *x, bool graph, char hex[SHA256_HEX],
                          struct error *err)
{
    const struct model_request r = {.pointer = "#", .model = x->model, .graph = path};
    struct job_model *model;
    struct weights w = {0};
    int64_t classes, size;
    bool ok = true;

    if (!x->model || (!graph && strcmp(x->model, "onnx") == 0))
        return true;
    model = job_model_open(&r, err);
    if (!model)
        return false;
    if (x->classes && x->image_size && str_int(x->classes, 1, MAX_CLASSES, &classes) &&
        str_int(x->image_size, 1, MAX_SIZE, &size)) {
        ok = weights_open(&w, "weights", path, job_model_def(model), size, classes, err);
        if (ok)
            weights_sha256(&w, hex);
        weights_close(&w);
    }
    job_model_close(model);
    return ok;
}

static struct json *facts_json(const struct facts *x, const struct tensor_file *f, const char *hex)
{
    struct json *j = js_new_object();

    js_set(j, "format", js_new_string(tensor_file_format(f)));
    js_set(j, "architecture", text_or_null(x->model));
    js_set(j, "classes", number(x->classes, MAX_CLASSES));
    js_set(j, "class_numbers", numbers(tensor_file_meta(f, "class_numbers")));
    js_set(j, "image_size", number(x->image_size, MAX_SIZE));
    js_set(j, "mean", numbers(x->mean));
    js_set(j, "std", numbers(x->std));
    js_set(j, "data_sha256", text_or_null(tensor_file_meta(f, "data_sha256")));
    js_set(j, "teacher_sha256", text_or_null(tensor_file_meta(f, "teacher_sha256")));
    js_set(j, "tensors_sha256", text_or_null(hex));
    return j;
}

static struct json *describe(const struct describe_request *r, const struct tensor_file *f,
                             struct error *err)
{
    const bool graph = strcmp(tensor_file_format(f), "onnx") == 0;
    char classes[24], size[24], hex[SHA256_HEX] = "";
    struct facts x;

    snprintf(classes, sizeof(classes), "%" PRId64, r->classes);
    snprintf(size, sizeof(size), "%" PRId64, r->image_size);
    if (!join(&x.classes, f, "classes", r->classes ? classes : NULL, err) ||
        !join(&x.image_size, f, "image_size", r->image_size ? size : NULL, err) ||
        !join(&x.mean, f, "mean", r->mean, err) || !join(&x.std, f, "std", r->std, err))
        return NULL;
    x.model = "onnx"; /* a file with a graph is its own model, whatever it was made from */
    if (!graph && !join(&x.model, f, "model", r->model, err))
        return NULL;
    return check_tensors(r->path, &x, graph, hex, err) ? facts_json(&x, f, hex) : NULL;
}

struct json *describe_weights(const struct describe_request *r, struct error *err)
{
    struct tensor_file *f = tensor_file_open(r->path, err);
    struct json *j = f ? describe(r, f, err) : NULL;

    tensor_file_close(f);
    return j;
}
