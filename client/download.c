#include "client/download.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/url.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    MAX_ETAG = 1024,
    BAR_CELLS = 20
};

static const double redraw_s = 0.1, line_s = 1;

struct state {
    const struct download *d;
    struct http *http;
    struct term term;
    struct file_writer to;
    char *etag_path;
    char *etag;    /* of what the part holds; NULL: it cannot be gone on with */
    int64_t have;  /* bytes in the part */
    int64_t total; /* -1: not known */
    /* progress of this run */
    int64_t had;
    double began, shown;
    int64_t tenths; /* that have a line */
};

/* -- Progress ------------------------------------------------------------------------------------- */

/* "42 %  12.3 MB of 50.1 MB  3.1 MB/s  ETA 12s" */
static void describe(const struct state *s, struct buf *b)
{
    double seconds = clock_mono_s() - s->began;
    double rate = seconds > 0 ? (double)(s->have - s->had) / seconds : 0;
    char text[OUT_TEXT];

    if (s->total > 0)
        buf_fmt(b, "%3" PRId64 " %%  ", 100 * s->have / s->total);
    buf_str(b, out_bytes(s->have, text));
    if (s->total > 0)
        buf_fmt(b, " of %s", out_bytes(s->total, text));
    buf_fmt(b, "  %s/s", out_bytes((int64_t)rate, text));
    if (s->total > 0 && rate > 0)
        buf_fmt(b, "  ETA %s", out_duration((double)(s->total - s->have) / rate, text));
}

static void redraw(const struct state *s)
{
    struct buf line = buf_new(0);

    if (s->total > 0) {
        out_bar(&line, (double)s->have / (double)s->total, BAR_CELLS);
        buf_str(&line, " ");
    }
    describe(s, &line);
    fprintf(stderr, "\r%s  %s\x1b[K", buf_text(&line), s->d->name);
    buf_free(&line);
}

static void print_line(const struct state *s)
{
    struct buf line = buf_new(0);

    describe(s, &line);
    fprintf(stderr, "%s: %s\n", s->d->name, buf_text(&line));
    buf_free(&line);
}

/* On a terminal a line that is drawn over; elsewhere a line for each tenth, when that takes a while. */
static bool on_tick(double received, double total, void *arg, struct error *err)
{
    struct state *s = arg;
    double now = clock_mono_s();
    int64_t tenths = s->total > 0 ? 10 * s->have / s->total : 0;

    (void)received;
    (void)total;
    (void)err;
    if (s->d->quiet || s->began <= 0 || now - s->shown < (s->term.tty ? redraw_s : line_s) ||
        (!s->term.tty && tenths == s->tenths))
        return true;
    s->shown = now;
    s->tenths = tenths;
    (s->term.tty ? redraw : print_line)(s);
    return true;
}

static void tell_resumed(const struct state *s)
{
    char text[OUT_TEXT];

    if (!s->d->quiet)
        fprintf(stderr, "%s: going on after %s\n", s->d->name, out_bytes(s->have, text));
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
    s->have = 0;
    return file_writer_restart(&s->to, err) && note_etag(s, NULL, err);
}

static bool open_part(struct state *s, struct error *err)
{
    char *part = str_fmt("%s.part", s->d->path);
    struct buf etag = buf_new(MAX_ETAG);
    bool ok = file_writer_reopen(&s->to, s->d->path, part, 0666, &s->have, err);

    if (ok && s->have && file_read(s->etag_path, &etag, NULL) && etag.len && etag.data[0] == '"' &&
        !strpbrk(etag.data, "\r\n"))
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
    } else if (s->to.path && s->etag && s->have) {
        err_wrap(err, "%s keeps %" PRId64 " bytes for the next time", s->to.tmp, s->have);
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
        sscanf(range, "bytes %" SCNd64 "-%" SCNd64 "/%" SCNd64, &first, &last, &s->total) == 3 &&
        first == s->have && last == s->total - 1)
        return true;
    return err_set(err, ERR_FAILED, "asked for the bytes from %" PRId64 " on, got \"%s\"", s->have,
                   range ? range : "no Content-Range");
}

static bool take_whole(struct state *s, struct error *err)
{
    const char *length = http_answer_header(s->http, "Content-Length");

    if (!length || !str_int(length, 0, INT64_MAX, &s->total))
        s->total = -1;
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
    s->had = s->have;
    s->began = s->shown = clock_mono_s();
    s->tenths = s->total > 0 ? 10 * s->have / s->total : 0;
    return true;
}

static bool on_bytes(const char *bytes, size_t len, void *arg, struct error *err)
{
    struct state *s = arg;

    if (!file_writer_add(&s->to, bytes, len, err))
        return false;
    s->have += (int64_t)len;
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
        snprintf(range, sizeof(range), "bytes=%" PRId64 "-", s->have);
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

static bool finish(struct state *s, struct error *err)
{
    if (s->total >= 0 && s->have != s->total)
        return err_set(err, ERR_FAILED, "%s has %" PRId64 " bytes, %" PRId64 " came", s->d->name,
                       s->total, s->have);
    return file_writer_commit(&s->to, err);
}

bool download(struct ctl *c, const struct download *d, int64_t *bytes_out, struct error *err)
{
    struct state s = {.d = d, .http = ctl_http(c, err), .term = c->err, .total = -1};
    char *path;
    bool ok;

    if (!s.http)
        return false;
    s.etag_path = str_fmt("%s.part.etag", d->path);
    path = url_artifact(d->id, d->name);
    ok = open_part(&s, err) && transfer(&s, path, err) && finish(&s, err);
    if (s.term.tty && s.shown > s.began)
        fputs("\r\x1b[K", stderr);
    close_part(&s, ok, err);
    *bytes_out = s.have;
    free(s.etag);
    free(s.etag_path);
    free(path);
    return ok;
}
