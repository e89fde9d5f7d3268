#include "worker/describe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/weights.h"

enum {
    MAX_CLASSES = 1 << 20,
    MAX_SIZE = 4096
};

/* Formats by how their files begin. A safetensors file has the length of its header first, and then an
 * object. */
static const struct format {
    const char *name;
    size_t at;
    const char *bytes;
} formats[] = {
    {"safetensors", 8, "{"},
    {"pth", 0, "PK\x03\x04"},
    {"onnx", 0, "\x08"}, /* ir_version, the first field of a ModelProto */
};

static const struct format *format_of(const struct file_map *m)
{
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        size_t n = strlen(formats[i].bytes);

        if (m->len >= formats[i].at + n &&
            memcmp(m->data + formats[i].at, formats[i].bytes, n) == 0)
            return &formats[i];
    }
    return NULL;
}

static const char *find_format(const char *path, struct error *err)
{
    const struct format *f;
    struct file_map m;

    if (!file_map(&m, path, err))
        return NULL;
    f = format_of(&m);
    file_unmap(&m);
    if (!f)
        err_set(err, ERR_DATA, "%s is neither safetensors, nor a .pth in zip form, nor ONNX", path);
    return f ? f->name : NULL;
}

/* What is known of the file, as text; NULL: it is not. */
struct facts {
    const char *model, *classes, *image_size, *mean, *std;
};

/* What the file says, which what was said must not contradict; or what was said. */
static bool join(const char **fact, const struct safetensors *f, const char *key, const char *said,
                 struct error *err)
{
    const char *own = f ? st_meta(f, key) : NULL;

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

static bool check_tensors(const char *path, const struct facts *x, struct error *err)
{
    const struct model_def *model = x->model ? model_find(x->model, err) : NULL;
    struct weights w = {0};
    int64_t classes, size;
    bool ok;

    if (x->model && !model)
        return false;
    if (!model || !x->classes || !str_int(x->classes, 1, MAX_CLASSES, &classes) || !x->image_size ||
        !str_int(x->image_size, 1, MAX_SIZE, &size))
        return true;
    ok = weights_open(&w, "weights", path, model, size, classes, err);
    weights_close(&w);
    return ok;
}

static struct json *facts_json(const char *format, const struct facts *x,
                               const struct safetensors *f)
{
    struct json *j = js_new_object();
    char hex[SHA256_HEX] = "";

    if (f)
        weights_sha256(&(struct weights){.file = (struct safetensors *)(uintptr_t)f}, hex);
    js_set(j, "format", js_new_string(format));
    js_set(j, "architecture", text_or_null(x->model));
    js_set(j, "classes", number(x->classes, MAX_CLASSES));
    js_set(j, "class_numbers", numbers(f ? st_meta(f, "class_numbers") : NULL));
    js_set(j, "image_size", number(x->image_size, MAX_SIZE));
    js_set(j, "mean", numbers(x->mean));
    js_set(j, "std", numbers(x->std));
    js_set(j, "data_sha256", text_or_null(f ? st_meta(f, "data_sha256") : NULL));
    js_set(j, "teacher_sha256", text_or_null(f ? st_meta(f, "teacher_sha256") : NULL));
    js_set(j, "tensors_sha256", text_or_null(hex));
    return j;
}

static struct json *describe(const struct describe_request *r, const char *format,
                             const struct safetensors *f, struct error *err)
{
    char classes[24], size[24];
    struct facts x;

    snprintf(classes, sizeof(classes), "%" PRId64, r->classes);
    snprintf(size, sizeof(size), "%" PRId64, r->image_size);
    if (!join(&x.model, f, "model", r->model, err) ||
        !join(&x.classes, f, "classes", r->classes ? classes : NULL, err) ||
        !join(&x.image_size, f, "image_size", r->image_size ? size : NULL, err) ||
        !join(&x.mean, f, "mean", r->mean, err) || !join(&x.std, f, "std", r->std, err) ||
        (f && !check_tensors(r->path, &x, err)))
        return NULL;
    return facts_json(format, &x, f);
}

struct json *describe_weights(const struct describe_request *r, struct error *err)
{
    const char *format = find_format(r->path, err);
    struct safetensors *f = NULL;
    struct json *j;

    if (!format)
        return NULL;
    if (strcmp(format, "safetensors") == 0 && !(f = st_open(r->path, err)))
        return NULL;
    j = describe(r, format, f, err);
    st_close(f);
    return j;
}
