/* Job identifiers: "job_" and 26 characters that sort by time of creation, never given twice. */
#ifndef DAEMON_IDS_H
#define DAEMON_IDS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    JOB_ID_SIZE = 31 /* with the NUL */
};

#define ID_TIME_END (INT64_C(1) << 48) /* milliseconds that an id has room for */

/* Writes a new id that sorts after `last` ("" for none), even if the clock has gone back. */
void id_next(const char *last, int64_t wall_ms, char out[JOB_ID_SIZE]);
/* What no id of that millisecond, or of a later one, sorts before. */
void id_first(int64_t wall_ms, char out[JOB_ID_SIZE]);
/* The form only; says nothing about whether the job exists. */
bool id_valid(const char *id);

#endif
