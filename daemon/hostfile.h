/* The file that names the hosts for jobs: of Open MPI's syntax the lines `NAME slots=N`; # begins a
 * comment. */
#ifndef DAEMON_HOSTFILE_H
#define DAEMON_HOSTFILE_H

#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/error.h"
#include "proto/base/vec.h"

struct hostfile_line {
    const char *name; /* into the text */
    int64_t slots;
};
typedef VEC(struct hostfile_line) hostfile_list;

/* The text is cut up in place. `path` is for messages: they name the line, what was expected, and what
 * stands there. */
bool hostfile_parse(const char *path, char *text, hostfile_list *out, struct error *err);
/* Reads the file into *text, which lives as long as the lines; both are to be freed, also after false. */
bool hostfile_read(const char *path, struct buf *text, hostfile_list *out, struct error *err);

#endif
