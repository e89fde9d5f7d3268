#include "worker/tensor_file.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/ckpt/pth.h"
#include "worker/ckpt/zip.h"
#include "worker/onnx/model.h"

struct format {
    const char *name;
    bool (*looks)(const void *data, size_t len);
    void *(*open)(const void *data, size_t len, const char *name, struct error *err);
    void (*close)(void *file);
    const struct st_tensor *(*tensors)(const void *file, size_t *n);
    const char *(*meta)(const void *file, const char *key);
};

struct tensor_file {
    const struct format *format;
    char *path;
    struct file_map map;
    void *opened;
};

static void *open_pth(const void *data, size_t len, const char *name, struct error *err)
{
    return pth_open_memory(data, len, name, err);
}

static void close_pth(void *file)
{
    pth_close(file);
}

static const struct st_tensor *pth_list(const void *file, size_t *n)
{
    return pth_tensors(file, n);
}

static const char *no_meta(const void *file, const char *key)
{
    (void)file;
    (void)key;
    return NULL;
}

/* What torch.save wrote before PyTorch 1.6: a pickle that begins with a certain number. */
static bool looks_old(const void *data, size_t len)
{
    return len > 4 && memcmp(data, "\x80\x02\x8a\x0a", 4) == 0;
}

static void *refuse_old(const void *data, size_t len, const char *name, struct error *err)
{
    (void)data;
    (void)len;
    err_set(err, ERR_UNSUPPORTED,
            "%s has the form of PyTorch before 1.6; load it and save it again with a newer one",
            name);
    return NULL;
}

static bool looks_onnx(const void *data, size_t len)
{
    /* Eight bytes of length and a JSON object could begin like a file of ONNX. */
    return onnx_looks(data, len) && !(len > 8 && ((const char *)data)[8] == '{');
}

static void *open_onnx(const void *data, size_t len, const char *name, struct error *err)
{
    const struct onnx_options options = {0};

    return onnx_open_memory(data, len, name, &options, err);
}

static void close_onnx(void *file)
{
    onnx_close(file);
}

static const struct st_tensor *onnx_list(const void *file, size_t *n)
{
    return onnx_tensors(file, n);
}

static const char *onnx_meta(const void *file, const char *key)
{
    return onnx_property(file, key);
}

/* A safetensors file has the length of its header first, and then an object. */
static bool looks_unknown(const void *data, size_t len)
{
    return len > 8 && ((const char *)data)[8] != '{';
}

static void *refuse_unknown(const void *data, size_t len, const char *name, struct error *err)
{
    (void)data;
    (void)len;
    err_set(err, ERR_DATA, "%s is neither safetensors, nor a .pth in zip form, nor ONNX", name);
    return NULL;
}

static bool looks_anything(const void *data, size_t len)
{
    (void)data;
    (void)len;
    return true;
}

static void *open_st(const void *data, size_t len, const char *name, struct error *err)
{
    return st_open_memory(data, len, name, err);
}

static void close_st(void *file)
{
    st_close(file);
}

static const struct st_tensor *st_list(const void *file, size_t *n)
{
    *n = st_tensors(file);
    return *n ? st_at(file, 0) : NULL;
}

static const char *meta_st(const void *file, const char *key)
{
    return st_meta(file, key);
}

/* The first that fits. One that is too short for anything is a damaged safetensors file to those who read
 * the message. */
static const struct format formats[] = {
    {"pth", zip_looks, open_pth, close_pth, pth_list, no_meta},
    {"pth", looks_old, refuse_old, NULL, NULL, NULL},
    {"onnx", looks_onnx, open_onnx, close_onnx, onnx_list, onnx_meta},
    {"unknown", looks_unknown, refuse_unknown, NULL, NULL, NULL},
    {"safetensors", looks_anything, open_st, close_st, st_list, meta_st},
};

struct tensor_file *tensor_file_open(const char *path, struct error *err)
{
    struct tensor_file *f = NEW(struct tensor_file);

    f->path = str_dup(path);
    f->format = formats;
    if (file_map(&f->map, path, err)) {
        while (!f->format->looks(f->map.data, f->map.len))
            f->format++;
        f->opened = f->format->open(f->map.data, f->map.len, path, err);
    } else if (err->code == ERR_NOT_FOUND) {
        err->code = ERR_DATA;
    }
    if (f->opened)
        return f;
    tensor_file_close(f);
    return NULL;
}

void tensor_file_close(struct tensor_file *f)
{
    if (!f)
        return;
    if (f->opened)
        f->format->close(f->opened);
    file_unmap(&f->map);
    free(f->path);
    free(f);
}

const char *tensor_file_path(const struct tensor_file *f)
{
    return f->path;
}

const char *tensor_file_format(const struct tensor_file *f)
{
    return f->format->name;
}

const struct st_tensor *tensor_file_tensors(const struct tensor_file *f, size_t *n)
{
    return f->format->tensors(f->opened, n);
}

const char *tensor_file_meta(const struct tensor_file *f, const char *key)
{
    return f->format->meta(f->opened, key);
}
