#include "client/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/hash.h"
#include "client/meter.h"
#include "client/patience.h"
#include "client/url.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    PIECE = 8 << 20 /* is on the server's disk when the next one begins */
};

struct state {
    struct ctl *ctl;
    int fd;
    const char *path;
    const char *sha256;
    char *url; /* of the upload */
    bool complete;
    struct meter meter; /* its `have` is where the next piece begins */
};

/* Where the upload is, as the server has it. */
static bool take_answer(struct state *s, struct json *take_answer, struct error *err)
{
    int64_t offset = js_int(js_get(take_answer, "offset"), -1);

    if (take_answer && offset < 0)
        err_set(err, ERR_FAILED, "%s says nothing of the upload's offset", s->ctl->base);
    s->meter.have = offset;
    s->complete = js_bool(js_get(take_answer, "complete"), false);
    js_free(take_answer);
    return offset >= 0;
}

static bool begin(struct state *s, struct error *err)
{
    struct json *body = js_new_object(), *answer;
    struct buf url = buf_new(0);

    js_set(body, "size_bytes", js_new_int(s->meter.total));
    js_set(body, "sha256", js_new_string(s->sha256));
    answer = ctl_call(s->ctl, "POST", "/api/v1/uploads", body, err);
    buf_str(&url, "/api/v1/uploads/");
    url_escape(&url, js_string(js_get(answer, "id"), ""));
    s->url = buf_take(&url);
    js_free(body);
    return take_answer(s, answer, err);
}

static bool ask(struct state *s, struct error *err)
{
    return take_answer(s, ctl_call(s->ctl, NULL, s->url, NULL, err), err);
}

static ssize_t read_piece(const struct state *s, char *to, struct error *err)
{
    ssize_t n = pread(s->fd, to, PIECE, s->meter.have);

    if (n < 0)
        err_set(err, ERR_IO, "read %s: %s", s->path, strerror(errno));
    if (n == 0 && s->meter.have < s->meter.total) {
        err_set(err, ERR_DATA, "%s has become shorter", s->path);
        return -1;
    }
    return n;
}

/* The last piece is answered when the server has read the whole file again. */
static bool send_piece(struct state *s, char *block, struct error *err)
{
    ssize_t n = read_piece(s, block, err);
    char offset[24];
    struct http_request r = {.method = "PATCH",
                             .path = s->url,
                             .bytes = block,
                             .type = "application/partial-upload",
                             .upload_offset = offset,
                             .patient = true};
    struct json *answer;

    if (n < 0)
        return false;
    r.n_bytes = (size_t)n;
    snprintf(offset, sizeof(offset), "%" PRId64, s->meter.have);
    answer = ctl_ask(s->ctl, &r, err);
    if (!answer)
        return false;
    s->meter.have += n;
    s->complete = js_bool(js_get(answer, "complete"), false);
    js_free(answer);
    return true;
}

/* A server that is not there, or still has to do with a piece of a client that has gone. */
static bool may_pass(const struct patience *p, const struct error *err)
{
    const struct error silence = {.code = ERR_UNREACHABLE};

    return patience_left(p, err->code == ERR_CONFLICT ? &silence : err);
}

/* After a failure: true when it goes on, from where the server says. */
static bool recover(struct state *s, struct patience *p, struct error *err)
{
    while (may_pass(p, err)) {
        patience_wait(p);
        ctl_renew(s->ctl);
        if (ask(s, err))
            return true;
    }
    return false;
}

static bool send_all(struct state *s, struct error *err)
{
    char *block = mem_calloc(PIECE, 1);
    struct patience p = {.lost_at = 0};
    bool ok = true;

    meter_begin(&s->meter);
    while (ok && !s->complete) {
        ok = send_piece(s, block, err);
        if (ok)
            p = (struct patience){.lost_at = 0};
        else
            ok = recover(s, &p, err);
        meter_show(&s->meter);
    }
    meter_end(&s->meter);
    free(block);
    return ok;
}

static bool open_file(struct state *s, struct error *err)
{
    struct stat st;

    s->fd = open(s->path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0 || fstat(s->fd, &st) != 0)
        return err_set(err, ERR_INVALID, "open %s: %s", s->path, strerror(errno));
    if (!S_ISREG(st.st_mode) || st.st_size == 0)
        return err_set(err, ERR_INVALID, "%s is %s", s->path,
                       S_ISREG(st.st_mode) ? "empty" : "not a regular file");
    s->meter.total = st.st_size;
    return true;
}

static void tell_resumed(const struct state *s)
{
    char text[OUT_TEXT];

    if (!s->meter.quiet && !s->complete && s->meter.have)
        fprintf(stderr, "%s: going on after %s\n", s->path, out_bytes(s->meter.have, text));
}

bool upload(struct ctl *c, const char *path, bool quiet, char sha256[SHA256_HEX], struct error *err)
{
    struct state s = {.ctl = c,
                      .fd = -1,
                      .path = path,
                      .sha256 = sha256,
                      .meter = {.name = path, .term = c->err, .quiet = quiet}};
    bool ok = open_file(&s, err) && hash_file(path, sha256, err) && begin(&s, err);

    if (ok) {
        tell_resumed(&s);
        ok = send_all(&s, err);
    }
    if (s.fd >= 0)
        close(s.fd);
    free(s.url);
    return ok;
}
