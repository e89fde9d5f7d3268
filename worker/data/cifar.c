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

/* Record i of the file; true also for one that is left out. */
static bool add_record(struct dataset *d, const struct layout *layout, const uint8_t *record,
                       size_t i, const char *path, struct error *err)
{
    const uint8_t *pixels = record + layout->label_bytes;

    if (pixels[-1] >= layout->classes)
        return source_corrupt(d, 1, err, "%s: record %zu: expected a label of 0 to %d, got %d",
                              path, i, layout->classes - 1, pixels[-1]);
    vec_push(&d->images, (struct image){.data = pixels, .label = pixels[-1]});
    return true;
}

static bool add_records(struct dataset *d, const struct layout *layout, struct file_map file,
                        const char *path, struct error *err)
{
    static const char sizes[] =
        "%s: expected whole records of %zu bytes, got %zu bytes (%zu records and %zu bytes)";
    size_t record = layout->label_bytes + PIXELS, n = file.len / record, rest = file.len % record;
    bool ok = true;

    if (!n)
        return err_set(err, ERR_DATA, sizes, path, record, file.len, n, rest);
    if (rest && !source_corrupt(d, 1, err, sizes, path, record, file.len, n, rest))
        return false;
    vec_reserve(&d->images, d->images.n + n);
    for (size_t i = 0; ok && i < n; i++)
        ok = add_record(d, layout, file.data + i * record, i, path, err);
    return ok;
}

static bool open_split(struct dataset *d, const struct layout *layout, const char *dir,
                       enum split split, struct error *err)
{
    bool ok = true;

    d->classes = layout->classes;
    d->size = SIDE;
    for (const char *const *name = layout->files[split]; ok && *name; name++) {
        const struct file_map *file = source_map(d, dir, *name, err);
        char *path = str_path(dir, *name);

        ok = file && add_records(d, layout, *file, path, err);
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
