#define _GNU_SOURCE
#include "daemon/worker_catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/str.h"

enum {
    OUTPUT_MAX = 1 << 20
};

static bool read_all(int fd, struct buf *out, struct error *err)
{
    char block[4096];
    ssize_t n;

    while ((n = read(fd, block, sizeof(block))) > 0)
        if (!buf_add(out, block, (size_t)n))
            return err_set(err, ERR_TOO_LARGE, "it printed more than %d bytes", OUTPUT_MAX);
    return n == 0 || err_set(err, ERR_IO, "read: %s", strerror(errno));
}

/* The program's standard output; what it says on standard error goes to ours. */
static bool run(char *const *argv, struct buf *out, struct error *err)
{
    posix_spawn_file_actions_t actions;
    int fds[2], status, code;
    pid_t pid;
    bool ok;

    if (pipe2(fds, O_CLOEXEC) != 0)
        return err_set(err, ERR_IO, "pipe: %s", strerror(errno));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
    code = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(fds[1]);
    ok = code == 0 ? read_all(fds[0], out, err) : err_set(err, ERR_IO, "%s", strerror(code));
    close(fds[0]);
    if (code != 0)
        return false;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return err_set(err, ERR_IO, "waitpid: %s", strerror(errno));
    return ok && ((WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
                  err_set(err, ERR_FAILED, "it ended with wait status %d", status));
}

bool worker_catalog_load(const char *worker, struct catalog *out, struct error *err)
{
    char *program = str_dup(worker), command[] = "catalog";
    char *const argv[] = {program, command, NULL};
    struct buf text = buf_new(OUTPUT_MAX);
    struct json *j = NULL;
    bool ok = run(argv, &text, err) && (j = js_parse(buf_text(&text), text.len, err)) &&
              catalog_from_json(out, j, err);

    js_free(j);
    buf_free(&text);
    free(program);
    return ok || err_wrap(err, "asking %s what it can do", worker);
}
