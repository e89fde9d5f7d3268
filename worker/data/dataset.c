#include "worker/data/dataset.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/json.h"
#include "proto/base/str.h"
#include "worker/data/source.h"

/* clang-format off */
#define IMAGENET_MEAN {0.485, 0.456, 0.406}
#define IMAGENET_STD {0.229, 0.224, 0.225}
/* clang-format on */

enum {
    TEXT_BLOCK = 64 << 10
};

const struct data_source data_sources[] = {
    {
        .name = "cifar10",
        .rest = "DIR",
        .mean = {0.4914, 0.4822, 0.4465},
        .std = {0.2471, 0.2435, 0.2616},
        .open = cifar10_open,
    },
    {
        .name = "cifar100",
        .rest = "DIR",
        .mean = {0.5071, 0.4867, 0.4408},
        .std = {0.2675, 0.2565, 0.2761},
        .open = cifar100_open,
    },
    {
        .name = "idx",
        .rest = "DIR",
        /* MNIST's, for all its relatives; a job may give others. */
        .mean = {0.1307, 0.1307, 0.1307},
        .std = {0.3081, 0.3081, 0.3081},
        .open = idx_open,
    },
    {
        .name = "imagefolder",
        .rest = "DIR",
        .mean = IMAGENET_MEAN,
        .std = IMAGENET_STD,
        .encoded = true,
        .open = imagefolder_open,
    },
    {
        .name = "procedural",
        .rest = "classes=10,train=4000,test=1000,seed=1",
        .mean = {0.5, 0.5, 0.5},
        .std = {0.25, 0.25, 0.25},
        .open = synthetic_open,
    },
    {
        .name = "shard",
        .rest = "FILE",
        .mean = IMAGENET_MEAN,
        .std = IMAGENET_STD,
        .encoded = true,
        .open = shard_open,
    },
};
const size_t n_data_sources = ARRAY_LEN(data_sources);

const struct data_source *data_source_of(const char *source, struct error *err)
{
    const struct data_source *row;
    size_t n = strcspn(source, ":");
    char *kind;

    if (!source[n]) {
        err_set(err, ERR_INVALID, "expected KIND:DIR as the data source, got \"%s\"", source);
        return NULL;
    }
    kind = str_ndup(source, n);
    row = table_find(TABLE(data_sources), kind);
    if (!row)
        table_unknown(TABLE(data_sources), "kind of data", kind, err);
    free(kind);
    return row;
}

static const char *const split_names[] = {
    [SPLIT_TRAIN] = "train", [SPLIT_TEST] = "test", [SPLIT_VAL] = "val"};

/* The folder aside, which may be known by several names. */
static char *selection_text(const struct dataset_config *cfg, enum split split)
{
    struct json *j = js_new_object(), *classes = js_new_array();
    char *text;

    for (size_t i = 0; i < cfg->n_classes; i++)
        js_push(classes, js_new_int(cfg->classes[i]));
    text = str_ndup(cfg->source, strcspn(cfg->source, ":"));
    js_set(j, "kind", js_new_string(text));
    free(text);
    js_set(j, "split", js_new_string(split_names[split]));
    js_set(j, "classes", classes);
    js_set(j, "train_limit", js_new_int(cfg->train_limit));
    js_set(j, "val_fraction", js_new_real(cfg->val_fraction));
    js_set(j, "skip_corrupt", js_new_bool(cfg->skip_corrupt));
    text = js_text(j, JS_COMPACT | JS_SORTED);
    js_free(j);
    return text;
}

const struct file_map *source_map(struct dataset *d, const char *folder, const char *name,
                                  struct error *err)
{
    char *path = str_path(folder, name);
    struct source_file f = {0};
    bool ok = file_map(&f.map, path, err);

    free(path);
    if (!ok) {
        if (err && err->code == ERR_NOT_FOUND)
            err->code = ERR_DATA;
        return NULL;
    }
    f.name = str_dup(name);
    if (!d->folder)
        d->folder = str_dup(folder);
    vec_push(&d->files, f);
    return &d->files.at[d->files.n - 1].map;
}

