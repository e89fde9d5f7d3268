/* A checkpoint whose name has this added beside it, as an empty file, is kept: no rotation and no collection removes it.
 * The mark lies where the checkpoint lies, so that it outlives whoever made it. */
#ifndef PROTO_BASE_PINNED_H
#define PROTO_BASE_PINNED_H

#define PINNED_EXT ".pinned"

#endif
