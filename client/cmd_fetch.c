#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"
#include "client/ctl.h"
#include "client/download.h"
#include "client/url.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

struct fetch {
    const char *id, *name, *dir;
    bool quiet;
};

static const struct opt rows[] = {
    OPT(struct fetch, id, ARG_ONE, "ID", "the job"),
    OPT(struct fetch, name, ARG_MAYBE, "NAME", "one of the files that `distillctl show` lists",
        .fallback = "student.safetensors"),
    OPT(struct fetch, dir, OPT_TEXT, "out", "folder to put it in; made if missing", .letter = 'o',
        .value = "DIR", .fallback = "."),
    OPT(struct fetch, quiet, OPT_FLAG, "quiet", "no progress on standard error", .letter = 'q'),
};

static char *destination(const struct fetch *o, struct error *err)
{
    const char *slash = strrchr(o->name, '/'), *base = slash ? slash + 1 : o->name;

    if (!*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0) {
        err_set(err, ERR_INVALID, "%s is not the name of a file", o->name);
        return NULL;
    }
    return file_make_dirs(o->dir, 0777, err) ? str_path(o->dir, base) : NULL;
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
    char *path = destination(o, err);
    char *url = url_artifact(o->id, o->name);
    struct download d = {.url = url, .name = o->name, .path = path, .quiet = o->quiet || c->json};
    int64_t bytes = 0;
    bool ok = path && download(c, &d, &bytes, err);

    if (ok)
        out_file(c->json, path, bytes);
    else if (err->code == ERR_NOT_FOUND)
        add_known(c, o->id, err);
    free(url);
    free(path);
    return ok;
}

const struct command cmd_fetch = {
    .name = "fetch",
    .summary = "Download a file that a job has made",
    .text = "The file appears under its name when all of it has come, never in part; its "
            "path is printed. What an interrupted download has brought stays beside it as "
            "FILE.part, and the same command goes on from there.",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct fetch),
    .run = run,
};
