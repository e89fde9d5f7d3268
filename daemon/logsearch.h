/* Lines of a log that hold a text, as it is written there: no pattern, and upper case is not lower case. A longer line than
 * LOGSEARCH_PART is looked through in parts, and those that hold the text stand for it, as lines of their own. */
#ifndef DAEMON_LOGSEARCH_H
#define DAEMON_LOGSEARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/vec.h"

enum {
    LOGSEARCH_TEXT = 256, /* bytes of the text, at most */
    LOGSEARCH_PART = 256 << 10,
    LOGSEARCH_BYTES = 8 << 20, /* of what is found: the newest */
    LOGSEARCH_SPAN = 256 << 20 /* of the log that is looked through: the newest */
};

struct turn;

struct logsearch {
    int fd;
    int64_t from, to; /* bytes of the log; `from` begins a line */
    int older; /* its older part (logfile.h), which lies in front of byte 0; -1: none, or not wanted */
    const char *text; /* "": any line */
    int64_t lines;    /* only so many, the last ones */
    bool unfinished;  /* a last line that no newline ends counts, too */
    bool places;      /* where the lines end is wanted */
    struct turn *turn;
    /* What it gives: */
    struct buf found; /* each line ends with a newline */
    int64_t end;      /* behind the last line of the log that was looked at */
    /* With `places`: of each line that was found, the last first. -1: it lies in the older part. */
    VEC(int64_t) ends;
};

/* On any thread, in pieces; it ends with its turn (turns.h). */
void logsearch_run(struct logsearch *s);

#endif
