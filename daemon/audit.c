#include "daemon/audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/db.h"
#include "daemon/store.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/wire/audit.h"

enum {
    PATH_MAX_BYTES = 1024
};

struct audit {
    struct daemon *daemon;
    struct request *request; /* for which things are done now, or NULL */
    int status;              /* that it is to have */
    int64_t changes;         /* of the state, before it */
    int64_t row;             /* that it got in a commit; 0: none */
    char subject[80];
};

/* -- Rows -------------------------------------------------------------------------------------- */

/* Whose change it is; request NULL: the daemon's own. */
struct entry {
    const struct request *request;
    const char *caller, *address, *method, *path, *subject;
    int status;
};

static struct json *make_row(const struct entry *e, int64_t seq)
{
    const char *trace = e->request ? e->request->trace : "";
    char when[CLOCK_TEXT];
    struct json *row = js_new_object();

    js_set(row, "seq", js_new_int(seq));
    js_set(row, "at", js_new_string(clock_text(clock_wall_ms(), when)));
    js_set(row, "caller", js_new_string(e->caller));
    js_set(row, "address", js_new_string(e->address));
    js_set(row, "method", js_new_string(e->method));
    js_set(row, "path", js_new_string(e->path));
    js_set(row, "status", js_new_int(e->status));
    js_set(row, "request", js_new_string(e->request ? e->request->id : ""));
    js_set(row, "subject", js_new_string(e->subject));
    js_set(row, "trace", trace[0] ? js_new_string(trace) : js_new_null());
    return row;
}

static bool insert(struct daemon *d, const struct json *row, const char *hash, struct error *err)
{
    static const char *const texts[] = {"at",   "caller",  "address", "method",
                                        "path", "request", "subject", "trace"};
    static const int places[] = {2, 3, 4, 5, 6, 8, 9, 11};
    struct db_stmt *q =
        db_prepare(store_state(d->store),
                   "INSERT INTO audit(seq, at, caller, address, method, path, status, request,"
                   " subject, hash, trace) VALUES(?,?,?,?,?,?,?,?,?,?,?)",
                   err);

    if (!q)
        return false;
    db_bind_int(q, 1, js_int(js_get(row, "seq"), 0));
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        db_bind_text(q, places[i], js_string(js_get(row, texts[i]), ""));
    db_bind_int(q, 7, js_int(js_get(row, "status"), 0));
    db_bind_text(q, 10, hash);
    return db_run(q, err);
}

static bool append_entry(struct daemon *d, const struct entry *e, struct error *err)
{
    struct audit_head head;
    char hash[SHA256_HEX];
    struct json *row;
    bool ok;

    if (!audit_last(d, &head, err))
        return false;
    row = make_row(e, head.seq + 1);
    audit_hash(head.hash, row, hash);
    ok = insert(d, row, hash, err);
    js_free(row);
    return ok || err_wrap(err, "the audit log");
}

static bool append(struct daemon *d, struct request *r, int status, struct error *err)
{
    char peer[HTTP_PEER_SIZE];
    char *path = str_fmt("%.*s", PATH_MAX_BYTES, r->path);
    char *caller = str_fmt("%s%s", r->caller.id, r->caller.session ? ":session" : "");
    const struct entry e = {r,     caller, http_peer(r, peer), r->method, path, d->audit->subject,
                            status};
    bool ok = append_entry(d, &e, err);

    free(caller);
    free(path);
    return ok;
}

bool audit_own(struct daemon *d, const char *method, const char *path, int status,
               const char *subject, struct error *err)
{
    const struct entry e = {NULL, "distilld", "", method, path, subject, status};

    return append_entry(d, &e, err);
}

bool audit_last(struct daemon *d, struct audit_head *out, struct error *err)
{
    struct db_stmt *q = db_prepare(store_state(d->store),
                                   "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", err);
    enum db_result got = q ? db_step(q, err) : DB_FAILED;

    *out = (struct audit_head){.hash = AUDIT_START};
    if (got == DB_ROW) {
        out->seq = db_int(q, 0);
        snprintf(out->hash, sizeof(out->hash), "%s", db_text(q, 1));
    }
    if (q)
        db_reset(q);
    return got != DB_FAILED;
}

static struct json *read_row(struct db_stmt *q)
{
    static const char *const texts[] = {NULL,   "at", "caller",  "address", "method",
                                        "path", NULL, "request", "subject", "hash"};
    struct json *row = js_new_object();