const char *source_text(struct dataset *d, const char *s)
{
    const size_t n = strlen(s) + 1, block = n > TEXT_BLOCK ? n : TEXT_BLOCK;
    char *at;

    if (!d->texts.n || n > d->text_left) {
        vec_push(&d->texts, mem_calloc(block, 1));
        d->text_bytes += block;
        d->text_left = d->text_room = block;
    }
    at = d->texts.at[d->texts.n - 1] + d->text_room - d->text_left;
    memcpy(at, s, n);
    d->text_left -= n;
    return at;
}

static void remember(struct dataset *d, const char *why)
{
    for (size_t k = 0; k < SKIPPED_NAMED; k++)
        if (!d->skipped_why[k]) {
            d->skipped_why[k] = str_dup(why);
            return;
        }
}

bool source_corrupt(struct dataset *d, int64_t records, struct error *err, const char *why, ...)
{
    char text[sizeof(err->msg)];
    va_list ap;

    va_start(ap, why);
    vsnprintf(text, sizeof(text), why, ap);
    va_end(ap);
    if (!d->skip_corrupt)
        return err_set(err, ERR_DATA, "%s", text);
    d->skipped += records;
    remember(d, text);
    return true;
}

/* What is no image of the folders of training images is told of with those. */
static void forget_skipped(struct dataset *d)
{
    d->skipped = 0;
    for (size_t k = 0; k < SKIPPED_NAMED; k++) {
        free(d->skipped_why[k]);
        d->skipped_why[k] = NULL;
    }
}

static void free_texts(char *const *texts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(texts[i]);
}

/* new_label[c] becomes the place of class c in the list, or -1. */
static bool relabel(const struct dataset *d, const struct dataset_config *cfg, int32_t *new_label,
                    struct error *err)
{
    for (int c = 0; c < d->classes; c++)
        new_label[c] = -1;
    for (size_t i = 0; i < cfg->n_classes; i++) {
        int32_t c = cfg->classes[i];

        if (c < 0 || c >= d->classes)
            return err_set(err, ERR_INVALID, "class %" PRId32 " is asked for, but %s has 0 to %d",
                           c, cfg->source, d->classes - 1);
        if (new_label[c] >= 0)
            return err_set(err, ERR_INVALID, "class %" PRId32 " is asked for twice", c);
        new_label[c] = (int32_t)i;
    }
    return true;
}

static void keep_class_names(struct dataset *d, const struct dataset_config *cfg)
{
    char **kept = NEW_ARRAY(char *, cfg->n_classes);

    if (d->class_names.n) {
        for (size_t i = 0; i < cfg->n_classes; i++)
            kept[i] = str_dup(d->class_names.at[cfg->classes[i]]);
        free_texts(d->class_names.at, d->class_names.n);
        d->class_names.n = 0;
        for (size_t i = 0; i < cfg->n_classes; i++)
            vec_push(&d->class_names, kept[i]);
    }
    free(kept);
}

static bool keep_classes(struct dataset *d, const struct dataset_config *cfg, struct error *err)
{
    int32_t *new_label = NEW_ARRAY(int32_t, (size_t)d->classes);
    bool ok = relabel(d, cfg, new_label, err);
    size_t kept = 0;

    for (size_t i = 0; ok && i < d->images.n; i++) {
        struct image image = d->images.at[i];

        image.label = new_label[image.label];
        if (image.label >= 0)
            d->images.at[kept++] = image;
    }
    if (ok) {
        d->images.n = kept;
        keep_class_names(d, cfg);
        d->classes = (int)cfg->n_classes;
    }
    free(new_label);
    return ok;
}

static bool fill(struct dataset *d, const struct dataset_config *cfg, enum split split,
                 struct error *err)
{
    const struct data_source *row = data_source_of(cfg->source, err);
    const enum split files = split == SPLIT_VAL ? SPLIT_TRAIN : split;

    if (!row || !row->open(d, cfg->source + strlen(row->name) + 1, files, err))
        return false;
    if (split == SPLIT_VAL)
        forget_skipped(d);
    if (cfg->n_classes && !keep_classes(d, cfg, err))
        return false;
    if (files == SPLIT_TRAIN && cfg->train_limit)
        source_limit(d, (size_t)cfg->train_limit);
    if (!d->images.n)
        return err_set(err, ERR_DATA, "%s has no %s image of the classes asked for", cfg->source,
                       files == SPLIT_TRAIN ? "training" : "test");
    if (files == SPLIT_TRAIN && cfg->val_fraction > 0)
        source_hold_out(d, cfg->val_fraction, split == SPLIT_VAL);
    return d->images.n ||
           err_set(err, ERR_DATA, "val_fraction %g of each class of %s is less than one image",
                   cfg->val_fraction, cfg->source);
}

