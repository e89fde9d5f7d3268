#include "worker/ckpt/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/pinned.h"
#include "proto/base/str.h"
#include "proto/base/vec.h"

static const char tensors_ext[] = ".safetensors", note_ext[] = ".json";
enum {
    MAX_NOTE = 1 << 20
};

static char *path_of(const char *dir, int64_t step, const char *ext)
{
    char *name = str_fmt("step-%09" PRId64 "%s", step, ext), *path = str_path(dir, name);

    free(name);
    return path;
}

bool checkpoint_write(const char *dir, int64_t step, const struct st_tensor *tensors,
                      size_t n_tensors, const struct st_meta *meta, size_t n_meta,
                      struct json *note, struct error *err)
{
    char *path = path_of(dir, step, tensors_ext), *note_path = path_of(dir, step, note_ext);
    char hex[SHA256_HEX], *text = NULL;
    bool ok = file_make_dirs(dir, 0755, err) &&
              st_write(path, tensors, n_tensors, meta, n_meta, hex, err);

    if (ok) {
        js_set(note, "sha256", js_new_string(hex));
        js_set(note, "step", js_new_int(step));
        text = js_text(note, JS_INDENT | JS_SORTED);
        ok = file_replace(note_path, text, strlen(text), 0644, err);
    }
    free(text);
    free(note_path);
    free(path);
    return ok || err_wrap(err, "saving the checkpoint of step %" PRId64, step);
}

/* The sha256 in the note is that of the file. */
static bool check_sum(const char *path, const struct json *note, struct error *err)
{
    const char *expected = js_string(js_get(note, "sha256"), "");
    struct file_map file;
    char hex[SHA256_HEX];

    if (!file_map(&file, path, err))
        return false;
    sha256_of(file.data, file.len, hex);
    file_unmap(&file);
    return strcmp(hex, expected) == 0 ||
           err_set(err, ERR_DATA, "%s: its sha256 is %s, but its .json says \"%s\"", path, hex,
                   expected);
}

static char *note_path_of(const char *path)
{
    size_t n = strlen(path) - (str_ends(path, tensors_ext) ? strlen(tensors_ext) : 0);

    return str_fmt("%.*s%s", (int)n, path, note_ext);
}

static bool open_pair(const char *path, const char *note_path, struct checkpoint *out,
                      struct error *err)
{
    out->note = js_read_file(note_path, MAX_NOTE, err);
    if (!out->note || !check_sum(path, out->note, err))
        return false;
    out->step = js_int(js_get(out->note, "step"), -1);
    if (out->step < 0)
        return err_set(err, ERR_DATA, "%s: no step in it", note_path);
    out->tensors = st_open(path, err);
    return out->tensors != NULL;
}

bool checkpoint_open(const char *path, struct checkpoint *out, struct error *err)
{
    char *note_path = note_path_of(path);
    bool ok;

    *out = (struct checkpoint){.step = -1};
    ok = open_pair(path, note_path, out, err);
    if (!ok) {
        checkpoint_close(out);
        /* A checkpoint that is not there or not JSON is bad data as well. */
        if (err && err->code != ERR_IO)
            err->code = ERR_DATA;
    }
    free(note_path);
    return ok;
}

void checkpoint_close(struct checkpoint *c)
{
    st_close(c->tensors);
    js_free(c->note);
    *c = (struct checkpoint){.step = -1};
}

/* What lies in the folder for one step. */
struct found {
    int64_t step;
    bool tensors, note, pinned;
};
struct folder {
    VEC(struct found) steps; /* newest first */
    VEC(char *) leftovers;   /* names of interrupted writes */
};

static void folder_free(struct folder *f)
{
    for (size_t i = 0; i < f->leftovers.n; i++)
        free(f->leftovers.at[i]);
    vec_free(&f->leftovers);
    vec_free(&f->steps);
}

static struct found *found_of(struct folder *f, int64_t step)
{
    for (size_t i = 0; i < f->steps.n; i++)
        if (f->steps.at[i].step == step)
            return &f->steps.at[i];
    vec_push(&f->steps, (struct found){.step = step});
    return &f->steps.at[f->steps.n - 1];
}

static void add_name(struct folder *f, const char *name)
{
    int64_t tensors = pinned_step(name, tensors_ext), note = pinned_step(name, note_ext);

    if (tensors >= 0)
        found_of(f, tensors)->tensors = true;
    else if (note >= 0)
        found_of(f, note)->note = true;
    else if (pinned_step(name, PINNED_EXT) >= 0)
        found_of(f, pinned_step(name, PINNED_EXT))->pinned = true;
    else if (str_starts(name, "step-") && strstr(name, ".tmp-"))
        vec_push(&f->leftovers, str_dup(name));
}

static int newest_first(const void *a, const void *b)
{
    const struct found *x = a, *y = b;

    return (x->step < y->step) - (x->step > y->step);
}

