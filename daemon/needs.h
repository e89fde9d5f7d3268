/* Jobs that a job depends on. What became of them is looked up when it comes into the queue, and noted as
 * they end; nothing of it is stored but the spec, so that no restart can lose it. */
#ifndef DAEMON_NEEDS_H
#define DAEMON_NEEDS_H

#include "daemon/daemon.h"
#include "proto/wire/problems.h"

enum needs_verdict {
    NEEDS_MET,
    NEEDS_WAIT,
    NEEDS_BROKEN /* one that had to succeed did not */
};

/* Pure. */
enum needs_verdict needs_verdict(const struct job *j);
/* Which it waits for, or what broke. */
void needs_describe(const struct job *j, struct reason *why);

/* Adds a problem when there is no job `id`, which stands in place `at` of depends_on, as far as who asks can tell; NULL: the
 * rules have told. */
void needs_check(const struct daemon *d, const struct caller *who, size_t at, const char *id,
                 struct problems *p);
/* Looks up what has become of them; one that is gone counts as cancelled. */
bool needs_look(struct daemon *d, struct job *j, struct error *err);
/* Takes note of a job that is over. */
void needs_note(struct daemon *d, const struct job *over);
/* Cancels waiting jobs whose needs are broken, and tells the others what they wait for. A part of each look
 * at the queue. */
void needs_pass(struct daemon *d);

#endif
