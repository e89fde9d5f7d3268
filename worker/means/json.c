#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/means/means.h"

enum {
    MAX_BYTES = 256 << 20,
    MAX_CLASSES = 1 << 20
};
static const char unverified[] = "unverified";

/* As Python writes a float of 4 decimals: no zeros at the end but one. */
static void add_number(struct buf *b, double v)
{
    double rounded = nearbyint(v * 1e4) / 1e4;

    js_write_real(rounded == 0 ? 0 : rounded, b);
}

bool means_save_json(const struct class_means *m, const char *path, struct error *err)
{
    struct buf b = buf_new(0);
    bool ok;

    buf_str(&b, "{\n");
    for (int c = 0; c < m->classes; c++) {
        buf_fmt(&b, "    \"%d\": [\n", c);
        for (int i = 0; i < m->width; i++) {
            buf_str(&b, "        ");
            add_number(&b, m->mean[(size_t)c * (size_t)m->width + (size_t)i]);
            buf_str(&b, i + 1 < m->width ? ",\n" : "\n");
        }
        buf_str(&b, c + 1 < m->classes ? "    ],\n" : "    ]\n");
    }
    buf_str(&b, "}");
    ok = file_replace(path, buf_text(&b), b.len, 0644, err);
    buf_free(&b);
    return ok || err_wrap(err, "saving the class means");
}

static bool read_class(struct class_means *m, const struct json *all, int c, struct error *err)
{
    double *mean = m->mean + (size_t)c * (size_t)m->width;
    const struct json *row;
    char key[16];

    snprintf(key, sizeof(key), "%d", c);
    row = js_get(all, key);
    if (js_kind(row) != JS_ARRAY || js_len(row) != (size_t)m->width)
        return err_set(err, ERR_DATA, "class %d: expected a list of %d numbers, got %s%s", c,
                       m->width, row ? js_kind_name(js_kind(row)) : "none",
                       js_kind(row) == JS_ARRAY ? " of another length" : "");
    for (int i = 0; i < m->width; i++) {
        enum js_kind kind = js_kind(js_at(row, (size_t)i));

        if (kind != JS_REAL && kind != JS_INT)
            return err_set(err, ERR_DATA, "class %d: number %d is %s", c, i, js_kind_name(kind));
        /* The authors' programs read them as float32. */
        mean[i] = (double)(float)js_real(js_at(row, (size_t)i), 0);
    }
    m->counts[c] = 1;
    return means_set_unit(m, c, err);
}

static bool read_classes(struct class_means *m, const struct json *all, struct error *err)
{
    size_t classes = js_len(all), width = js_len(js_get(all, "0")), n = classes * width;

    if (js_kind(all) != JS_OBJECT || !classes || classes > MAX_CLASSES || !width ||
        width > MAX_CLASSES || n > MAX_BYTES / 2)
        return err_set(err, ERR_DATA,
                       "expected an object of class numbers from \"0\" on, each with a list");
    m->classes = (int)classes;
    m->width = (int)width;
    m->mean = NEW_ARRAY(double, n);
    m->unit = NEW_ARRAY(float, n);
    m->counts = NEW_ARRAY(int64_t, classes);
    for (int c = 0; c < m->classes; c++)
        if (!read_class(m, all, c, err))
            return false;
    return true;
}

bool means_load_json(struct class_means *out, const char *path, struct error *err)
{
    struct json *all = js_read_file(path, MAX_BYTES, err);
    bool ok;

    *out = (struct class_means){.chunk = 1, .threads = 1, .transform = str_dup(unverified)};
    memcpy(out->teacher_sha256, unverified, sizeof(unverified));
    memcpy(out->data_sha256, unverified, sizeof(unverified));
    memcpy(out->isa, unverified, sizeof(unverified));
    ok = all && read_classes(out, all, err);
    js_free(all);
    if (ok)
        return true;
    err->code = ERR_DATA;
    means_free(out);
    return err_wrap(err, "class means %s", path);
}
