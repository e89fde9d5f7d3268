/* imagefolder:DIR - DIR/train/CLASS and DIR/val/CLASS (or DIR/test/CLASS) hold JPEG and PNG files.
 *
 * A class is a folder of the training set; its number is its place among their names in the order of
 * bytes. Images come in the order of classes, then of names. What begins with a dot is not looked at; any
 * other thing that is no image is a bad record. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/base/pulse.h"
#include "proto/base/str.h"
#include "worker/data/decode.h"
#include "worker/data/source.h"

/* What is in a folder, sorted. */
struct listing {
    char **at;
    size_t n, cap;
};

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void listing_free(struct listing *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->at[i]);
    vec_free(l);
}

static bool list(struct listing *l, const char *path, struct error *err)
{
    int fd = file_open_folder(path, err);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *e;

    if (fd < 0 && err && err->code == ERR_NOT_FOUND)
        err->code = ERR_DATA;
    if (!dir)
        return false;
    while ((e = readdir(dir)) != NULL)
        if (e->d_name[0] != '.')
            vec_push(l, str_dup(e->d_name));
    closedir(dir);
    if (l->n)
        qsort(l->at, l->n, sizeof(*l->at), by_bytes);
    return true;
}

static bool is_folder(const char *dir, const char *name)
{
    char *path = str_path(dir, name);
    enum file_kind kind = FILE_OTHER;
    struct file_stamp stamp;
    bool yes = file_look(path, &stamp, &kind, NULL) && kind == FILE_FOLDER;

    free(path);
    return yes;
}

/* The folders among what is in `path`; something else there is a bad record, where `judged`. */
static bool list_classes(struct dataset *d, struct listing *out, const char *path, bool judged,
                         struct error *err)
{
    struct listing all = {0};
    bool ok = list(&all, path, err);

    for (size_t i = 0; ok && i < all.n; i++)
        if (is_folder(path, all.at[i]))
            vec_push(out, str_dup(all.at[i]));
        else if (judged)
            ok = source_corrupt(d, 1, err, "%s/%s: expected a folder for each class", path,
                                all.at[i]);
    listing_free(&all);
    return ok;
}

/* The training set decides about classes, whichever split is opened. */
static bool name_classes(struct dataset *d, const char *dir, struct error *err)
{
    struct listing classes = {0};
    char *path = str_path(dir, "train");
    bool ok = list_classes(d, &classes, path, false, err);

    if (ok && (!classes.n || classes.n > CLASSES_MAX))
        ok = err_set(err, ERR_DATA, "%s: expected 1 to %d folders, one for each class, got %zu",
                     path, CLASSES_MAX, classes.n);
    for (size_t i = 0; ok && i < classes.n; i++)
        vec_push(&d->class_names, str_dup(classes.at[i]));
    d->classes = (int)classes.n;
    listing_free(&classes);
    free(path);
    return ok;
}

static int32_t label_of(const struct dataset *d, const char *class)
{
    char **found =
        bsearch(&class, d->class_names.at, d->class_names.n, sizeof(*d->class_names.at), by_bytes);

    return found ? (int32_t)(found - d->class_names.at) : -1;
}

static bool is_image(const char *name)
{
    static const char *const ends[] = {".jpg", ".jpeg", ".png"};
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; dot && i < ARRAY_LEN(ends); i++)
        if (strcasecmp(dot, ends[i]) == 0)
            return true;
    return false;
}

static void add_stamp(struct sha256 *sum, const char *name, const struct file_stamp *s)
{
    char *text = str_fmt("%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64, s->size, s->inode,
                         s->modified_ns, s->changed_ns);

    sha256_add(sum, name, strlen(name) + 1);
    sha256_add(sum, text, strlen(text) + 1);
    free(text);
}

/* name: below the folder of the data. */
static bool add_file(struct dataset *d, struct sha256 *sum, const char *name, int32_t label,
                     struct error *err)
{
    char *path = str_path(d->folder, name);
    struct file_stamp stamp;
    enum file_kind kind;
    bool ok = file_look(path, &stamp, &kind, err);

