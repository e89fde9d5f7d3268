/* /audit: pages, newest first, or all of it as lines of JSON, oldest first, in which the chain can be followed. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/accept.h"
#include "daemon/api.h"
#include "daemon/audit.h"
#include "daemon/listing.h"
#include "daemon/problem.h"
#include "daemon/tokens.h"
#include "proto/base/str.h"

static const char lines_type[] = "application/x-ndjson";

enum {
    ROWS_AT_ONCE = 100
};

static void add_head(struct request *r, const struct audit_head *head)
{
    char *text = str_fmt("%" PRId64 ":%s", head->seq, head->hash);

    http_add_header(r, "Audit-Head", text);
    free(text);
}

/* -- A page ------------------------------------------------------------------------------------ */

static void add_to_page(struct json *take_row, void *arg)
{
    struct listing *l = arg;

    if (listing_has_room(l))
        listing_add(l, js_int(js_get(take_row, "seq"), 0), take_row);
    else
        js_free(take_row);
}

static void reply_page(struct daemon *d, struct request *r)
{
    struct listing l;
    struct error err;

    if (!listing_begin(d, r, "", &l))
        return;
    if (audit_rows(d, 1, l.before ? l.before - 1 : INT64_MAX, (int64_t)l.limit + 1, true,
                   add_to_page, &l, &err)) {
        listing_reply(d, r, &l, "/api/v1/audit", "");
    } else {
        listing_drop(&l);
        problem_reply_error(r, &err);
    }
}

/* -- All of it --------------------------------------------------------------------------------- */

struct lines {
    struct daemon *daemon;
    struct caller caller;
    int64_t next, last; /* what came after the request is left to the next one */
    struct buf text;
    size_t sent;
};

static void add_line(struct json *take_row, void *arg)
{
    struct lines *l = arg;

    l->next = js_int(js_get(take_row, "seq"), 0) + 1;
    js_write(take_row, JS_COMPACT, &l->text);
    buf_str(&l->text, "\n");
    js_free(take_row);
}

/* False at the end, and when the rest cannot be read: then the lines break off before the head that was announced. */
static bool refill(struct lines *l)
{
    buf_reset(&l->text);
    l->sent = 0;
    return l->next <= l->last &&
           audit_rows(l->daemon, l->next, l->last, ROWS_AT_ONCE, false, add_line, l, NULL) &&
           l->text.len;
}

static ssize_t lines_read(void *arg, char *out, size_t max)
{
    struct lines *l = arg;
    size_t n;

    if (!token_holds(l->daemon, &l->caller) || (l->sent == l->text.len && !refill(l)))
        return -1;
    n = l->text.len - l->sent < max ? l->text.len - l->sent : max;
    memcpy(out, l->text.data + l->sent, n);
    l->sent += n;
    return (ssize_t)n;
}

static void lines_free(void *arg)
{
    struct lines *l = arg;

    buf_free(&l->text);
    free(l);
}

static const struct http_stream_ops lines_ops = {lines_read, lines_free};

static void reply_lines(struct daemon *d, struct request *r, int64_t last)
{
    struct lines *l;
    int64_t after;

    if (!api_number(r, "after", 0, INT64_MAX - 1, 0, &after))
        return;
    l = NEW(struct lines);
    *l = (struct lines){
        .daemon = d, .caller = r->caller, .next = after + 1, .last = last, .text = buf_new(0)};
    http_add_header(r, "Cache-Control", "no-store");
    http_reply_stream(r, 200, lines_type, &lines_ops, l);
}

void api_audit(struct daemon *d, struct request *r)
{
    struct audit_head head;
    struct error err;

    if (!audit_last(d, &head, &err)) {
        problem_reply_error(r, &err);
        return;
    }
    add_head(r, &head);
    if (accept_prefers(http_header_list(r, "Accept"), lines_type, "application/json"))
        reply_lines(d, r, head.seq);
    else
        reply_page(d, r);
}
