/* audit: what was changed, and by whom. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"
#include "client/ctl.h"
#include "client/url.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/wire/audit.h"

enum {
    LINE_MAX_BYTES = 64 << 10
};

struct audit {
    bool verify;
    const char *head;
    int64_t last;
};

static const struct opt rows[] = {
    OPT(struct audit, last, OPT_INT, "last", "only so many rows", .value = "N", .fallback = "50",
        .lo = 1, .hi = 500),
    OPT(struct audit, verify, OPT_FLAG, "verify",
        "read all rows and recompute their chain of hashes; the first that is broken is named, "
        "with status 1"),
    OPT(struct audit, head, OPT_TEXT, "head",
        "with --verify: what it printed once, which must still be a part of the chain",
        .value = "N:HASH"),
};

/* -- The last rows ----------------------------------------------------------------------------- */

static const struct out_column columns[] = {
    {"SEQ", true, false},   {"TIME", false, false},    {"CALLER", false, false},
    {"FROM", false, false}, {"STATUS", true, false},   {"METHOD", false, false},
    {"PATH", false, false}, {"SUBJECT", false, false},
};

static void add_row(struct out_table *t, const struct json *row)
{
    out_cell(t, "%" PRId64, js_int(js_get(row, "seq"), 0));
    out_cell(t, "%.19s", js_string(js_get(row, "at"), "?"));
    out_cell(t, "%s", js_string(js_get(row, "caller"), "?"));
    out_cell(t, "%s", js_string(js_get(row, "address"), "?"));
    out_cell(t, "%" PRId64, js_int(js_get(row, "status"), 0));
    out_cell(t, "%s", js_string(js_get(row, "method"), "?"));
    out_cell(t, "%.60s", js_string(js_get(row, "path"), "?"));
    out_cell(t, "%s", js_string(js_get(row, "subject"), ""));
}

static bool show(struct ctl *c, const struct audit *o, struct error *err)
{
    char *path = str_fmt("/api/v1/audit?page_size=%" PRId64, o->last);
    struct json *page = ctl_call(c, NULL, path, NULL, err);

    if (page && c->json)
        out_json(page);
    else if (page)
        out_list(OUT_TABLE(columns), js_get(page, "items"), add_row, &c->out);
    js_free(page);
    free(path);
    return page;
}

/* -- The chain --------------------------------------------------------------------------------- */

struct chain {
    struct http *http;
    struct buf line;
    int64_t rows;
    char hash[SHA256_HEX]; /* of the last one */
    char *head;            /* that the server announced */
    const char *known;     /* a head of earlier, or NULL */
    bool known_seen;
};

static char *head_of(const struct chain *c)
{
    return str_fmt("%" PRId64 ":%s", c->rows, c->hash);
}

static void note_known(struct chain *c)
{
    char *head = head_of(c);

    c->known_seen = c->known_seen || (c->known && strcmp(head, c->known) == 0);
    free(head);
}

static bool check_row(struct chain *c, const struct json *row, struct error *err)
{
    int64_t seq = js_int(js_get(row, "seq"), 0);
    char hash[SHA256_HEX];

    if (seq != c->rows + 1)
        return err_set(err, ERR_FAILED, "row %" PRId64 " is missing: row %" PRId64 " comes instead",
                       c->rows + 1, seq);
    audit_hash(c->hash, row, hash);
    if (strcmp(hash, js_string(js_get(row, "hash"), "")) != 0)
        return err_set(err, ERR_FAILED,
                       "row %" PRId64 " is broken: its hash is not that of its content behind row "
                       "%" PRId64,
                       seq, c->rows);
    c->rows = seq;
    memcpy(c->hash, hash, sizeof(hash));
    note_known(c);
    return true;
}

static bool check_line(struct chain *c, struct error *err)
{
    struct json *row = js_parse(c->line.data, c->line.len, err);
    bool ok = row ? check_row(c, row, err) : err_wrap(err, "the line behind row %" PRId64, c->rows);

    js_free(row);
    buf_reset(&c->line);
    return ok;
}

static bool take_bytes(const char *bytes, size_t len, void *arg, struct error *err)
{
    struct chain *c = arg;
    const char *end;

    while ((end = memchr(bytes, '\n', len))) {
        size_t n = (size_t)(end - bytes);

        if (!buf_add(&c->line, bytes, n))
            break;
        if (!check_line(c, err))
            return false;
        bytes += n + 1;
        len -= n + 1;
    }
    return buf_add(&c->line, bytes, len) ||
           err_set(err, ERR_FAILED, "the row behind row %" PRId64 " has more than %d bytes",
                   c->rows, LINE_MAX_BYTES);
}

static bool take_head(void *arg, struct error *err)
{
    struct chain *c = arg;
    const char *head = http_answer_header(c->http, "Audit-Head");

    c->head = head ? str_dup(head) : NULL;
    return head || err_set(err, ERR_FAILED, "the server does not say where its audit log ends");
}

/* What the server announced must be what came: a log that breaks off is no whole one. */
static bool check_end(const struct chain *c, struct error *err)
{
    char *head = head_of(c);
    bool ok = strcmp(head, c->head) == 0 ||
              err_set(err, ERR_FAILED, "the rows end at %s, the server's log at %s", head, c->head);

    free(head);
    return ok && (!c->known || c->known_seen ||
                  err_set(err, ERR_FAILED, "%s is no part of the chain: rows were lost or made up",
                          c->known));
}

static void report(const struct ctl *c, const struct chain *chain)
{
    struct json *j;

    if (!c->json) {
        printf("%" PRId64 " row%s, unbroken; head %s\n", chain->rows, chain->rows == 1 ? "" : "s",
               chain->head);
        return;
    }
    j = js_new_object();
    js_set(j, "rows", js_new_int(chain->rows));
    js_set(j, "head", js_new_string(chain->head));
    out_json(j);
    js_free(j);
}

static bool verify(struct ctl *c, const struct audit *o, struct error *err)
{
    struct chain chain = {.line = buf_new(LINE_MAX_BYTES), .hash = AUDIT_START, .known = o->head};
    struct http_request r = {.path = "/api/v1/audit",
                             .accept = "application/x-ndjson",
                             .begin = take_head,
                             .sink = take_bytes,
                             .arg = &chain};
    bool ok;

    note_known(&chain);
    chain.http = ctl_http(c, err);
    ok = chain.http && http_send(chain.http, &r, err) && check_end(&chain, err);
    if (ok)
        report(c, &chain);
    free(chain.head);
    buf_free(&chain.line);
    return ok;
}

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct audit *o = opts;

    if (o->head && !o->verify)
        return err_set(err, ERR_INVALID, "audit: --head goes with --verify");
    return o->verify ? verify(c, o, err) : show(c, o, err);
}

const struct command cmd_audit = {
    .name = "audit",
    .summary = "Show what was changed and by whom, or check that nothing of that is missing",
    .text = "Whoever can write the state folder can make up a whole new log. Keep what --verify "
            "prints somewhere else, and give it to --head the next time.",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct audit),
    .run = run,
};
