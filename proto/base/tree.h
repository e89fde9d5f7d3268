/* Folders with all that is in them. Links are never followed, and what lies on another file system is left alone. */
#ifndef PROTO_BASE_TREE_H
#define PROTO_BASE_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/error.h"

struct tree {
    int64_t files;     /* folders are not counted */
    int64_t bytes;     /* that they take of the disk */
    int64_t newest_ms; /* when the last of them was changed, folders too; wall clock */
};

/* Adds what `name` in the folder is, a file or a folder; nothing when it is not there. ERR_IO: not all could be seen. */
bool tree_measure(int folder, const char *name, struct tree *sum, struct error *err);
/* True once it is gone; what is in it goes first, so that a removal that was interrupted is gone on with. */
bool tree_remove(int folder, const char *name, struct error *err);

#endif
