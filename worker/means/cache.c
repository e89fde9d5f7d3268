/* Class means by provenance, so that jobs with the same teacher and data compute them once. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/sha256.h"
#include "proto/base/str.h"
#include "worker/means/means.h"

void means_key(const struct means_provenance *p, char hex[65])
{
    /* As JSON, so that no two provenances give the same text. */
    struct json *j = js_new_object();
    char *text;

    js_set(j, "teacher_sha256", js_new_string(p->teacher_sha256));
    js_set(j, "data_sha256", js_new_string(p->data_sha256));
    js_set(j, "transform", js_new_string(p->transform));
    js_set(j, "isa", js_new_string(p->isa));
    js_set(j, "chunk", js_new_int(p->chunk));
    js_set(j, "threads", js_new_int(p->threads));
    text = js_text(j, JS_SORTED);
    sha256_of(text, strlen(text), hex);
    free(text);
    js_free(j);
}

static struct means_provenance provenance_of(const struct class_means *m)
{
    return (struct means_provenance){
        .teacher_sha256 = m->teacher_sha256,
        .data_sha256 = m->data_sha256,
        .transform = m->transform,
        .isa = m->isa,
        .chunk = m->chunk,
        .threads = m->threads,
    };
}

static char *path_of(const char *dir, const struct means_provenance *p)
{
    char key[65], *name, *path;

    means_key(p, key);
    name = str_fmt("%s.safetensors", key);
    path = str_path(dir, name);
    free(name);
    return path;
}

static bool same(const struct class_means *m, const struct means_provenance *p)
{
    struct means_provenance own = provenance_of(m);
    char own_key[65], key[65];

    means_key(&own, own_key);
    means_key(p, key);
    return strcmp(own_key, key) == 0;
}

bool means_cache_load(const char *dir, const struct means_provenance *p, struct class_means *out,
                      struct error *err)
{
    char *path = path_of(dir, p);
    bool ok = file_exists(path) || err_set(err, ERR_NOT_FOUND, "%s is not there", path);

    *out = (struct class_means){0};
    ok = ok && means_load(out, path, err);
    if (ok && !same(out, p)) {
        ok = err_set(err, ERR_DATA, "class means %s: their provenance is that of another file",
                     path);
        means_free(out);
    }
    if (ok)
        file_touch(path); /* what is not used for long may be removed */
    free(path);
    return ok;
}

bool means_cache_save(const char *dir, const struct class_means *m, struct error *err)
{
    struct means_provenance p = provenance_of(m);
    char *path = path_of(dir, &p);
    bool ok = file_make_dirs(dir, 0755, err) && means_save(m, path, err);

    free(path);
    return ok;
}
