/* After the way back to a copy of state.db (backup.h): what the folders of jobs tell about the time since. The daemon keeps
 * with each attempt the job as it was when that began (STATE/jobs/ID/attempts/N/job.json). By that a job that came after
 * the copy is in the list again, and one that is in the copy has the attempt that runs, and not an earlier one. Lost are
 * only jobs of which no attempt had begun; those of sweeps are made anew by their sweep. */
#ifndef DAEMON_SALVAGE_H
#define DAEMON_SALVAGE_H

#include "daemon/daemon.h"

/* Before a newest attempt begins: keeps the job as it is, in that attempt's folder `dir`. */
bool salvage_keep(const struct job *j, const char *dir, struct error *err);

/* Before jobs are loaded. Nothing, unless state.db is such a copy and this was not done yet. All of it is done, or nothing. */
bool salvage_run(struct daemon *d, struct error *err);

#endif
