#include "daemon/reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/etag.h"
#include "daemon/problem.h"
#include "daemon/range.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

static bool is_reading(const struct request *r)
{
    return strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;
}

/* To be kept by who asked, and asked for again before each use. */
static void add_tag(struct request *r, const char *etag)
{
    http_add_header(r, "ETag", etag);
    http_add_header(r, "Cache-Control", "private, no-cache");
}

/* The client has it already: 304 then says how long the body would be, and leaves it out. */
static bool is_known(const struct request *r, const char *etag)
{
    const char *known = http_header_list(r, "If-None-Match");

    return known && etag_listed(known, strlen(known), etag);
}

void reply_bytes(struct request *r, int status, const char *type, const void *data, size_t len)
{
    char etag[ETAG_SIZE];

    if (status != 200 || !is_reading(r)) {
        http_add_header(r, "Cache-Control", "no-store");
        http_reply(r, status, type, data, len);
        return;
    }
    etag_of_bytes(data, len, etag);
    add_tag(r, etag);
    http_reply(r, is_known(r, etag) ? 304 : status, type, data, len);
}

void reply_json(struct request *r, int status, struct json *take_body)
{
    reply_json_text(r, status, js_text(take_body, JS_COMPACT));
    js_free(take_body);
}

void reply_json_text(struct request *r, int status, char *take_text)
{
    reply_bytes(r, status, "application/json; charset=utf-8", take_text, strlen(take_text));
    free(take_text);
}

static const char json_type[] = "application/json; charset=utf-8";

void reply_json_etag(struct request *r, int status, const char *etag, char *take_text)
{
    add_tag(r, etag);
    http_reply(r, is_reading(r) && is_known(r, etag) ? 304 : status, json_type, take_text,
               strlen(take_text));
    free(take_text);
}

static void tag_of(const struct json *shown, const char *text, const char *const *moves,
                   char etag[ETAG_SIZE])
{
    struct json *state = js_copy(shown);
    char *settled;

    for (; moves && *moves; moves++)
        js_delete(state, *moves);
    settled = js_text(state, JS_COMPACT);
    etag_of_state(settled, text, strlen(text), etag);
    free(settled);
    js_free(state);
}

void reply_resource(struct request *r, int status, struct json *take_shown,
                    const char *const *moves)
{
    char *text = js_text(take_shown, JS_COMPACT), etag[ETAG_SIZE];

    tag_of(take_shown, text, moves, etag);
    js_free(take_shown);
    reply_json_etag(r, status, etag, text);
}

bool reply_may_change(struct request *r, struct json *take_shown, const char *const *moves)
{
    const char *is = http_header_list(r, "If-Match"),
               *is_not = http_header_list(r, "If-None-Match");
    char *text = take_shown && (is || is_not) ? js_text(take_shown, JS_COMPACT) : NULL;
    const char *wrong = NULL;
    char etag[ETAG_SIZE];

    if (text)
        tag_of(take_shown, text, moves, etag);
    js_free(take_shown);
    if (is && !(text && etag_matches(is, strlen(is), etag)))
        wrong = "If-Match";
    else if (is_not && text && etag_matches(is_not, strlen(is_not), etag))
        wrong = "If-None-Match";
    if (wrong)
        problem_reply(r, "precondition_failed", NULL, "%s: %.100s; %s%.500s", wrong,
                      http_header(r, wrong), text ? "it is " : "there is none", text ? text : "");
    free(text);
    return !wrong;
}

bool reply_if_known(struct request *r, const struct reply_memory *m, const char *etag)
{
    size_t i = 0;

    while (i < ARRAY_LEN(m->at) && strcmp(m->at[i].etag, etag) != 0)
        i++;
    if (i == ARRAY_LEN(m->at) || !is_known(r, etag))
        return false;
    add_tag(r, etag);
    http_reply_unchanged(r, m->at[i].len);
    return true;
}

void reply_tagged_text(struct request *r, struct reply_memory *m, const char *etag, char *take_json)
{
    const size_t len = strlen(take_json), at = m->next++ % ARRAY_LEN(m->at);

    snprintf(m->at[at].etag, ETAG_SIZE, "%s", etag);
    m->at[at].len = len;
    add_tag(r, etag);
    http_reply(r, is_known(r, etag) ? 304 : 200, json_type, take_json, len);
    free(take_json);
}

