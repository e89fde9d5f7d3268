#include "daemon/problem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/base/table.h"

/* The codes of struct error stand here by their names. */
const struct problem_kind problem_kinds[] = {
    {"bad_request", 400, "Bad request",
     "The request is not well formed: its JSON cannot be read, a parameter is not of its kind, or "
     "its headers leave "
     "open where it ends or which host it is for; then its connection is closed."},
    {"unauthorized", 401, "Not authorized",
     "A token is needed that has neither expired nor been revoked: send `Authorization: Bearer "
     "TOKEN` with the content of STATE/token or what `distillctl token create` printed, or open "
     "the address that `distillctl dashboard` prints."},
    {"forbidden", 403, "Forbidden",
     "The scope of the token does not reach so far (read < submit < operate < admin; `distillctl "
     "token create --scope` makes another), the request names a host that this daemon does not "
     "answer for (--host adds one), another user than root and the daemon's asks by its UNIX "
     "socket, or a page in a browser tried to change something without the "
     "header X-Distilld-Request."},
    {"not_found", 404, "Not found", "There is nothing under this address."},
    {"method_not_allowed", 405, "Method not allowed",
     "The address exists, but not for this method; the header Allow lists those that it has."},
    {"not_acceptable", 406, "Not in this form",
     "The answer is not to be had as any of the media types that the header Accept names; `detail` "
     "says which there are."},
    {"conflict", 409, "Not in this state",
     "The resource is in a state in which this cannot be done."},
    {"idempotency_key_in_use", 409, "Key in use",
     "A request with the same Idempotency-Key is being carried out; send it again in a moment to "
     "have "
     "its answer."},
    {"gone", 410, "Gone",
     "The resource was there, and has been removed for good (DELETE, or the retention of the "
     "daemon)."},
    {"precondition_failed", 412, "It has changed",
     "The resource is no longer what the header If-Match, or If-None-Match, says: read it again, "
     "and decide anew."},
    {"precondition_required", 428, "Say what you have seen",
     "A change of this resource needs the header If-Match with the ETag that it had when it was "
     "read, so that it "
     "does not undo what somebody else has changed since."},
    {"cancelled", 409, "Cancelled", "What was asked for has been cancelled."},
    {"request_timeout", 408, "Too slow",
     "The headers of a request must arrive within 10 s, its body within 30 s or at 1 KiB/s; "
     "the connection is closed."},
    {"too_large", 413, "Too large", "The body has more bytes than the daemon takes."},
    {"uri_too_long", 414, "Address too long", "The address of the request has too many bytes."},
    {"unsupported_media_type", 415, "Unsupported media type",
     "A body must be JSON and be sent with `Content-Type: application/json`; a piece of an upload "
     "is sent as `application/partial-upload`."},
    {"range_not_satisfiable", 416, "No such part",
     "The header Range asks for bytes beyond the end of the file."},
    {"expectation_failed", 417, "Expectation failed",
     "The header Expect asks for something else than 100-continue."},
    {"invalid", 422, "Invalid",
     "The content breaks a rule; the member `errors` lists every place, by JSON pointer."},
    {"bad_data", 422, "Unusable data", "A file that was named cannot be used."},
    {"idempotency_key_reused", 422, "Key used for something else",
     "The header Idempotency-Key names an earlier request whose body was another one. A new "
     "request "
     "needs a new key."},
    {"unsupported", 422, "Unsupported", "Well formed, but not something this daemon can do."},
    {"quota_exceeded", 429, "Quota exceeded",
     "The project has as many waiting jobs as it may have (`distillctl projects`). Submit the job "
     "again when some of them have started."},
    {"too_many_connections", 429, "Too many connections",
     "This address has too many connections at a time (--connections-per-address); close some."},
    {"rate_limited", 429, "Too many requests",
     "This address or token has asked too often (--requests-per-second), or the address has shown "
     "too many tokens that are not valid (--auth-failures); the header Retry-After says when to "
     "come again. There are no limits by the UNIX socket."},
    {"headers_too_large", 431, "Headers too large",
     "The headers of the request have too many bytes."},
    {"failed", 500, "Failed", "The daemon could not do it; its log says more."},
    {"io", 503, "Storage is not available",
     "The daemon could not write its state (a full disk, for example). Nothing was accepted; try "
     "again when there is room."},
    {"storage_exhausted", 507, "No room",
     "The disk of the state folder is full. Nothing was accepted, running jobs go on; make room, "
     "and send "
     "the request again."},
    {"storage_busy", 503, "Storage is busy",
     "Another program holds the daemon's database, or the checkpoints of the job. Nothing was "
     "accepted; try again when it is done."},
    {"busy", 503, "Too much at a time",
     "Searches in logs (grep) and records read a lot, so that few are done at a time, and as many "
     "as may wait do, of all or of one token. The "
     "header Retry-After says when to come again."},
    {"unreachable", 503, "Unavailable", "Something that the daemon needs does not answer."},
    {"stopped", 503, "Stopping", "The daemon is about to end."},
    {"timeout", 504, "Too late", "It took too long."},
};
const size_t n_problem_kinds = ARRAY_LEN(problem_kinds);

