/* After the way back to a copy of state.db (backup.h): what the folders of jobs tell about the time since. The daemon notes
 * a job of which an attempt has begun in that attempt's folder, at each change: STATE/jobs/ID/attempts/N/job.json is the
 * API's Job. By the newest note a job that came after the copy is in the list again, and one that is in the copy is as it
 * was last. Lost are jobs of which nothing has begun, and sweeps that came after the copy, with their jobs; a sweep of the
 * copy makes its jobs again that the copy does not know. */
#ifndef DAEMON_SALVAGE_H
#define DAEMON_SALVAGE_H

#include "daemon/daemon.h"

/* Notes a job as it is now; nothing, if no attempt of it has begun. Best effort: state.db has it all, on disk. */
void salvage_note(struct daemon *d, const struct job *j);

/* Before jobs are loaded. Nothing, unless state.db is such a copy and this was not done yet. All of it is done, or nothing;
 * a job of which nothing can be made does not keep the others from it. */
bool salvage_run(struct daemon *d, struct error *err);

#endif
