/* The files of a checkpoint, "step-000000400" with an ending, and what keeps them. One whose name has PINNED_EXT added
 * beside it, as an empty file, is kept: no rotation and no collection removes it. The mark lies where the checkpoint
 * lies, so that it outlives whoever made it.
 *
 * The daemon pins, and several remove, in other processes too. So whoever removes puts the .json aside first, without
 * which a checkpoint does not count, and looks for the mark then; whoever pins makes the mark first, and looks for the
 * .json then. One of both always sees the other. */
#ifndef PROTO_BASE_PINNED_H
#define PROTO_BASE_PINNED_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/error.h"

#define PINNED_EXT ".pinned"

/* The step of "step-000000400" + ext; -1 for any other name, also for one that no step has as its own. */
int64_t pinned_step(const char *file, const char *ext);

/* Removes the .json of a checkpoint in `dir`. ERR_CONFLICT: it is pinned, and is as it was. ERR_NOT_FOUND: there is
 * none, or somebody else removes it. */
bool pinned_remove_note(int dir, const char *name, struct error *err);

/* Makes the mark. ERR_NOT_FOUND: it was removed meanwhile. */
bool pinned_mark(int dir, const char *name, struct error *err);

#endif
