#define _GNU_SOURCE
#include "daemon/logtimes.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    AGE_PARTS = 64
};

static bool read_line(const char **at, int64_t *ms, int64_t *bytes)
{
    char *end;

    *ms = strtoll(*at, &end, 10);
    if (end == *at || *end != ' ')
        return false;
    *at = end + 1;
    *bytes = strtoll(*at, &end, 10);
    if (end == *at || *end != '\n' || *bytes < 0)
        return false;
    *at = end + 1;
    return true;
}

int64_t logtimes_find(const char *text, int64_t since_ms)
{
    int64_t found = 0, ms, bytes;

    while (read_line(&text, &ms, &bytes) && ms <= since_ms)
        found = bytes;
    return found;
}

int64_t logtimes_when(const char **notes, int64_t end)
{
    const char *at = *notes;
    int64_t ms, bytes;

    for (; read_line(&at, &ms, &bytes); *notes = at)
        if (bytes >= end)
            return ms;
    return -1;
}

/* How long the log was at the last look; 0 before the first. */
static int64_t last_bytes(const char *text, size_t len)
{
    const char *at = text + len;
    int64_t ms, bytes;

    while (at > text && (at == text + len || at[-1] != '\n'))
        at--;
    return read_line(&at, &ms, &bytes) ? bytes : 0;
}

/* Leaves notes out, in place: those that stay lie no further apart than a part of their age. How many bytes stay. */
static size_t thin(char *text, size_t len, int64_t now_ms)
{
    const char *at = text;
    int64_t last = INT64_MIN, ms, bytes, next_ms, next_bytes;
    size_t kept = 0;

    while (at < text + len) {
        const char *begin = at, *next;

        if (!read_line(&at, &ms, &bytes))
            break;
        next = at;
        if (last != INT64_MIN && read_line(&next, &next_ms, &next_bytes) &&
            next_ms - last <= (now_ms - ms) / AGE_PARTS)
            continue;
        last = ms;
        memmove(text + kept, begin, (size_t)(at - begin));
        kept += (size_t)(at - begin);
    }
    return kept;
}

/* The notes in `text`, brought up to date: what changed is written. A log that began anew has none. */
static void note(int fd, const char *path, struct buf *text, int64_t size, int64_t now_ms)
{
    const int64_t before = last_bytes(buf_text(text), text->len);
    bool anew = size < before;
    char line[48];

    if (size == before)
        return;
    if (anew)
        buf_reset(text);
    if (text->len > LOGTIMES_MAX) {
        text->len = thin(text->data, text->len, now_ms);
        anew = true;
    }
    if (anew && (ftruncate(fd, 0) != 0 || !file_write_all(fd, path, text->data, text->len, NULL)))
        return;
    snprintf(line, sizeof(line), "%" PRId64 " %" PRId64 "\n", now_ms, size);
    file_write_all(fd, path, line, strlen(line), NULL);
}

/* What ranks may have put there is neither followed nor waited for. */
static bool is_file(int fd)
{
    struct stat st;

    return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static void look_at(const char *log, int64_t now_ms)
{
    char *path = str_fmt("%.*s.times", (int)(strlen(log) - strlen(".log")), log);
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    struct buf text = buf_new(2 * LOGTIMES_MAX);
    struct stat st;

    if (is_file(fd) && lstat(log, &st) == 0 && S_ISREG(st.st_mode) &&
        file_read_open(fd, path, &text, NULL))
        note(fd, path, &text, st.st_size, now_ms);
    if (fd >= 0)
        close(fd);
    buf_free(&text);
    free(path);
}

static int is_log(const struct dirent *e)
{
    return str_starts(e->d_name, "rank-") && str_ends(e->d_name, ".log");
}

void logtimes_note(const char *dir, int64_t now_ms)
{
    struct dirent **entries;
    int n = scandir(dir, &entries, is_log, NULL);

    for (int i = 0; i < n; i++) {
        char *log = str_path(dir, entries[i]->d_name);

        look_at(log, now_ms);
        free(log);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
}
