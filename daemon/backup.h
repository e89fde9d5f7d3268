/* Copies of state.db while the daemon runs, STATE/backup/state.db, and the way back to one. What is in metrics.db can be
 * read again from the folders of the jobs, and is not copied. */
#ifndef DAEMON_BACKUP_H
#define DAEMON_BACKUP_H

#include "daemon/daemon.h"

enum {
    BACKUP_MINUTES = 50 /* the hourly one is left out when the newest is no older */
};

/* STATE/backup/state.db; free() */
char *backup_path(const char *state_dir);
/* On any thread; one at a time, ERR_CONFLICT otherwise. The copy is whole and on disk, or the one before is kept. */
bool backup_make(const char *state_dir, struct error *err);
/* On another thread, unless there is a fresh one; also looks through the file for damage, which ends in the log. */
void backup_hourly(struct daemon *d);

/* The next one is made at the next occasion, however old the newest is. */
void backup_outdated(void);

/* Before the state is opened: false with ERR_DATA where state.db is gone, or empty, and there is a copy of it, for without
 * it the service would begin as a new one. */
bool backup_check(const char *state_dir, struct error *err);
/* Before the state is opened, too: a state.db that is damaged or gone is set aside, with a name that says so, and the copy takes
 * its place. A state.db that is whole stays as it is. Of changes since the copy was made, salvage.h finds those that the
 * folders of jobs tell; the others are lost, and the log says so. */
bool backup_recover(const char *state_dir, struct error *err);

#endif
