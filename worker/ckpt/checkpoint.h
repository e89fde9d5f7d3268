/* The folder of checkpoints of a run: DIR/step-%09d.safetensors (covered by the determinism contract)
 * with step-%09d.json beside it (sha256, and what may differ: time, host, ranks, ISA, ...).
 *
 * A checkpoint counts once its .json is there and its sha256 agrees: the .safetensors is replaced
 * first, the .json after it. What a checkpoint holds is the caller's affair. */
#ifndef WORKER_CKPT_CHECKPOINT_H
#define WORKER_CKPT_CHECKPOINT_H

#include "proto/base/json.h"
#include "worker/ckpt/safetensors.h"

/* Writes both files; `note` gets "sha256" and "step" added. */
bool checkpoint_write(const char *dir, int64_t step, const struct st_tensor *tensors,
                      size_t n_tensors, const struct st_meta *meta, size_t n_meta,
                      struct json *note, struct error *err);

struct checkpoint {
    int64_t step;
    struct safetensors *tensors;
    struct json *note; /* the content of the .json */
};
/* Opens the newest one that verifies. For each newer one that does not, warn(arg, sentence) is called.
 * True with step -1 when there is none at all; false (ERR_DATA) when there are some and none
 * verifies. A missing DIR is the same as an empty one. */
bool checkpoint_newest(const char *dir, struct checkpoint *out,
                       void (*warn)(void *arg, const char *sentence), void *arg, struct error *err);
/* Opens one file by path (--resume PATH): a .safetensors with its .json beside it. */
bool checkpoint_open(const char *path, struct checkpoint *out, struct error *err);
void checkpoint_close(struct checkpoint *c); /* a closed one is fine */

/* Why there are later checkpoints than the one that a run goes on from. */
enum checkpoint_later {
    CHECKPOINT_DAMAGED,   /* they do not verify */
    CHECKPOINT_NOT_WANTED /* the user has chosen this one, or none */
};
/* Removes every checkpoint of a later step than this one (-1: all): what a run that goes on from here will
 * write again, or must not find. One that is pinned (pinned.h) stays: damaged, until the run writes it again; else it is
 * ERR_CONFLICT, because the next attempt would go on from it. */
bool checkpoint_drop_after(const char *dir, int64_t step, enum checkpoint_later later,
                           struct error *err);

/* Removes all but the newest `keep`, those that are pinned (pinned.h), which do not count, and leftovers of interrupted
 * writes. Missing files are no error. */
bool checkpoint_prune(const char *dir, int keep, struct error *err);

#endif