const struct problem_kind *problem_find(const char *code)
{
    return table_find(TABLE(problem_kinds), code);
}

enum {
    SOON_S = 1
};

/* What passes by itself, so that the same request may be answered later. */
static bool is_retryable(const struct problem_kind *k)
{
    static const int statuses[] = {408, 429, 503, 504, 507};

    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        if (k->status == statuses[i])
            return true;
    return strcmp(k->code, "idempotency_key_in_use") == 0;
}

static void add_wait(struct request *r, struct json *j, int64_t after_s)
{
    char *text = str_fmt("%" PRId64, after_s);

    http_add_header(r, "Retry-After", text);
    js_set(j, "retry_after_s", js_new_int(after_s));
    free(text);
}

/* errors: NULL for none; after_s: 0 where nobody knows when: soon, if at all. */
static void reply_problem(struct request *r, const struct problem_kind *k,
                          const struct problems *errors, int64_t after_s, const char *detail)
{
    struct json *j = js_new_object();
    char *type = str_fmt("/problems/%s", k->code), *text;

    js_set(j, "type", js_new_string(type));
    js_set(j, "title", js_new_string(k->title));
    js_set(j, "status", js_new_int(k->status));
    js_set(j, "detail", js_new_string(detail));
    js_set(j, "instance", js_new_string(r->id));
    js_set(j, "code", js_new_string(k->code));
    js_set(j, "retryable", js_new_bool(is_retryable(k)));
    if (after_s || is_retryable(k))
        add_wait(r, j, after_s ? after_s : SOON_S);
    if (errors)
        js_set(j, "errors", problems_json(errors));
    text = js_text(j, JS_COMPACT);
    http_add_header(r, "Cache-Control", "no-store");
    http_reply(r, k->status, "application/problem+json", text, strlen(text));
    free(text);
    free(type);
    js_free(j);
}

static void reply_by_code(struct request *r, const char *code, const struct problems *errors,
                          int64_t after_s, const char *fmt, va_list ap)
    __attribute__((format(printf, 5, 0)));

static void reply_by_code(struct request *r, const char *code, const struct problems *errors,
                          int64_t after_s, const char *fmt, va_list ap)
{
    const struct problem_kind *k = problem_find(code);
    struct buf detail = buf_new(0);

    ASSERT(k);
    buf_vfmt(&detail, fmt, ap);
    reply_problem(r, k, errors, after_s, buf_text(&detail));
    buf_free(&detail);
}

void problem_reply(struct request *r, const char *code, const struct problems *errors,
                   const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    reply_by_code(r, code, errors, 0, fmt, ap);
    va_end(ap);
}

void problem_reply_later(struct request *r, const char *code, int64_t after_s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    reply_by_code(r, code, NULL, after_s, fmt, ap);
    va_end(ap);
}

void problem_reply_error(struct request *r, const struct error *err)
{
    const struct problem_kind *k = problem_find(err_name(err->code));

    reply_problem(r, k ? k : problem_find("failed"), NULL, 0, err->msg);
}
