/* Files: whole reads with a limit, atomic replacement, appending, read-only maps.
 *
 * All writes of the product pass here, through one seam that tests use to make them fail:
 * DISTILLD_FAULT=io:OP:N lets the N-th OP (open, write, fsync, rename) of the process fail with EIO,
 * and io:OP:N+ the N-th and all later ones. */
#ifndef PROTO_BASE_FILE_H
#define PROTO_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/base/buf.h"
#include "proto/base/error.h"

/* Whether a DISTILLD_FAULT is such a one; those that are not fail nothing here. */
bool file_is_fault(const char *spec);

/* Folders below which no link is followed and no `..` taken, by the functions here that read (beneath.h): what somebody
 * else may put there does not lead out. "DIR:DIR", absolute; NULL: none. Set once, before there are threads. */
void file_set_roots(const char *list);
/* Whether the path lies in one of them, as it is written; so does any where there are none. ERR_INVALID */
bool file_in_roots(const char *path, struct error *err);
/* A folder to be listed; -1 with err. */
int file_open_folder(const char *path, struct error *err);

/* Appends the whole file to out. A file larger than out->max is ERR_TOO_LARGE; a missing one is
 * ERR_NOT_FOUND. A pipe is read to its end; one that nobody has open to write is empty. */
bool file_read(const char *path, struct buf *out, struct error *err);

/* The same of what is open; `path` is for the message. */
bool file_read_open(int fd, const char *path, struct buf *out, struct error *err);

/* The new content is on disk under `path`, or the old one is untouched: writes path.tmp-PID, fsync,
 * rename, fsync of the directory. */
bool file_replace(const char *path, const void *data, size_t len, mode_t mode, struct error *err);

/* The same for what can be done without after a power cut, because it is of this moment or can be made again: whoever
 * reads it finds all of it or nothing, but it is not on disk. */
bool file_publish(const char *path, const void *data, size_t len, mode_t mode, struct error *err);

/* file_replace in pieces, for large files: open, write any number of times, commit or abandon. */
struct file_writer {
    char *path, *tmp;
    int fd;
};
bool file_writer_open(struct file_writer *w, const char *path, mode_t mode, struct error *err);
bool file_writer_add(struct file_writer *w, const void *data, size_t len, struct error *err);
bool file_writer_commit(struct file_writer *w, struct error *err); /* releases w in any case */
void file_writer_abandon(struct file_writer *w);                   /* after commit: does nothing */

/* The same for content that may take several runs to come: what was written stays in `tmp` when a run
 * keeps the writer instead of abandoning it, and the next one goes on behind it. *len_out is what there
 * is already. ERR_CONFLICT while somebody else writes the same file. */
bool file_writer_reopen(struct file_writer *w, const char *path, const char *tmp, mode_t mode,
                        int64_t *len_out, struct error *err);
bool file_writer_restart(struct file_writer *w, struct error *err); /* from an empty file */
void file_writer_keep(struct file_writer *w);                       /* instead of abandon */

/* write(2) until all is written; `path` is for the message. */
bool file_write_all(int fd, const char *path, const void *data, size_t len, struct error *err);
/* The same at a place, wherever the descriptor stands. */
bool file_write_at(int fd, const char *path, const void *data, size_t len, size_t at,
                   struct error *err);
/* Makes the file `len` bytes long, if it is shorter, with room for all of them: zeros. */
bool file_reserve(int fd, const char *path, size_t len, struct error *err);
bool file_fsync(int fd, const char *path, struct error *err);
/* Makes a rename or unlink in the directory of `path` durable. */
bool file_sync_dir(const char *path, struct error *err);

/* A process that may have been given up must not change what its successor has made. `fence` is asked
 * before each rename, and by file_fence wherever else something shared is changed; it does not return
 * where the answer is no. NULL: none. Set once, before there are threads that write. */
void file_set_fence(void (*fence)(void));
void file_fence(void);

bool file_make_dirs(const char *dir, mode_t mode, struct error *err);
bool file_exists(const char *path);
/* Makes now the time of its last change, which says here that it is in use. Best effort: who may not, or finds nothing
 * there, goes on without. */
void file_touch(const char *path);

/* What tells a file from another one, and from itself after a change, without reading it. */
struct file_stamp {
    int64_t size, inode, modified_ns,
        changed_ns; /* changed: also by what leaves the content alone */
};

enum file_kind {
    FILE_PLAIN,
    FILE_FOLDER,
    FILE_OTHER
};
/* Of what the path leads to; ERR_NOT_FOUND when that is nothing. */
bool file_look(const char *path, struct file_stamp *stamp, enum file_kind *kind, struct error *err);

/* A read-only map of a whole file; ERR_DATA of what is no regular one. Empty files map to data == NULL. */
struct file_map {
    const unsigned char *data;
    size_t len;
    struct file_stamp stamp; /* of the file that was mapped */
};
bool file_map(struct file_map *m, const char *path, struct error *err);
void file_unmap(struct file_map *m);

#endif
