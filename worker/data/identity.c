#include "worker/data/identity.h"

#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/str.h"
#include "worker/data/source.h"

enum {
    FORMAT = 1, /* of the entry, and of what dataset_sha256 covers */
    MAX_BYTES = 1 << 20,
    SETTLED_MS = 2000 /* a file that changed later than that could change again unseen */
};

static struct json *stamp_json(const struct source_file *f)
{
    struct json *j = js_new_object();

    js_set(j, "name", js_new_string(f->name));
    js_set(j, "size", js_new_int(f->map.stamp.size));
    js_set(j, "inode", js_new_int(f->map.stamp.inode));
    js_set(j, "modified_ns", js_new_int(f->map.stamp.modified_ns));
    js_set(j, "changed_ns", js_new_int(f->map.stamp.changed_ns));
    return j;
}

/* Everything that decides the identity but the content itself. */
static struct json *circumstances(const struct dataset *d)
{
    struct json *j = js_new_object(), *files = js_new_array();

    for (size_t i = 0; i < d->files.n; i++)
        js_push(files, stamp_json(&d->files.at[i]));
    js_set(j, "format", js_new_int(FORMAT));
    js_set(j, "selection", js_new_string(d->selection));
    js_set(j, "files", files);
    return j;
}

static bool settled(const struct dataset *d)
{
    int64_t now = clock_wall_ms();

    for (size_t i = 0; i < d->files.n; i++)
        if (d->files.at[i].map.stamp.changed_ns / 1000000 > now - SETTLED_MS)
            return false;
    return true;
}

/* Guards the entry against damage: of circumstances and identity together. */
static void check_of(const struct json *about, const char *hex, char check[SHA256_HEX])
{
    char *text = js_text(about, JS_COMPACT | JS_SORTED), *both = str_fmt("%s %s", text, hex);

    sha256_of(both, strlen(both), check);
    free(both);
    free(text);
}

static bool recall(const char *path, const struct json *about, char hex[SHA256_HEX])
{
    struct json *j = file_exists(path) ? js_read_file(path, MAX_BYTES, NULL) : NULL;
    const char *found = js_string(js_get(j, "data_sha256"), "");
    char check[SHA256_HEX];
    bool ok;

    check_of(about, found, check);
    ok = strcmp(js_string(js_get(j, "check"), ""), check) == 0 && strlen(found) == SHA256_HEX - 1;
    if (ok)
        memcpy(hex, found, SHA256_HEX);
    js_free(j);
    return ok;
}

static bool keep(const char *folder, const char *path, const struct json *about, const char *hex)
{
    struct json *j = js_new_object();
    char check[SHA256_HEX], *text;
    bool ok;

    check_of(about, hex, check);
    js_set(j, "about", js_copy(about));
    js_set(j, "data_sha256", js_new_string(hex));
    js_set(j, "check", js_new_string(check));
    text = js_text(j, JS_INDENT);
    ok = file_make_dirs(folder, 0755, NULL) && file_replace(path, text, strlen(text), 0644, NULL);
    free(text);
    js_free(j);
    return ok;
}

/* Where the entry may be: beside the data, then in the cache, there under the folder's name too. */
struct places {
    char *folder[2], *path[2];
};

static void add_place(struct places *p, int k, char *take_folder, const char *called)
{
    char key[SHA256_HEX];

    sha256_of(called, strlen(called), key);
    p->folder[k] = take_folder;
    p->path[k] = str_fmt("%s/%.16s.json", take_folder, key);
}

static struct places places_of(const struct dataset *d, const char *cache)
{
    char *whole = str_fmt("%s %s", d->selection, d->folder);
    struct places p;

    add_place(&p, 0, str_fmt("%s/.distilld", d->folder), d->selection);
    add_place(&p, 1, str_fmt("%s/data", cache), whole);
    free(whole);
    return p;
}

static void places_free(struct places *p)
{
    for (int k = 0; k < 2; k++) {
        free(p->folder[k]);
        free(p->path[k]);
    }
}

bool identity_of(const struct dataset *d, const char *cache, bool anew, char hex[SHA256_HEX])
{
    struct json *about;
    struct places p;
    bool known = false;

    if (!d->folder) {
        dataset_sha256(d, hex);
        return true;
    }
    about = circumstances(d);
    p = places_of(d, cache);
    for (int k = 0; k < 2 && !anew && !known; k++)
        known = recall(p.path[k], about, hex);
    if (!known) {
        dataset_sha256(d, hex);
        if (settled(d) && !keep(p.folder[0], p.path[0], about, hex))
            keep(p.folder[1], p.path[1], about, hex);
    }
    places_free(&p);
    js_free(about);
    return !known;
}
