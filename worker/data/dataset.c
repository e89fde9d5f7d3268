#include "worker/data/dataset.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"
#include "worker/data/source.h"

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
        .name = "procedural",
        .rest = "classes=10,train=4000,test=1000,seed=1",
        .mean = {0.5, 0.5, 0.5},
        .std = {0.25, 0.25, 0.25},
        .open = synthetic_open,
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
        d->classes = (int)cfg->n_classes;
    }
    free(new_label);
    return ok;
}

static bool fill(struct dataset *d, const struct dataset_config *cfg, enum split split,
                 struct error *err)
{
    const struct data_source *row = data_source_of(cfg->source, err);

    if (!row || !row->open(d, cfg->source + strlen(row->name) + 1, split, err))
        return false;
    if (cfg->n_classes && !keep_classes(d, cfg, err))
        return false;
    if (split == SPLIT_TRAIN && cfg->train_limit && (size_t)cfg->train_limit < d->images.n)
        d->images.n = (size_t)cfg->train_limit;
    return d->images.n || err_set(err, ERR_DATA, "%s has no %s image of the classes asked for",
                                  cfg->source, split == SPLIT_TRAIN ? "training" : "test");
}

struct dataset *dataset_open(const struct dataset_config *cfg, enum split split, struct error *err)
{
    struct dataset *d = NEW(struct dataset);

    if (fill(d, cfg, split, err))
        return d;
    dataset_close(d);
    return NULL;
}

void dataset_close(struct dataset *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->files.n; i++)
        file_unmap(&d->files.at[i]);
    vec_free(&d->files);
    vec_free(&d->images);
    free(d->made);
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
    return d->images.at[i].pixels;
}

size_t dataset_memory(const struct dataset *d)
{
    size_t pixels = 3 * (size_t)d->size * (size_t)d->size;

    return d->images.n * (sizeof(*d->images.at) + (d->made ? pixels : 0));
}

void dataset_sha256(const struct dataset *d, char hex[SHA256_HEX])
{
    struct sha256 *sum = sha256_new();
    size_t bytes = 3 * (size_t)d->size * (size_t)d->size;

    for (size_t i = 0; i < d->images.n; i++) {
        uint32_t label = (uint32_t)d->images.at[i].label;
        const uint8_t le[4] = {(uint8_t)label, (uint8_t)(label >> 8), (uint8_t)(label >> 16),
                               (uint8_t)(label >> 24)};

        sha256_add(sum, le, sizeof(le));
        sha256_add(sum, d->images.at[i].pixels, bytes);
    }
    sha256_end(sum, hex);
}
