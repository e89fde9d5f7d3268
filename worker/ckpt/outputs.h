/* What a network gives for every sample of a set, in several views, in a file that is mapped to be read.
 *
 * The file is one of the safetensors format, with a tensor [views, samples, ...] for each value, and
 * "checksums" [views, blocks]: a block is so many samples of a view, written at once, and its checksum (of its
 * place and its bytes; 0: not there yet) follows it. So the file may be filled by many processes, in any
 * order, and be left at any moment: a block that does not verify is one that is still missing.
 *
 * The header says what everything was made from, and is a function of that alone. The file is called by the
 * header's sha256; one that begins otherwise is damaged. Nothing of it is parsed. Processes that fill the
 * same file at the same time write the same bytes. */
#ifndef WORKER_CKPT_OUTPUTS_H
#define WORKER_CKPT_OUTPUTS_H

#include "worker/ckpt/safetensors.h"

enum {
    OUTPUTS_MAX = 20
};

struct outputs_value {
    const char *name;
    int rank;
    int64_t shape[ST_MAX_RANK - 2]; /* of one sample */
};

struct outputs_spec {
    int64_t views, samples;
    int64_t block;       /* samples; the last of a view may have fewer */
    enum st_dtype dtype; /* ST_F32 or ST_F16 */
    const struct outputs_value *values;
    size_t n_values;            /* at most OUTPUTS_MAX */
    const struct st_meta *meta; /* whatever the values depend on */
    size_t n_meta;
};

struct outputs;
/* The spec is copied as far as it is needed. */
struct outputs *outputs_new(const char *folder, const struct outputs_spec *spec);
void outputs_free(struct outputs *o); /* NULL is fine */

const char *outputs_path(const struct outputs *o);
size_t outputs_bytes(const struct outputs *o);   /* of the file */
int64_t outputs_blocks(const struct outputs *o); /* of a view */
/* Samples in a block, and numbers in one sample of value i. */
int64_t outputs_block_samples(const struct outputs *o, int64_t block);
size_t outputs_count(const struct outputs *o, size_t i);

/* By one process: makes the file, all its room included, unless it is there. *damaged: there was one, which
 * was none of these, and has been replaced. ERR_IO with the file's size where there is no room. */
bool outputs_make(struct outputs *o, bool *damaged, struct error *err);
/* Maps the file as it is now. ERR_DATA: it is none of these. */
bool outputs_open(struct outputs *o, struct error *err);
/* The same over bytes in memory, which must stay. */
bool outputs_open_memory(struct outputs *o, const void *data, size_t len, struct error *err);

enum outputs_state {
    OUTPUTS_MISSING,
    OUTPUTS_DAMAGED, /* as good as missing, but somebody should hear of it */
    OUTPUTS_WHOLE
};
/* How a block is in the file that is open. */
enum outputs_state outputs_look(const struct outputs *o, int64_t view, int64_t block);
/* Writes a block: values[i] are its samples' of value i. The map may or may not show it before the file is
 * opened again. ERR_DATA names value and sample of a number that is not finite, or that is more than
 * ST_F16 holds. */
bool outputs_put(struct outputs *o, int64_t view, int64_t block, const float *const *values,
                 struct error *err);
/* What was put is on disk, and seen by whoever opens the file from now on. */
bool outputs_flush(struct outputs *o, struct error *err);
/* One sample of value i. */
void outputs_get(const struct outputs *o, int64_t view, int64_t sample, size_t i, float *out);

#endif
