/* The binary versions of CIFAR-10 and CIFAR-100: files of records, each of one or two label bytes and
 * 3 x 32 x 32 pixel bytes. The files are mapped, not read. */
#include <inttypes.h>
#include <stdlib.h>

#include "proto/base/str.h"
#include "worker/data/source.h"

enum {
    SIDE = 32,
    PIXELS = 3 * SIDE * SIDE
};

struct layout {
    int classes;
    size_t label_bytes;      /* the last one counts: in CIFAR-100 a coarse label stands before it */
    const char *files[2][6]; /* of each split, up to NULL */
};

static const struct layout cifar10 = {
    .classes = 10,
    .label_bytes = 1,
    .files = {[SPLIT_TRAIN] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                               "data_batch_4.bin", "data_batch_5.bin"},
              [SPLIT_TEST] = {"test_batch.bin"}},
};
static const struct layout cifar100 = {
    .classes = 100,
    .label_bytes = 2,
    .files = {[SPLIT_TRAIN] = {"train.bin"}, [SPLIT_TEST] = {"test.bin"}},
};

static bool add_records(struct dataset *d, const struct layout *layout, struct file_map file,
                        const char *path, struct error *err)
{
    size_t record = layout->label_bytes + PIXELS;

    if (!file.len || file.len % record)
        return err_set(err, ERR_DATA,
                       "%s: expected whole records of %zu bytes, got %zu bytes (%zu "
                       "records and %zu bytes)",
                       path, record, file.len, file.len / record, file.len % record);
    vec_reserve(&d->images, d->images.n + file.len / record);
    for (size_t at = 0; at < file.len; at += record) {
        const uint8_t *pixels = file.data + at + layout->label_bytes;

        if (pixels[-1] >= layout->classes)
            return err_set(err, ERR_DATA, "%s: record %zu: expected a label of 0 to %d, got %d",
                           path, at / record, layout->classes - 1, pixels[-1]);
        vec_push(&d->images, (struct image){pixels, pixels[-1]});
    }
    return true;
}

static bool open_file(struct dataset *d, const struct layout *layout, const char *path,
                      struct error *err)
{
    struct file_map file;

    if (!file_map(&file, path, err)) {
        if (err && err->code == ERR_NOT_FOUND)
            err->code = ERR_DATA;
        return false;
    }
    vec_push(&d->files, file);
    return add_records(d, layout, file, path, err);
}

static bool open_split(struct dataset *d, const struct layout *layout, const char *dir,
                       enum split split, struct error *err)
{
    bool ok = true;

    d->classes = layout->classes;
    d->size = SIDE;
    for (const char *const *name = layout->files[split]; ok && *name; name++) {
        char *path = str_path(dir, *name);

        ok = open_file(d, layout, path, err);
        free(path);
    }
    return ok;
}

bool cifar10_open(struct dataset *d, const char *dir, enum split split, struct error *err)
{
    return open_split(d, &cifar10, dir, split, err);
}

bool cifar100_open(struct dataset *d, const char *dir, enum split split, struct error *err)
{
    return open_split(d, &cifar100, dir, split, err);
}
