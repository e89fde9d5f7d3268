#define _GNU_SOURCE
#include "daemon/checkpoints.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/beneath.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/mem.h"
#include "proto/base/pinned.h"
#include "proto/base/str.h"

enum {
    NOTE_MAX = 64 << 10,
    LISTED = 10000
};

static const char folder[] = "checkpoints", tensors_ext[] = ".safetensors", note_ext[] = ".json";

static int open_folder(int out, struct error *err)
{
    return beneath_open(out, folder, O_RDONLY | O_DIRECTORY, err);
}

/* NAME + ext; free() */
static char *file_of(const struct checkpoint_entry *c, const char *ext)
{
    return str_fmt("%s%s", c->name, ext);
}

/* The size of one of its files; -1: there is none. */
static int64_t size_of(int dir, const struct checkpoint_entry *c, const char *ext)
{
    char *name = file_of(c, ext);
    struct stat st;
    bool found = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);

    free(name);
    return found ? st.st_size : -1;
}

static struct json *read_note(int dir, const struct checkpoint_entry *c)
{
    char *name = file_of(c, note_ext);
    struct buf text = buf_new(NOTE_MAX);
    int fd = beneath_open_file(dir, name, NULL, NULL);
    struct json *note = fd >= 0 && file_read_open(fd, name, &text, NULL)
                            ? js_parse(buf_text(&text), text.len, NULL)
                            : NULL;

    if (fd >= 0)
        close(fd);
    buf_free(&text);
    free(name);
    return note;
}

/* Ranks may have written what they like. */
static void take_note(int dir, struct checkpoint_entry *c)
{
    struct json *note = read_note(dir, c);
    const char *sha256 = js_string(js_get(note, "sha256"), "");
    const char *at = js_string(js_get(note, "written_at"), "");
    int64_t ms;

    if (strlen(sha256) == SHA256_HEX - 1 && strspn(sha256, "0123456789abcdef") == SHA256_HEX - 1)
        memcpy(c->sha256, sha256, SHA256_HEX);
    if (clock_parse(at, &ms))
        clock_text(ms, c->written_at);
    js_free(note);
}

static int newest_first(const void *a, const void *b)
{
    const struct checkpoint_entry *x = a, *y = b;

    return (x->step < y->step) - (x->step > y->step);
}

static void add(int dir, const char *note_name, struct checkpoint_list *list)
{
    struct checkpoint_entry c = {.step = pinned_step(note_name, note_ext)};

    if (c.step < 0)
        return;
    snprintf(c.name, sizeof(c.name), "%.*s", (int)strcspn(note_name, "."), note_name);
    c.size = size_of(dir, &c, tensors_ext);
    if (c.size < 0 || size_of(dir, &c, note_ext) < 0)
        return;
    c.pinned = size_of(dir, &c, PINNED_EXT) >= 0;
    take_note(dir, &c);
    vec_push(&list->at, c);
}

void checkpoints_list(int out, struct checkpoint_list *list)
{
    int dir = open_folder(out, NULL);
    DIR *entries = dir >= 0 ? fdopendir(dir) : NULL;
    const struct dirent *e;

    *list = (struct checkpoint_list){0};
    if (dir >= 0 && !entries)
        close(dir);
    while (entries && list->at.n < LISTED && (e = readdir(entries)))
        if (str_starts(e->d_name, "step-"))
            add(dir, e->d_name, list);
    if (list->at.n)
        qsort(list->at.at, list->at.n, sizeof(*list->at.at), newest_first);
    if (entries)
        closedir(entries);
}

void checkpoints_free(struct checkpoint_list *list)
{
    vec_free(&list->at);
}

const struct checkpoint_entry *checkpoints_find(const struct checkpoint_list *list,
                                                const char *name)
{
    for (size_t i = 0; i < list->at.n; i++)
        if (strcmp(list->at.at[i].name, name) == 0)
            return &list->at.at[i];
    return NULL;
}

static bool unpin(int dir, const struct checkpoint_entry *c, struct error *err)
{
    char *name = file_of(c, PINNED_EXT);
    bool ok = unlinkat(dir, name, 0) == 0 || errno == ENOENT ||
              err_set(err, ERR_IO, "remove %s: %s", name, strerror(errno));

    free(name);
    return ok;
}

bool checkpoints_pin(int out, const struct checkpoint_entry *c, bool pinned, struct error *err)
{
    int dir = open_folder(out, err);
    bool ok = dir >= 0 && (pinned ? pinned_mark(dir, c->name, err) : unpin(dir, c, err)) &&
              file_fsync(dir, folder, err);

    if (dir >= 0)
        close(dir);
    return ok;
}

bool checkpoints_remove(int out, const struct checkpoint_entry *c, struct error *err)
{
    int dir = open_folder(out, err);
    bool ok = dir >= 0 && pinned_remove(dir, c->name, err) && file_fsync(dir, folder, err);

    if (dir >= 0)
        close(dir);
    return ok;
}
