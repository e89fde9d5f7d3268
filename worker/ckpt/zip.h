/* A zip archive as torch.save writes it: members are stored, not compressed, and the directory at its end
 * says where they are. Everything is checked before anything is handed out: names, places (all members
 * together are no larger than the archive), check sums. ERR_DATA says what is wrong with which member. */
#ifndef WORKER_CKPT_ZIP_H
#define WORKER_CKPT_ZIP_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/error.h"
#include "proto/base/vec.h"

struct zip_member {
    char *name;
    const unsigned char *data; /* in the archive */
    size_t len;
};

struct zip {
    VEC(struct zip_member) members; /* in the order of the directory */
};

/* Whether the bytes begin as an archive does. */
bool zip_looks(const void *data, size_t len);
/* The bytes must outlive z. zip_close must follow also after a failure. */
bool zip_open(struct zip *z, const void *data, size_t len, struct error *err);
void zip_close(struct zip *z);

#endif
