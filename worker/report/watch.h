/* The line to the shim of the attempt, by a thread of its own on every rank: signs of life with the
 * process's pulse, answers that renew the rank's lease, and, when asked for, the stacks of all threads
 * on standard error.
 *
 * A rank whose shim is gone, whose lease is over, or in whose place a newer attempt has begun, ends here
 * and now with status 75: somebody else may be writing to the same run directory. */
#ifndef WORKER_REPORT_WATCH_H
#define WORKER_REPORT_WATCH_H

#include <stdbool.h>

#include "proto/base/error.h"

/* Connects to DISTILLD_WATCH (socket.h), with the token of DISTILLD_TOKEN_FILE; does nothing where it is
 * not set. From then on file_fence asks whether the lease is valid. */
bool watch_start(int rank, struct error *err);
/* A file with the number of the newest attempt that may write: a larger one than ours is the end. */
void watch_guard(const char *generation_path);
void watch_end(void); /* without a start it does nothing */
/* The same, before this rank ends all others: its shim learns whose failure it was. */
void watch_fail(void);

/* How this process is to end because of an error: as err_exit_status has it, but that a shim is told by 74 (EX_IOERR of
 * sysexits) of a file that could not be read or written, which may be otherwise for the next attempt. */
int watch_exit_status(enum err_code code);

#endif