    for (int i = 0; i < (int)ARRAY_LEN(texts); i++)
        if (texts[i])
            js_set(row, texts[i], js_new_string(db_text(q, i)));
        else
            js_set(row, i ? "status" : "seq", js_new_int(db_int(q, i)));
    js_set(row, "trace", *db_text(q, 10) ? js_new_string(db_text(q, 10)) : js_new_null());
    return row;
}

#define ROWS_SQL(order)                                                                    \
    "SELECT seq, at, caller, address, method, path, status, request, subject, hash, trace" \
    " FROM audit WHERE seq BETWEEN ? AND ? ORDER BY seq " order " LIMIT ?"

bool audit_rows(struct daemon *d, int64_t first, int64_t last, int64_t limit, bool newest_first,
                void (*fn)(struct json *take_row, void *arg), void *arg, struct error *err)
{
    struct db *db = store_state(d->store);
    struct db_stmt *q =
        newest_first ? db_prepare(db, ROWS_SQL("DESC"), err) : db_prepare(db, ROWS_SQL(""), err);
    enum db_result got;

    if (!q)
        return false;
    db_bind_int(q, 1, first);
    db_bind_int(q, 2, last);
    db_bind_int(q, 3, limit);
    while ((got = db_step(q, err)) == DB_ROW)
        fn(read_row(q), arg);
    db_reset(q);
    return got == DB_DONE;
}

/* -- Requests ---------------------------------------------------------------------------------- */

/* The row of a commit that failed has gone with it. */
static void forget_undone(struct audit *a, struct request *r)
{
    struct audit_head head;

    if (a->row && audit_last(a->daemon, &head, NULL) && head.seq < a->row)
        a->row = r->audited = 0;
}

/* Before each commit: the first that changes something for a request carries the row. */
static bool before_commit(void *arg, struct error *err)
{
    struct audit *a = arg;
    struct request *r = a->request;
    struct audit_head head;

    if (!r)
        return true;
    forget_undone(a, r);
    if (r->audited || db_total_changes(store_state(a->daemon->store)) == a->changes)
        return true;
    if (!append(a->daemon, r, a->status, err) || !audit_last(a->daemon, &head, err))
        return false;
    a->row = head.seq;
    r->audited = a->status;
    return true;
}

struct audit *audit_open(struct daemon *d)
{
    struct audit *a = NEW(struct audit);

    *a = (struct audit){.daemon = d};
    db_before_commit(store_state(d->store), before_commit, a);
    return a;
}

void audit_close(struct audit *a)
{
    free(a);
}

static bool reads(const struct request *r)
{
    return strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;
}

void audit_begin(struct daemon *d, struct request *r, int status)
{
    struct audit *a = d->audit;

    if (!a || reads(r))
        return;
    a->request = r;
    a->status = status;
    a->row = 0;
    a->changes = db_total_changes(store_state(d->store));
    snprintf(a->subject, sizeof(a->subject), "%s", r->params[0] ? r->params[0] : "");
}

void audit_end(struct daemon *d, struct request *r)
{
    struct audit *a = d->audit;
    struct error err;
    bool changed;

    if (!a || !a->request)
        return;
    a->request = NULL;
    forget_undone(a, r);
    changed = db_total_changes(store_state(d->store)) != a->changes;
    if (r->audited ? r->status < 400 : r->status == 0 || r->status >= 400 || !changed)
        return;
    if (!append(d, r, r->status, &err))
        log_error("a change is missing in the audit log error=\"%s\"", err.msg);
    r->audited = r->status;
}

void audit_subject(struct daemon *d, const char *subject)
{
    if (d->audit)
        snprintf(d->audit->subject, sizeof(d->audit->subject), "%s", subject);
}

bool audit_record(struct daemon *d, struct request *r, const char *subject, int status,
                  struct error *err)
{
    if (!d->audit)
        return true;
    audit_subject(d, subject);
    if (!append(d, r, status, err))
        return false;
    r->audited = status;
    return true;
}

bool audit_note(struct daemon *d, struct request *r, const char *subject, struct error *err)
{
    bool ok = store_begin(d->store, err) && audit_record(d, r, subject, r->done, err) &&
              store_commit(d->store, err);

    if (!ok)
        store_rollback(d->store);
    return ok;
}

void audit_refusal(struct daemon *d, struct request *r, int status)
{
    struct error err;

    if (!d->audit || reads(r) || !r->caller.id[0])
        return;
    audit_subject(d, r->params[0] ? r->params[0] : "");
    if (!append(d, r, status, &err))
        log_error("a refusal is missing in the audit log error=\"%s\"", err.msg);
}
