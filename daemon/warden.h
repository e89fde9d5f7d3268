/* Looks after the ranks of an attempt for the shim: listens to their signs of life, writes to the job's
 * log what is odd about them, and tells when the attempt has to end. */
#ifndef DAEMON_WARDEN_H
#define DAEMON_WARDEN_H

#include "daemon/attempt.h"

struct warden_config {
    const char *address;    /* where ranks are heard (socket.h) */
    const char *token_file; /* what they must show; NULL: nothing */
    size_t ranks;
    double stall_s, lease_s, silence_s;
    int log; /* of the job */
};

struct warden;
struct warden *warden_open(const struct warden_config *cfg, struct error *err);
void warden_close(struct warden *w); /* NULL is fine */

/* What ranks find in DISTILLD_WATCH. */
const char *warden_address(const struct warden *w);
/* To be looked at when this descriptor is readable, and after so many milliseconds. */
int warden_fd(const struct warden *w);
int warden_wait_ms(const struct warden *w);

/* Takes what has come. Where the attempt must end, e->class and e->message say why, and the log says
 * more. e NULL: it ends anyway. */
void warden_look(struct warden *w, struct attempt_exit *e);
/* The stacks of all ranks, each in its own log; takes a few seconds at most. */
void warden_write_stacks(struct warden *w);

/* From now on ranks on other hosts end, by themselves if need be. */
void warden_hang_up(struct warden *w);
/* After that: whether there is a rank on another host that may be alive yet. */
bool warden_has_survivors(struct warden *w);
/* Where a rank has not shown its end, and only its lease proves it, *e becomes that of a lost host. */
void warden_account(const struct warden *w, struct attempt_exit *e);

/* The rank whose end ended the attempt: one that gave up, by its own word, or the one that the launcher names, or else
 * (named -1) the first that was gone. -1: there is none. */
int warden_culprit(const struct warden *w, int named);
/* It did not take leave. Ranks that do agree on what went wrong, and rank 0 has said it. */
bool warden_failed_alone(const struct warden *w, int rank);
const char *warden_host(const struct warden *w, int rank); /* "": it never said a word */

/* A rank that the kernel ended here, since that moment of the monotonic clock, for want of memory; -1: none is
 * known to have been. */
int warden_out_of_memory(const struct warden *w, int64_t since_ns);

#endif