static bool folder_read(struct folder *f, const char *dir, struct error *err)
{
    DIR *d = opendir(dir);
    const struct dirent *e;

    *f = (struct folder){0};
    if (!d)
        return errno == ENOENT || err_set(err, ERR_IO, "open %s: %s", dir, strerror(errno));
    while ((e = readdir(d)) != NULL)
        add_name(f, e->d_name);
    closedir(d);
    if (f->steps.n)
        qsort(f->steps.at, f->steps.n, sizeof(*f->steps.at), newest_first);
    return true;
}

static bool open_step(const char *dir, int64_t step, struct checkpoint *out, struct error *err)
{
    char *path = path_of(dir, step, tensors_ext);
    bool ok = checkpoint_open(path, out, err);

    if (ok && out->step != step) {
        ok = err_set(err, ERR_DATA, "%s: its .json says step %" PRId64, path, out->step);
        checkpoint_close(out);
    }
    free(path);
    return ok;
}

bool checkpoint_newest(const char *dir, struct checkpoint *out,
                       void (*warn)(void *arg, const char *sentence), void *arg, struct error *err)
{
    struct folder f;
    struct error why;
    size_t notes = 0;
    bool ok;

    *out = (struct checkpoint){.step = -1};
    if (!folder_read(&f, dir, err))
        return false;
    for (size_t i = 0; i < f.steps.n; i++) {
        const struct found *s = &f.steps.at[i];

        notes += s->note;
        if (s->note && open_step(dir, s->step, out, &why))
            break;
        if (!s->note) /* killed between the two files: it never counted */
            err_set(&why, ERR_DATA, "no .json beside it; its writing was interrupted");
        err_wrap(&why, "passing over the checkpoint of step %" PRId64, s->step);
        warn(arg, why.msg);
    }
    ok =
        out->step >= 0 || !notes ||
        err_set(err, ERR_DATA, "none of the checkpoints in %s can be used (%zu tried)", dir, notes);
    folder_free(&f);
    return ok;
}

static bool remove_file(char *take_path, struct error *err)
{
    bool ok;

    file_fence();
    ok = unlink(take_path) == 0 || errno == ENOENT ||
         err_set(err, ERR_IO, "remove %s: %s", take_path, strerror(errno));
    free(take_path);
    return ok;
}

/* What is left of it goes, too. */
static bool remove_step(const char *dir, int64_t step, struct error *err)
{
    char *name = str_fmt("step-%09" PRId64, step);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 ? pinned_remove(fd, name, err) : err_set(err, ERR_IO, "%s", strerror(errno));

    if (fd >= 0)
        close(fd);
    free(name);
    return ok || err_wrap(err, "%s", dir);
}

/* Somebody else has removed it. */
static bool is_gone(const struct error *err)
{
    return err->code == ERR_NOT_FOUND;
}

static bool is_whole(const struct found *s)
{
    return s->tensors && s->note;
}

static bool refuse_pinned(const struct folder *f, const char *dir, int64_t step, struct error *err)
{
    for (size_t i = 0; i < f->steps.n; i++)
        if (f->steps.at[i].step > step && f->steps.at[i].pinned && is_whole(&f->steps.at[i]))
            return err_set(err, ERR_CONFLICT,
                           "%s: the checkpoint of step %" PRId64
                           " is pinned, so that the run cannot go back behind it; unpin it (remove "
                           "step-%09" PRId64 PINNED_EXT ") or use another folder",
                           dir, f->steps.at[i].step, f->steps.at[i].step);
    return true;
}

bool checkpoint_drop_after(const char *dir, int64_t step, enum checkpoint_later later,
                           struct error *err)
{
    struct folder f;
    struct error why = {0};
    bool ok = folder_read(&f, dir, err) &&
              (later == CHECKPOINT_DAMAGED || refuse_pinned(&f, dir, step, err));

    for (size_t i = 0; ok && i < f.steps.n; i++)
        if (f.steps.at[i].step > step && !remove_step(dir, f.steps.at[i].step, &why))
            ok = is_gone(&why) || (later == CHECKPOINT_DAMAGED && why.code == ERR_CONFLICT) ||
                 err_set(err, why.code, "%s", why.msg);
    folder_free(&f);
    return ok;
}

/* What is pinned by now, is gone, or is held by somebody stays for the next time. */
static bool is_left(const struct error *err)
{
    return is_gone(err) || err->code == ERR_CONFLICT || err->code == ERR_BUSY;
}

bool checkpoint_prune(const char *dir, int keep, struct error *err)
{
    struct folder f;
    struct error why = {0};
    bool ok = folder_read(&f, dir, err);
    int kept = 0;

    for (size_t i = 0; ok && i < f.leftovers.n; i++)
        ok = remove_file(str_path(dir, f.leftovers.at[i]), err);
    for (size_t i = 0; ok && i < f.steps.n; i++) {
        const struct found *s = &f.steps.at[i];

        if (is_whole(s) && (s->pinned || kept++ < keep))
            continue;
        ok = remove_step(dir, s->step, &why) || is_left(&why) ||
             err_set(err, why.code, "%s", why.msg);
    }
    folder_free(&f);
    return ok;
}