struct dataset *dataset_open(const struct dataset_config *cfg, enum split split, struct error *err)
{
    struct dataset *d = NEW(struct dataset);

    d->skip_corrupt = cfg->skip_corrupt;
    d->decode_threads = cfg->decode_threads ? cfg->decode_threads : 1;
    d->size = cfg->image_size ? cfg->image_size : 224;
    d->selection = selection_text(cfg, split);
    if (fill(d, cfg, split, err))
        return d;
    dataset_close(d);
    return NULL;
}

static void close_file(struct source_file *f)
{
    file_unmap(&f->map);
    free(f->name);
}

void dataset_close(struct dataset *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->files.n; i++)
        close_file(&d->files.at[i]);
    for (size_t k = 0; k < SKIPPED_NAMED; k++)
        free(d->skipped_why[k]);
    free_texts(d->class_names.at, d->class_names.n);
    free_texts(d->texts.at, d->texts.n);
    vec_free(&d->class_names);
    vec_free(&d->texts);
    vec_free(&d->files);
    vec_free(&d->images);
    free(d->made);
    free(d->folder);
    free(d->selection);
    free(d);
}

int64_t dataset_count(const struct dataset *d)
{
    return (int64_t)d->images.n;
}

int dataset_classes(const struct dataset *d)
{
    return d->classes;
}

const char *dataset_class_name(const struct dataset *d, int k)
{
    return d->class_names.n ? d->class_names.at[k] : NULL;
}

int dataset_size(const struct dataset *d)
{
    return d->size;
}

int32_t dataset_label(const struct dataset *d, int64_t i)
{
    return d->images.at[i].label;
}

const uint8_t *dataset_image(const struct dataset *d, int64_t i)
{
    ASSERT(!d->encoded);
    return d->images.at[i].data;
}

bool dataset_encoded(const struct dataset *d)
{
    return d->encoded;
}

int dataset_decode_threads(const struct dataset *d)
{
    return d->encoded ? d->decode_threads : 1;
}

struct dataset_largest dataset_largest(const struct dataset *d)
{
    return d->largest;
}

bool dataset_file(const struct dataset *d, int64_t i, struct buf *scratch, const uint8_t **data,
                  size_t *len, struct error *err)
{
    const struct image *image = &d->images.at[i];
    char *name;
    bool ok;

    ASSERT(d->encoded);
    *data = image->data;
    *len = image->len;
    ok = image->data ? shard_intact(image, err)
                     : imagefolder_read(d, image, scratch, data, len, err);
    if (ok)
        return true;
    name = dataset_image_name(d, i);
    err_wrap(err, "%s", name);
    free(name);
    return false;
}

char *dataset_image_name(const struct dataset *d, int64_t i)
{
    const struct image *image = &d->images.at[i];

    if (!image->data)
        return str_path(d->folder, image->name);
    return str_fmt("%s/%s: the image at byte %td", d->folder, d->files.at[0].name,
                   image->data - d->files.at[0].map.data);
}

void dataset_drop(struct dataset *d, const int64_t *marked)
{
    size_t kept = 0;

    for (size_t i = 0; i < d->images.n; i++)
        if (!marked[i])
            d->images.at[kept++] = d->images.at[i];
    d->images.n = kept;
}

int64_t dataset_skipped(const struct dataset *d)
{
    return d->skipped;
}

const char *dataset_skipped_why(const struct dataset *d, size_t k)
{
    return k < SKIPPED_NAMED ? d->skipped_why[k] : NULL;
}

size_t dataset_memory(const struct dataset *d)
{
    size_t pixels;

    if (!d)
        return 0;
    pixels = 3 * (size_t)d->size * (size_t)d->size;
    return d->images.n * (sizeof(*d->images.at) + (d->made ? pixels : 0)) + d->text_bytes;
}
