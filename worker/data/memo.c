#include "worker/data/memo.h"

#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/str.h"
#include "worker/data/source.h"

enum {
    FORMAT = 3, /* of the entry, of what dataset_sha256 covers and what a selection means */
    MAX_BYTES = 64 << 20,
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

/* Everything that decides the finding but the content itself. */
static struct json *circumstances(const struct dataset *d, const char *what)
{
    struct json *j = js_new_object(), *files = js_new_array();

    for (size_t i = 0; i < d->files.n; i++)
        js_push(files, stamp_json(&d->files.at[i]));
    js_set(j, "format", js_new_int(FORMAT));
    js_set(j, "what", js_new_string(what));
    js_set(j, "selection", js_new_string(d->selection));
    js_set(j, "files", files);
    js_set(j, "listing", js_new_string(d->listing));
    return j;
}

static bool settled(const struct dataset *d)
{
    int64_t newest = d->newest_ns;

    for (size_t i = 0; i < d->files.n; i++)
        if (d->files.at[i].map.stamp.changed_ns > newest)
            newest = d->files.at[i].map.stamp.changed_ns;
    return newest / 1000000 <= (int64_t)clock_wall_ms() - SETTLED_MS;
}

/* Guards the entry against damage: of circumstances and finding together. */
static void check_of(const struct json *about, const struct json *found, char check[SHA256_HEX])
{
    char *a = js_text(about, JS_COMPACT | JS_SORTED), *f = js_text(found, JS_COMPACT | JS_SORTED);
    char *both = str_fmt("%s %s", a, f);

    sha256_of(both, strlen(both), check);
    free(both);
    free(f);
    free(a);
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

static struct places places_of(const struct dataset *d, const char *cache, const char *what)
{
    char *here = str_fmt("%s %s", what, d->selection);
    char *whole = str_fmt("%s %s", here, d->folder);
    struct places p;

    add_place(&p, 0, str_fmt("%s/.distilld", d->folder), here);
    add_place(&p, 1, str_fmt("%s/data", cache), whole);
    free(whole);
    free(here);
    return p;
}

static void places_free(struct places *p)
{
    for (int k = 0; k < 2; k++) {
        free(p->folder[k]);
        free(p->path[k]);
    }
}

static struct json *recall(const char *path, const struct json *about)
{
    struct json *j = file_exists(path) ? js_read_file(path, MAX_BYTES, NULL) : NULL, *found;
    char check[SHA256_HEX];

    found = js_get(j, "found") ? js_copy(js_get(j, "found")) : NULL;
    if (found) {
        check_of(about, found, check);
        if (strcmp(js_string(js_get(j, "check"), ""), check) != 0) {
            js_free(found);
            found = NULL;
        }
    }
    js_free(j);
    return found;
}

struct json *memo_recall(const struct dataset *d, const char *cache, const char *what)
{
    struct json *about, *found;
    struct places p;

    if (!d->folder)
        return NULL;
    about = circumstances(d, what);
    p = places_of(d, cache, what);
    found = recall(p.path[0], about);
    if (!found) {
        found = recall(p.path[1], about);
        file_touch(p.path[1]); /* what is not used for long may be removed */
    }
    places_free(&p);
    js_free(about);
    return found;
}

/* A link in the place of the folder would lead out of where reading has to stay. */
static bool is_folder(const char *path)
{
    struct file_stamp stamp;
    enum file_kind kind;

    return file_look(path, &stamp, &kind, NULL) && kind == FILE_FOLDER;
}

static bool keep(const char *folder, const char *path, const char *text)
{
    return file_make_dirs(folder, 0755, NULL) && is_folder(folder) &&
           file_replace(path, text, strlen(text), 0644, NULL);
}

void memo_keep(const struct dataset *d, const char *cache, const char *what,
               const struct json *found)
{
    struct json *j, *about;
    char check[SHA256_HEX], *text;
    struct places p;

    if (!d->folder || !settled(d))
        return;
    about = circumstances(d, what);
    check_of(about, found, check);
    j = js_new_object();
    js_set(j, "about", about);
    js_set(j, "found", js_copy(found));
    js_set(j, "check", js_new_string(check));
    text = js_text(j, JS_INDENT);
    p = places_of(d, cache, what);
    if (!keep(p.folder[0], p.path[0], text))
        keep(p.folder[1], p.path[1], text);
    places_free(&p);
    free(text);
    js_free(j);
}
