/* /uploads: files in pieces. The bytes of a PATCH go to disk as they come, so that what a broken connection
 * or a killed daemon leaves is gone on with; it is acknowledged once it is synced, and the last one once the
 * whole file has the hash that it should have. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/api.h"
#include "daemon/body.h"
#include "daemon/problem.h"
#include "daemon/uploads.h"
#include "proto/base/str.h"

static const char piece_type[] = "application/partial-upload";

/* A piece that is coming in. There is one at most for each upload: whoever comes later takes over, because
 * a client whose connection broke comes again before the daemon has noticed. */
struct piece {
    struct piece *next, **link;
    struct daemon *daemon;
    struct upload upload;
    struct file_writer to; /* closed when it was taken over */
    char *folder;          /* of blobs */
    struct blob blob;      /* what the upload has become */
    bool whole, synced, syncing;
    struct error err;
};

static void add_headers(struct request *r, const struct upload *u)
{
    char number[24];

    snprintf(number, sizeof(number), "%" PRId64, u->have);
    http_add_header(r, "Upload-Offset", number);
    snprintf(number, sizeof(number), "%" PRId64, u->size);
    http_add_header(r, "Upload-Length", number);
    http_add_header(r, "Upload-Complete", u->complete ? "?1" : "?0");
}

static void reply_upload(struct request *r, int status, const struct upload *u)
{
    add_headers(r, u);
    reply_json(r, status, upload_json(u));
}

/* The upload params[0]. False when the answer was given. */
static bool take_upload(struct daemon *d, struct request *r, struct upload *u)
{
    struct error err;

    if (upload_find(d, r->params[0], u, &err))
        return true;
    problem_reply_error(r, &err);
    return false;
}

/* -- Beginning and asking ---------------------------------------------------------------------- */

void api_upload_create(struct daemon *d, struct request *r)
{
    static const struct member members[] = {
        {"size_bytes", JS_INT, true, body_is_count},
        {"sha256", JS_STRING, false, body_is_sha256},
    };
    struct json *body = body_read(r, "an upload", members, ARRAY_LEN(members));
    struct upload u;
    struct error err;
    char *location;
    bool fresh;

    if (!body)
        return;
    if (upload_begin(d, js_int(js_get(body, "size_bytes"), 0),
                     js_string(js_get(body, "sha256"), ""), &u, &fresh, &err)) {
        location = str_fmt("/api/v1/uploads/%s", u.id);
        http_add_header(r, "Location", location);
        reply_upload(r, fresh ? 201 : 200, &u);
        free(location);
    } else {
        problem_reply_error(r, &err);
    }
    js_free(body);
}

static struct piece *find_piece(const struct daemon *d, const char *id)
{
    for (struct piece *p = d->pieces; p; p = p->next)
        if (strcmp(p->upload.id, id) == 0)
            return p;
    return NULL;
}

/* False when that cannot be done just now, and the answer was given. */
static bool take_over(struct daemon *d, struct request *r, const char *id)
{
    struct piece *p = find_piece(d, id);

    if (!p)
        return true;
    if (p->syncing) {
        problem_reply(r, "conflict", NULL, "the last piece of the upload is being checked");
        return false;
    }
    file_writer_keep(&p->to);
    if (!p->err.code)
        err_set(&p->err, ERR_CONFLICT, "a later request goes on with the upload");
    return true;
}

void api_upload_get(struct daemon *d, struct request *r)
{
    struct upload u;

    if (take_upload(d, r, &u))
        reply_upload(r, 200, &u);
}

void api_upload_delete(struct daemon *d, struct request *r)
{
    struct upload u;
    struct error err;

    if (!take_upload(d, r, &u) || !take_over(d, r, u.id))
        return;
    if (upload_remove(d, &u, &err))
        http_reply(r, 204, NULL, "", 0);
    else
        problem_reply_error(r, &err);
}

/* -- A piece ----------------------------------------------------------------------------------- */

static bool take_bytes(void *arg, const char *data, size_t len)
{
    struct piece *p = arg;
    struct upload *u = &p->upload;

    if (p->err.code)
        return false;
    if ((int64_t)len > u->size - u->have)
        return err_set(&p->err, ERR_TOO_LARGE,
                       "the upload has %" PRId64 " bytes; more than the missing %" PRId64 " came",
                       u->size, u->size - u->have);
    if (!file_write_all(p->to.fd, p->to.tmp, data, len, &p->err))
        return false;
    u->have += (int64_t)len;
    return true;
}

