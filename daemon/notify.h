/* Tells the service manager that started us what we are about: systemd's notification protocol (sd_notify(3)), of which
 * a few lines are all that is needed. Does nothing where NOTIFY_SOCKET is not set. */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

/* "READY=1", "STOPPING=1", ... */
void notify(const char *state);
/* RELOADING=1, with the time that systemd asks for: READY=1 is to follow. */
void notify_reloading(void);

#endif
