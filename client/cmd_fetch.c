#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"
#include "client/ctl.h"
#include "client/url.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

struct fetch {
    const char *id, *name, *dir;
};

static const struct opt rows[] = {
    OPT(struct fetch, id, ARG_ONE, "ID", "the job"),
    OPT(struct fetch, name, ARG_MAYBE, "NAME", "one of the files that `distillctl show` lists",
        .fallback = "student.safetensors"),
    OPT(struct fetch, dir, OPT_TEXT, "out", "folder to put it in; made if missing", .letter = 'o',
        .value = "DIR", .fallback = "."),
};

/* One file on its way: into a temporary file, which gets its name when all of it has come. */
struct download {
    struct file_writer writer;
    struct term term;
    const char *name;
    int64_t bytes;
    double shown_at;
};

static bool on_bytes(const char *bytes, size_t len, void *arg, struct error *err)
{
    struct download *d = arg;

    d->bytes += (int64_t)len;
    return file_writer_add(&d->writer, bytes, len, err);
}

static bool on_tick(double received, double total, void *arg, struct error *err)
{
    struct download *d = arg;
    struct buf line = buf_new(0);
    char text[OUT_TEXT];

    (void)err;
    if (!d->term.tty || total <= 0 || clock_mono_s() - d->shown_at < 0.1)
        return true;
    d->shown_at = clock_mono_s();
    out_bar(&line, received / total, 20);
    fprintf(stderr, "\r%s %3.0f %%  %s  %s\x1b[K", buf_text(&line), 100 * received / total,
            out_bytes((int64_t)received, text), d->name);
    buf_free(&line);
    return true;
}

static char *destination(const struct fetch *o, struct error *err)
{
    const char *slash = strrchr(o->name, '/'), *base = slash ? slash + 1 : o->name;

    if (!*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0) {
        err_set(err, ERR_INVALID, "%s is not the name of a file", o->name);
        return NULL;
    }
    return file_make_dirs(o->dir, 0777, err) ? str_path(o->dir, base) : NULL;
}

static bool download(struct ctl *c, const struct fetch *o, const char *path, struct download *d,
                     struct error *err)
{
    struct http *h = ctl_http(c, err);
    struct buf rest = buf_new(0);
    struct http_request r = {.accept = "*/*", .sink = on_bytes, .tick = on_tick, .arg = d};
    char *from;
    bool ok;

    buf_str(&rest, "/artifacts/");
    url_escape(&rest, o->name);
    from = url_job(o->id, buf_text(&rest));
    r.path = from;
    ok = h && file_writer_open(&d->writer, path, 0666, err);
    if (ok) {
        ok = http_send(h, &r, err) && file_writer_commit(&d->writer, err);
        file_writer_abandon(&d->writer);
        fputs(d->shown_at > 0 ? "\r\x1b[K" : "", stderr);
    }
    free(from);
    buf_free(&rest);
    return ok;
}

static void print_done(const struct ctl *c, const char *path, int64_t bytes)
{
    struct json *j;

    if (!c->json) {
        printf("%s\n", path);
        return;
    }
    j = js_new_object();
    js_set(j, "path", js_new_string(path));
    js_set(j, "bytes", js_new_int(bytes));
    out_json(j);
    js_free(j);
}

/* Adds to a "not found" which files there are. */
static void add_known(struct ctl *c, const char *id, struct error *err)
{
    struct json *list = ctl_job(c, NULL, id, "/artifacts", NULL);
    const struct json *items = js_get(list, "items");
    struct buf known = buf_new(0);

    for (size_t i = 0; i < js_len(items); i++)
        buf_fmt(&known, "%s%s", i ? ", " : "", js_string(js_get(js_at(items, i), "name"), "?"));
    if (list)
        err_wrap(err, "%s has %s", id, known.len ? buf_text(&known) : "no files yet");
    buf_free(&known);
    js_free(list);
}

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct fetch *o = opts;
    struct download d = {.term = c->err, .name = o->name};
    char *path = destination(o, err);
    bool ok = path && download(c, o, path, &d, err);

    if (ok)
        print_done(c, path, d.bytes);
    else if (err->code == ERR_NOT_FOUND)
        add_known(c, o->id, err);
    free(path);
    return ok;
}

const struct command cmd_fetch = {
    .name = "fetch",
    .summary = "Download a file that a job has made",
    .text = "The file appears under its name when all of it has come, never in part; its "
            "path is printed.",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct fetch),
    .run = run,
};
