/* Where the paths that users name may lie: among the results of jobs that exist for them, and below the folders of
 * --data-root; without any, everywhere but in what else the daemon's folder holds. Held against a job when it is
 * submitted, and, where there are such folders, because links can be made and folders renamed later, by the worker when
 * it reads (file.h, file_set_roots). */
#ifndef DAEMON_ROOTS_H
#define DAEMON_ROOTS_H

#include "daemon/daemon.h"

/* Sets d->roots: what the worker gets as DISTILLD_ROOTS, with the folders of the state that specs lead to. */
void roots_open(struct daemon *d);
/* ERR_INVALID: it lies elsewhere, or a link or `..` leads out; ERR_NOT_FOUND: it is a result of a job that does not
 * exist for the caller (reach.h). What is not there passes otherwise: its absence is told by whoever needs it. */
bool roots_check(const struct daemon *d, const struct caller *who, const char *path,
                 struct error *err);

#endif
