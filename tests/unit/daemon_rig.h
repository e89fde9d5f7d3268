/* A daemon in the test's own process: state in a fresh folder, no programs beside it. */
#ifndef TESTS_UNIT_DAEMON_RIG_H
#define TESTS_UNIT_DAEMON_RIG_H

#include <netinet/in.h>

#include "daemon/daemon.h"

/* `name` is that of the state folder below unit_dir(); what is in it already is found again. */
void rig_open(struct daemon *d, const char *name, size_t max_events);
void rig_close(struct daemon *d);

/* A job that nobody knows yet; job_destroy. `n` makes its id, and ids rise with it. */
struct job *rig_job(int n);
/* The same, stored and active. Borrowed. */
struct job *rig_submit(struct daemon *d, int n);
/* As if it had come to that, without processes. */
void rig_set_state(struct daemon *d, struct job *j, enum job_state state);

/* -- Over HTTP ------------------------------------------------------------------------------------ */

/* Serves the API, event streams included, at a free port of loopback. */
struct sockaddr_in rig_serve(struct daemon *d);
/* The loop, until nothing happens any more. */
void rig_turn(struct daemon *d);
/* What has come by now; true when the peer has closed. */
bool rig_receive(int fd, struct buf *out);
/* One request with the token of the rig's daemon; headers: each with its line end. Its status; the answer, whose body
 * rig_json reads, comes in place of what is in `answer`. */
int rig_ask(struct daemon *d, const struct sockaddr_in *a, const char *method, const char *path,
            const char *headers, const char *body, struct buf *answer);
struct json *rig_json(const struct buf *answer);
/* Before rig_close. */
void rig_hang_up(struct daemon *d);

#endif
