#include "client/download.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/hash.h"
#include "client/meter.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    MAX_ETAG = 1024
};

struct state {
    const struct download *d;
    struct http *http;
    struct file_writer to;
    char *etag_path;
    char *etag;         /* of what the part holds; NULL: it cannot be gone on with */
    struct meter meter; /* its `have` are the bytes in the part */
};

static bool on_tick(double received, double total, void *arg, struct error *err)
{
    (void)received;
    (void)total;
    (void)err;
    meter_show(&((struct state *)arg)->meter);
    return true;
}

static void tell_resumed(const struct state *s)
{
    char text[OUT_TEXT];

    if (!s->d->quiet)
        fprintf(stderr, "%s: going on after %s\n", s->d->name, out_bytes(s->meter.have, text));
}

/* -- The part ------------------------------------------------------------------------------------- */

/* What the part holds is of the version with this tag. */
static bool note_etag(struct state *s, const char *etag, struct error *err)
{
    free(s->etag);
    s->etag = NULL;
    if (!etag || etag[0] != '"' || strlen(etag) > MAX_ETAG) {
        unlink(s->etag_path);
        return true;
    }
    s->etag = str_dup(etag);
    return file_replace(s->etag_path, etag, strlen(etag), 0666, err);
}

static bool forget(struct state *s, struct error *err)
{
    s->meter.have = 0;
    return file_writer_restart(&s->to, err) && note_etag(s, NULL, err);
}

static bool open_part(struct state *s, struct error *err)
{
    char *part = str_fmt("%s.part", s->d->path);
    struct buf etag = buf_new(MAX_ETAG);
    bool ok = file_writer_reopen(&s->to, s->d->path, part, 0666, &s->meter.have, err);

    if (ok && s->meter.have && file_read(s->etag_path, &etag, NULL) && etag.len &&
        etag.data[0] == '"' && !strpbrk(etag.data, "\r\n"))
        s->etag = str_dup(etag.data);
    else if (ok)
        ok = forget(s, err);
    buf_free(&etag);
    free(part);
    return ok;
}

/* A part that is of no use is not left behind. */
static void close_part(struct state *s, bool done, struct error *err)
{
    if (done) {
        unlink(s->etag_path);
    } else if (s->to.path && s->etag && s->meter.have) {
        err_wrap(err, "%s keeps %" PRId64 " bytes for the next time", s->to.tmp, s->meter.have);
        file_writer_keep(&s->to);
    } else if (s->to.path) {
        unlink(s->etag_path);
        file_writer_abandon(&s->to);
    }
}

/* -- The transfer --------------------------------------------------------------------------------- */

/* "bytes 100-199/200" */
static bool take_range(struct state *s, struct error *err)
{
    const char *range = http_answer_header(s->http, "Content-Range");
    int64_t first, last;

    if (range &&
        sscanf(range, "bytes %" SCNd64 "-%" SCNd64 "/%" SCNd64, &first, &last, &s->meter.total) ==
            3 &&
        first == s->meter.have && last == s->meter.total - 1)
        return true;
    return err_set(err, ERR_FAILED, "asked for the bytes from %" PRId64 " on, got \"%s\"",
                   s->meter.have, range ? range : "no Content-Range");
}

static bool take_whole(struct state *s, struct error *err)
{
    const char *length = http_answer_header(s->http, "Content-Length");

    if (!length || !str_int(length, 0, INT64_MAX, &s->meter.total))
        s->meter.total = -1;
    return forget(s, err) && note_etag(s, http_answer_header(s->http, "ETag"), err);
}

static bool on_begin(void *arg, struct error *err)
{
    struct state *s = arg;
    bool rest = http_answer_status(s->http) == 206;

    if (!(rest ? take_range : take_whole)(s, err))
        return false;
    if (rest)
        tell_resumed(s);
    meter_begin(&s->meter);
    return true;
}

static bool on_bytes(const char *bytes, size_t len, void *arg, struct error *err)
{
    struct state *s = arg;

    if (!file_writer_add(&s->to, bytes, len, err))
        return false;
    s->meter.have += (int64_t)len;
    return true;
}

static bool request(struct state *s, const char *path, struct error *err)
{
    struct http_request r = {.path = path,
                             .accept = "*/*",
                             .begin = on_begin,
                             .sink = on_bytes,
                             .tick = on_tick,
                             .arg = s};
    char range[40];

    if (s->etag) {
        snprintf(range, sizeof(range), "bytes=%" PRId64 "-", s->meter.have);
        r.range = range;
        r.if_range = s->etag;
    }
    return http_send(s->http, &r, err);
}

/* The server may have no such range: the part is then no beginning of what it has. */
static bool transfer(struct state *s, const char *path, struct error *err)
{
    bool resumed = s->etag;

    if (request(s, path, err))
        return true;
    if (!resumed || http_answer_status(s->http) != 416 || !forget(s, err))
        return false;
    err_clear(err);
    return request(s, path, err);
}

/* A part with other bytes than it should have is no beginning of anything. */
static bool verify(struct state *s, struct error *err)
{
    char hex[SHA256_HEX];

    if (!s->d->sha256)
        return true;
    if (!hash_file(s->to.tmp, hex, err))
        return false;
    if (strcmp(hex, s->d->sha256) == 0)
        return true;
    forget(s, NULL);
    return err_set(err, ERR_DATA, "%s: what came has the sha256 %s, not %s", s->d->name, hex,
                   s->d->sha256);
}

static bool finish(struct state *s, struct error *err)
{
    if (s->meter.total >= 0 && s->meter.have != s->meter.total)
        return err_set(err, ERR_FAILED, "%s has %" PRId64 " bytes, %" PRId64 " came", s->d->name,
                       s->meter.total, s->meter.have);
    return verify(s, err) && file_writer_commit(&s->to, err);
}

bool download(struct ctl *c, const struct download *d, int64_t *bytes_out, struct error *err)
{
    struct state s = {.d = d,
                      .http = ctl_http(c, err),
                      .meter = {.name = d->name, .term = c->err, .quiet = d->quiet, .total = -1}};
    bool ok;

    if (!s.http)
        return false;
    s.etag_path = str_fmt("%s.part.etag", d->path);
    ok = open_part(&s, err) && transfer(&s, d->url, err) && finish(&s, err);
    meter_end(&s.meter);
    close_part(&s, ok, err);
    *bytes_out = s.meter.have;
    free(s.etag);
    free(s.etag_path);
    return ok;
}