static void piece_free(void *arg)
{
    struct piece *p = arg;

    *p->link = p->next;
    if (p->next)
        p->next->link = p->link;
    file_writer_keep(&p->to);
    free(p->folder);
    free(p);
}

static struct piece *piece_new(struct daemon *d, const struct upload *u)
{
    struct piece *p = NEW(struct piece);

    *p = (struct piece){.next = d->pieces,
                        .link = &d->pieces,
                        .daemon = d,
                        .upload = *u,
                        .to = {.fd = -1},
                        .folder = blob_folder(d)};
    if (p->next)
        p->next->link = &p->next;
    d->pieces = p;
    return p;
}

/* Where the client believes the piece to begin. False when the answer was given. */
static bool take_offset(struct request *r, int64_t *out)
{
    const char *type = http_header(r, "Content-Type"), *offset = http_header(r, "Upload-Offset");

    if (!type || strcasecmp(type, piece_type) != 0)
        problem_reply(r, "unsupported_media_type", NULL, "a piece of an upload is sent as %s",
                      piece_type);
    else if (!offset || !str_int(offset, 0, INT64_MAX, out))
        problem_reply(r, "bad_request", NULL,
                      "Upload-Offset: expected the place of the first byte, got \"%.40s\"",
                      offset ? offset : "nothing");
    else
        return true;
    return false;
}

static bool fits(struct request *r, const struct upload *u, int64_t offset)
{
    const char *length = http_header(r, "Content-Length");
    int64_t n = 0;

    if (u->complete || offset != u->have) {
        add_headers(r, u);
        problem_reply(r, "conflict", NULL,
                      u->complete ? "the upload is complete"
                                  : "the upload goes on at %" PRId64 ", not at %" PRId64,
                      u->have, offset);
    } else if (length && !str_int(length, 0, u->size - u->have, &n)) {
        problem_reply(r, "too_large", NULL,
                      "the upload lacks %" PRId64 " bytes; the piece has %.20s", u->size - u->have,
                      length);
    } else {
        return true;
    }
    return false;
}

void api_upload_begin(struct daemon *d, struct request *r)
{
    static const struct http_sink sink = {take_bytes, piece_free};
    struct file_writer to = {.fd = -1};
    struct upload u;
    struct error err;
    struct piece *p;
    int64_t offset;

    if (!take_offset(r, &offset) || !take_upload(d, r, &u) || !take_over(d, r, u.id))
        return;
    if (!u.complete && !upload_open_part(d, &u, &to, &err)) {
        problem_reply_error(r, &err);
    } else if (fits(r, &u, offset)) {
        p = piece_new(d, &u);
        p->to = to;
        r->sink = &sink;
        r->sink_arg = p;
        return;
    }
    file_writer_keep(&to);
}

/* On another thread. */
static void sync_piece(void *arg)
{
    struct piece *p = arg;
    const struct upload *u = &p->upload;

    p->whole = u->have == u->size;
    p->synced = p->whole ? blob_adopt(p->folder, &p->to, u->sha256, &p->blob, &p->err)
                         : file_fsync(p->to.fd, p->to.tmp, &p->err);
}

static bool note(struct piece *p)
{
    struct daemon *d = p->daemon;
    struct error err;

    if (p->synced)
        return p->whole ? upload_complete(d, &p->upload, &p->blob, &p->err)
                        : upload_touch(d, &p->upload, &p->err);
    if (p->whole && p->err.code == ERR_DATA) /* there is nothing to go on with */
        upload_remove(d, &p->upload, &err);
    return false;
}

static void answer_piece(struct request *r, void *arg)
{
    struct piece *p = arg;

    p->syncing = false;
    if (!note(p)) {
        problem_reply_error(r, &p->err);
    } else if (p->whole) {
        reply_upload(r, 200, &p->upload);
    } else {
        add_headers(r, &p->upload);
        http_reply(r, 204, NULL, "", 0);
    }
}

void api_upload_append(struct daemon *d, struct request *r)
{
    struct piece *p = r->sink_arg;

    (void)d;
    if (p->err.code) {
        problem_reply_error(r, &p->err);
        return;
    }
    p->syncing = true;
    http_work(r, sync_piece, answer_piece, p);
}
