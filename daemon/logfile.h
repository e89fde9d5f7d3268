/* Log files of an attempt, kept small while ranks and mpirun write to them. */
#ifndef DAEMON_LOGFILE_H
#define DAEMON_LOGFILE_H

#include <stdint.h>

enum {
    LOGFILE_MAX = 16 << 20 /* bytes of a log, and of the older part that is kept beside it */
};

/* Every DIR/rank-K.log with more than `limit` bytes begins anew; its end, at least half of `limit` and at
 * most `limit`, is kept as rank-K.log.1. Those who append to it go on unaware; what they write between
 * the copy and the cut is lost. */
void logfile_keep_small(const char *dir, int64_t limit);

#endif
