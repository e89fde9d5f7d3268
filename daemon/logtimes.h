/* Since when a log holds what: its lines have no times, so somebody looks at it again and again and notes how long it is,
 * in rank-K.times beside rank-K.log, a line "MILLISECONDS BYTES" for each look that found it longer. */
#ifndef DAEMON_LOGTIMES_H
#define DAEMON_LOGTIMES_H

#include <stdint.h>

enum {
    LOGTIMES_MAX =
        64 << 10 /* bytes of the notes of a log; beyond, the older they are the fewer stay */
};

/* Of every log in a folder. */
void logtimes_note(const char *dir, int64_t now_ms);

/* Where in the log lies what was written since then: by the notes in `text`, and so with what came between the last look
 * before and then. Without notes from that time it is the beginning. */
int64_t logtimes_find(const char *text, int64_t since_ms);

/* When what lies before byte `end` was seen whole for the first time; -1: by no look that is noted. *notes moves on, so
 * that places are asked for from the front to the back. */
int64_t logtimes_when(const char **notes, int64_t end);

#endif
