/* Lines of a log for programs: one JSON object each, {"ts", "rank", "stream", "line"}. */
#ifndef DAEMON_LOGLINES_H
#define DAEMON_LOGLINES_H

#include "daemon/logsearch.h"

enum {
    LOGLINES_MAX = 100000 /* lines of an answer: those that are nearly empty become much longer */
};

/* Of what a search has found, with the places of lines; `notes` are those of logtimes.h. A line has the time at which
 * somebody first saw it whole, null where nobody has looked since then. Its stream is null in the log of rank 0, where
 * mpirun's two outputs come, too; those of other ranks hold their standard error alone. Changes the text it is given. */
void loglines_write(struct logsearch *s, const char *notes, int64_t rank, struct buf *out);

#endif
