/* The files of a checkpoint, "step-000000400" with an ending, and what keeps them. One whose name has PINNED_EXT added
 * beside it, as an empty file, is kept: no rotation, no resumption and no collection removes it. The mark lies where the
 * checkpoint lies, so that it outlives whoever made it.
 *
 * Rank 0 of the newest attempt alone writes the .safetensors and then the .json, the daemon alone makes the mark and takes
 * it away, and several remove, in several processes: rank 0 when it rotates or goes on from an earlier step, the daemon for
 * a user or a collection. So whoever makes a mark or removes a file of a checkpoint holds the lock of the folder meanwhile: a mark is made
 * only beside both files, and nothing is removed beside a mark. What decides is the one call that makes the mark. Before
 * it nothing was promised; after it nobody begins to remove, and nobody is in the middle of it. A holder that is killed
 * lets go of the lock and leaves nothing to be brought back: the .json goes first, and what is left without it neither
 * counts nor can be pinned, until the next rotation clears it away.
 *
 * Writing takes no lock: a file that is there already is replaced, and never missing. */
#ifndef PROTO_BASE_PINNED_H
#define PROTO_BASE_PINNED_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/error.h"

#define PINNED_EXT ".pinned"

/* The step of "step-000000400" + ext; -1 for any other name, also for one that no step has as its own. */
int64_t pinned_step(const char *file, const char *ext);

/* Makes the mark of a checkpoint in the folder `dir`. ERR_NOT_FOUND: it has been removed. ERR_BUSY, here as in the others:
 * somebody holds the lock for long, perhaps because he was stopped. ERR_UNSUPPORTED: the file system has no locks.
 * ERR_FULL: there is no room for the mark, or for the lock. */
bool pinned_mark(int dir, const char *name, struct error *err);

/* The lock, under which any file of the checkpoint may be removed: close() it soon. -1 with ERR_CONFLICT: it is pinned. */
int pinned_hold(int dir, const char *name, struct error *err);

/* Removes a checkpoint, or what is left of one. ERR_CONFLICT: it is pinned. ERR_NOT_FOUND: nothing is left. */
bool pinned_remove(int dir, const char *name, struct error *err);

#endif
