/* The audit log: every change that was asked for by the API, in the transaction of the change itself. Rows are
 * only added, and form a chain (proto/wire/audit.h). */
#ifndef DAEMON_AUDIT_H
#define DAEMON_AUDIT_H

#include "daemon/daemon.h"

struct audit;
struct audit *audit_open(struct daemon *d);
void audit_close(struct audit *a); /* NULL is fine */

/* What is committed from here to audit_end is done for the request, and its row says `status`, which its route has
 * for success. Nothing for requests that only read. */
void audit_begin(struct daemon *d, struct request *r, int status);
/* What was refused after a part of it had been done gets another row. */
void audit_end(struct daemon *d, struct request *r);
/* What the change is about, where the path does not say it: before the commit. Within a request or not. */
void audit_subject(struct daemon *d, const char *subject);
/* The row of a change that is committed together with those of other requests, after audit_end; within that
 * transaction. One that is undone takes r->audited back. */
bool audit_record(struct daemon *d, struct request *r, const char *subject, int status,
                  struct error *err);
/* The row of a change that leaves nothing else in the database, as its route has it: before it is made. */
bool audit_note(struct daemon *d, struct request *r, const char *subject, struct error *err);
/* A change that was refused to somebody who is known. */
void audit_refusal(struct daemon *d, struct request *r, int status);

/* What the daemon has tried by itself: caller "distilld", no address. Within a transaction. */
bool audit_own(struct daemon *d, const char *method, const char *path, int status,
               const char *subject, struct error *err);

struct audit_head {
    int64_t seq; /* 0: there is none yet */
    char hash[SHA256_HEX];
};
bool audit_last(struct daemon *d, struct audit_head *out, struct error *err);
/* Rows with first <= seq <= last, oldest first, or newest first; at most `limit`. */
bool audit_rows(struct daemon *d, int64_t first, int64_t last, int64_t limit, bool newest_first,
                void (*fn)(struct json *take_row, void *arg), void *arg, struct error *err);

#endif