void reply_text(struct request *r, const char *type, const char *text)
{
    http_add_header(r, "Cache-Control", "no-store");
    http_reply(r, 200, type, text, strlen(text));
}

/* Of a part the client may want to know that it still belongs to what it has. */
static bool range_holds(const struct request *r, const char *etag)
{
    const char *condition = http_header(r, "If-Range");

    return !condition || (etag && strcmp(condition, etag) == 0);
}

static void reply_outside(struct request *r, uint64_t size)
{
    char *range = str_fmt("bytes */%" PRIu64, size);

    http_add_header(r, "Content-Range", range);
    problem_reply(r, "range_not_satisfiable", NULL, "the file has %" PRIu64 " bytes; asked for: %s",
                  size, http_header(r, "Range"));
    free(range);
}

/* Of the file the body is what stands from byte `start` on. */
static void reply_part(struct request *r, const char *type, int take_fd, uint64_t start,
                       uint64_t from, uint64_t count, uint64_t size)
{
    char *range = str_fmt("bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, from, from + count - 1, size);

    http_add_header(r, "Content-Range", range);
    http_reply_file(r, 206, type, take_fd, start + from, count);
    free(range);
}

/* etag: NULL for none. */
static void reply_tagged(struct request *r, const char *type, int take_fd, const struct stat *st,
                         uint64_t start, const char *etag)
{
    const char *wanted = strcmp(r->method, "GET") == 0 ? http_header(r, "Range") : NULL;
    uint64_t size = (uint64_t)st->st_size - start, from = 0, count = size;
    enum range_kind kind = RANGE_WHOLE;

    http_add_header(r, "Accept-Ranges", "bytes");
    if (etag)
        add_tag(r, etag);
    else
        http_add_header(r, "Cache-Control", "no-store");
    if (etag && is_known(r, etag)) {
        http_reply_file(r, 304, type, take_fd, start, size);
        return;
    }
    if (wanted && range_holds(r, etag))
        kind = range_parse(wanted, strlen(wanted), size, &from, &count);
    switch (kind) {
    case RANGE_WHOLE: http_reply_file(r, 200, type, take_fd, start, size); break;
    case RANGE_PART: reply_part(r, type, take_fd, start, from, count, size); break;
    case RANGE_OUTSIDE:
        close(take_fd);
        reply_outside(r, size);
        break;
    }
}

void reply_file_from(struct request *r, const char *type, int take_fd, const struct stat *st,
                     uint64_t from)
{
    char etag[ETAG_SIZE];
    bool tagged = etag_of_file(st, clock_wall_ms(), etag);
    size_t quote = strlen(etag) - 1;

    if (from)
        snprintf(etag + quote, sizeof(etag) - quote, "-%" PRIx64 "\"", from);
    reply_tagged(r, type, take_fd, st, from, tagged ? etag : NULL);
}

void reply_file(struct request *r, const char *type, int take_fd, const struct stat *st)
{
    reply_file_from(r, type, take_fd, st, 0);
}

static unsigned hex_digit(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a') + 10;
}

/* RFC 9530: "sha-256=:BASE64:". Each three bytes of the hash are six digits of it, and four characters; the
 * 32 bytes leave two over. */
static char *repr_digest(const char *sha256)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct buf b = buf_new(0);

    buf_str(&b, "sha-256=:");
    for (; *sha256; sha256 += sha256[4] ? 6 : 4) {
        unsigned bits = 0, n = sha256[4] ? 6 : 4;

        for (unsigned i = 0; i < 6; i++)
            bits = bits << 4 | (i < n ? hex_digit(sha256[i]) : 0);
        for (unsigned i = 0; i < (n == 6 ? 4 : 3); i++)
            buf_add(&b, &letters[bits >> (18 - 6 * i) & 63], 1);
    }
    buf_str(&b, "=:");
    return buf_take(&b);
}

void reply_content(struct request *r, const char *type, int take_fd, const struct stat *st,
                   const char *sha256)
{
    char *etag = str_fmt("\"%s\"", sha256), *digest = repr_digest(sha256);

    http_add_header(r, "Repr-Digest", digest);
    reply_tagged(r, type, take_fd, st, 0, etag);
    free(etag);
    free(digest);
}