    if (ok && (!is_image(name) || kind != FILE_PLAIN))
        ok = source_corrupt(d, 1, err, "%s: expected a .jpg, .jpeg or .png file", path);
    else if (ok && (stamp.size < 1 || stamp.size > ENCODED_MAX))
        ok = source_corrupt(d, 1, err, "%s: expected 1 to %d bytes, got %" PRId64, path,
                            ENCODED_MAX, stamp.size);
    else if (ok) {
        vec_push(&d->images, (struct image){.name = source_text(d, name),
                                            .len = (uint32_t)stamp.size,
                                            .label = label});
        add_stamp(sum, name, &stamp);
        d->newest_ns = stamp.changed_ns > d->newest_ns ? stamp.changed_ns : d->newest_ns;
    }
    free(path);
    pulse_beat();
    return ok;
}

/* below: "train/CLASS". */
static bool add_class(struct dataset *d, struct sha256 *sum, const char *below, int32_t label,
                      struct error *err)
{
    struct listing files = {0};
    char *path = str_path(d->folder, below);
    bool ok = list(&files, path, err);

    for (size_t i = 0; ok && i < files.n; i++) {
        char *name = str_path(below, files.at[i]);

        ok = add_file(d, sum, name, label, err);
        free(name);
    }
    listing_free(&files);
    free(path);
    return ok;
}

static bool add_classes(struct dataset *d, const char *split, struct error *err)
{
    struct listing classes = {0};
    struct sha256 *sum = sha256_new();
    char *path = str_path(d->folder, split);
    bool ok = list_classes(d, &classes, path, true, err);

    for (size_t i = 0; ok && i < classes.n; i++) {
        char *below = str_path(split, classes.at[i]);
        int32_t label = label_of(d, classes.at[i]);

        ok = label >= 0
                 ? add_class(d, sum, below, label, err)
                 : err_set(err, ERR_DATA, "%s/%s: the training set has no class of that name", path,
                           classes.at[i]);
        free(below);
    }
    sha256_end(sum, d->listing);
    listing_free(&classes);
    free(path);
    return ok;
}

/* The largest file is taken to hold the largest image. */
static void measure(struct dataset *d)
{
    struct buf scratch = buf_new(ENCODED_MAX);
    const struct image *most = d->images.at;
    int width, height;
    const uint8_t *data;
    size_t len;

    for (size_t i = 1; i < d->images.n; i++)
        if (d->images.at[i].len > most->len)
            most = &d->images.at[i];
    if (d->images.n) {
        d->largest.bytes = most->len;
        if (imagefolder_read(d, most, &scratch, &data, &len, NULL) &&
            decode_size(data, len, &width, &height, NULL))
            d->largest.pixels = (int64_t)width * height;
    }
    buf_free(&scratch);
}

bool imagefolder_open(struct dataset *d, const char *dir, enum split split, struct error *err)
{
    const char *folder = split == SPLIT_TRAIN ? "train" : is_folder(dir, "val") ? "val" : "test";

    d->encoded = true;
    d->folder = str_dup(dir);
    if (!name_classes(d, dir, err) || !add_classes(d, folder, err))
        return false;
    measure(d);
    return true;
}

bool imagefolder_read(const struct dataset *d, const struct image *image, struct buf *scratch,
                      const uint8_t **data, size_t *len, struct error *err)
{
    char *path = str_path(d->folder, image->name);
    bool ok;

    buf_reset(scratch);
    ok = file_read(path, scratch, err);
    free(path);
    *data = (const uint8_t *)buf_text(scratch);
    *len = scratch->len;
    if (!ok || *len == image->len)
        return ok;
    return err_set(err, ERR_DATA, "expected the %" PRIu32 " bytes that were there before, got %zu",
                   image->len, *len);
}
