#define _GNU_SOURCE
#include "daemon/threads.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/str.h"

static void read_state(const char *dir, char *out, size_t size)
{
    char *path = str_path(dir, "status");
    struct buf text = buf_new(64 << 10);
    const char *line;

    snprintf(out, size, "gone");
    if (file_read(path, &text, NULL) && (line = strstr(buf_text(&text), "\nState:\t")))
        snprintf(out, size, "%.*s", (int)strcspn(line + 8, "\n"), line + 8);
    buf_free(&text);
    free(path);
}

void process_state(pid_t pid, char *out, size_t size)
{
    char *dir = str_fmt("/proc/%ld", (long)pid);

    read_state(dir, out, size);
    free(dir);
}

static void add_file(struct buf *out, const char *dir, const char *name, const char *before)
{
    char *path = str_path(dir, name);
    struct buf text = buf_new(16 << 10);

    if (file_read(path, &text, NULL))
        for (const char *p = buf_text(&text); *p; p += strcspn(p, "\n"), p += *p == '\n')
            buf_fmt(out, "%s%.*s\n", before, (int)strcspn(p, "\n"), p);
    buf_free(&text);
    free(path);
}

void threads_describe(pid_t pid, struct buf *out)
{
    char *dir = str_fmt("/proc/%ld/task", (long)pid), state[32];
    DIR *tasks = opendir(dir);
    const struct dirent *e;

    while (tasks && (e = readdir(tasks))) {
        char *task = str_path(dir, e->d_name);

        if (e->d_name[0] != '.') {
            read_state(task, state, sizeof(state));
            buf_fmt(out, "  thread %s: %s\n", e->d_name, state);
            add_file(out, task, "wchan", "    waits in ");
            add_file(out, task, "stack", "    ");
        }
        free(task);
    }
    if (tasks)
        closedir(tasks);
    free(dir);
}
