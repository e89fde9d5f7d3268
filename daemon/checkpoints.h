/* The checkpoints in a job's run directory, by name: "step-000000400". One is there when both of its files are
 * (worker/ckpt/checkpoint.h). A name never becomes a path, and no link is followed.
 *
 * All of it on any thread. */
#ifndef DAEMON_CHECKPOINTS_H
#define DAEMON_CHECKPOINTS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/clock.h"
#include "proto/base/error.h"
#include "proto/base/sha256.h"
#include "proto/base/vec.h"

enum {
    CHECKPOINT_NAME = 32
};

struct checkpoint_entry {
    char name[CHECKPOINT_NAME];
    int64_t step, size;
    bool pinned;
    /* As its writer has noted; "": it has not. */
    char sha256[SHA256_HEX], written_at[CLOCK_TEXT];
};
struct checkpoint_list {
    VEC(struct checkpoint_entry) at; /* the newest first */
};

/* Of what can be listed; `out` is the run directory. A folder that is not there has none. */
void checkpoints_list(int out, struct checkpoint_list *list);
void checkpoints_free(struct checkpoint_list *list);
/* NULL: it has none of that name. */
const struct checkpoint_entry *checkpoints_find(const struct checkpoint_list *list,
                                                const char *name);

/* On disk when it returns. ERR_NOT_FOUND: it has been removed meanwhile. */
bool checkpoints_pin(int out, const struct checkpoint_entry *c, bool pinned, struct error *err);
/* ERR_CONFLICT: it has been pinned meanwhile. ERR_NOT_FOUND as above. */
bool checkpoints_remove(int out, const struct checkpoint_entry *c, struct error *err);

#endif
