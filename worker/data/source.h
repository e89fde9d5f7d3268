/* The inside of a data set, for the files that each fill it from one kind of source. */
#ifndef WORKER_DATA_SOURCE_H
#define WORKER_DATA_SOURCE_H

#include "proto/base/file.h"
#include "proto/base/vec.h"
#include "worker/data/dataset.h"

struct image {
    const uint8_t
        *data; /* pixels, or a file of `len` bytes; NULL: the file `name` below the folder */
    const char *name;
    uint32_t len;
    int32_t label;
};

enum {
    SKIPPED_NAMED = 5,       /* bad records that are described */
    ENCODED_MAX = 256 << 20, /* bytes of an image's file */
    CLASSES_MAX = 100000
};

struct source_file {
    char *name; /* below the folder */
    struct file_map map;
};

struct dataset {
    int classes, size;
    VEC(struct image) images;      /* in storage order */
    VEC(struct source_file) files; /* what data points into, */
    uint8_t *made;                 /* or pixels that were computed */
    VEC(char *) class_names;       /* one for each class, or none */

    bool encoded;
    int decode_threads;
    struct dataset_largest largest;
    VEC(char *) texts;           /* blocks of names */
    size_t text_bytes;           /* of all blocks */
    size_t text_room, text_left; /* of the last one */
    char listing[SHA256_HEX]; /* of names and stamps of files that are not mapped; "" without any */
    int64_t newest_ns;        /* of their changes */

    char *folder;    /* of the files; NULL without any */
    char *selection; /* what was asked of them, as text: with the files it decides the content */
    bool skip_corrupt;
    int64_t skipped;
    char *skipped_why[SKIPPED_NAMED];
};

/* Maps folder/name and keeps it with the data set. NULL with ERR_DATA. Valid until the next call. */
const struct file_map *source_map(struct dataset *d, const char *folder, const char *name,
                                  struct error *err);
/* `records` of a file are certainly bad, for the reason given: ERR_DATA, or true where the job goes on
 * without them. */
bool source_corrupt(struct dataset *d, int64_t records, struct error *err, const char *why, ...)
    __attribute__((format(printf, 4, 5)));

/* A copy of s that lives as long as the data set. */
const char *source_text(struct dataset *d, const char *s);
/* What dataset_file does for files in a folder, and for those in a shard. */
bool imagefolder_read(const struct dataset *d, const struct image *image, struct buf *scratch,
                      const uint8_t **data, size_t *len, struct error *err);
bool shard_intact(const struct image *image, struct error *err);
/* Keeps only `limit` of the training images (limit.c). */
void source_limit(struct dataset *d, size_t limit);
/* Keeps only the validation part of the training images (hold_out.c), or only the rest. */
void source_hold_out(struct dataset *d, double fraction, bool validation);

/* What a row's `open` does: fills the fields above from the part behind the colon. On failure
 * dataset_close releases what is there. */
bool imagefolder_open(struct dataset *d, const char *dir, enum split split, struct error *err);
bool shard_open(struct dataset *d, const char *path, enum split split, struct error *err);
bool cifar10_open(struct dataset *d, const char *dir, enum split split, struct error *err);
bool cifar100_open(struct dataset *d, const char *dir, enum split split, struct error *err);
bool idx_open(struct dataset *d, const char *dir, enum split split, struct error *err);
bool synthetic_open(struct dataset *d, const char *options, enum split split, struct error *err);

#endif
