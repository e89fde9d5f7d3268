#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"

static char *content(const char *path)
{
    struct buf b = buf_new(1000);
    struct error err;

    ck_assert_ok(file_read(path, &b, &err), err);
    return buf_take(&b);
}

START_TEST(replaces_or_leaves_alone_whatever_fails)
{
    static const char *const ops[] = {"open", "write", "fsync", "rename"};
    char *path = str_path(unit_dir(), "f"), *command, *text;
    struct error err;
    int failures = 0;

    ck_assert_ok(file_replace(path, "old", 3, 0644, &err), err);
    /* The counters of the seam are the process's, so each attempt is a child. */
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        char fault[32];
        pid_t pid;
        int status;

        snprintf(fault, sizeof(fault), "io:%s:1+", ops[i]);
        setenv("DISTILLD_FAULT", fault, 1);
        pid = fork();
        if (pid == 0)
            _exit(file_replace(path, "new", 3, 0644, &err) ? 0 : 7);
        ck_assert(waitpid(pid, &status, 0) == pid);
        failures += WIFEXITED(status) && WEXITSTATUS(status) == 7;
        text = content(path);
        ck_assert_msg(strcmp(text, "old") == 0, "%s left %s", ops[i], text);
        free(text);
    }
    unsetenv("DISTILLD_FAULT");
    ck_assert_int_eq(failures, (int)ARRAY_LEN(ops));
    command = str_fmt("ls %s | wc -l | grep -qx 1", unit_dir());
    ck_assert_msg(system(command) == 0, "temporary files were left behind");
    ck_assert_ok(file_replace(path, "new", 3, 0644, &err), err);
    text = content(path);
    ck_assert_str_eq(text, "new");
    free(text);
    free(command);
    free(path);
}
END_TEST

START_TEST(reading_has_a_limit)
{
    char *path = str_path(unit_dir(), "g");
    struct buf b = buf_new(4);
    struct error err;

    ck_assert_ok(file_replace(path, "12345", 5, 0644, &err), err);
    ck_assert_error(file_read(path, &b, &err), err, "larger than the limit of 4");
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    ck_assert_error(file_read("/nonexistent/x", &b, &err), err, "/nonexistent/x");
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    buf_free(&b);
    free(path);
}
END_TEST

START_TEST(maps_and_makes_folders)
{
    char *dir = str_path(unit_dir(), "a/b/c"), *path = str_path(dir, "f");
    struct file_map m;
    struct error err;

    ck_assert_ok(file_make_dirs(dir, 0755, &err), err);
    ck_assert_ok(file_make_dirs(dir, 0755, &err), err);
    ck_assert_ok(file_replace(path, "xyz", 3, 0644, &err), err);
    ck_assert_ok(file_map(&m, path, &err), err);
    ck_assert(m.len == 3 && memcmp(m.data, "xyz", 3) == 0);
    file_unmap(&m);
    ck_assert_error(file_map(&m, dir, &err), err, "not a regular file");
    ck_assert_error(file_make_dirs(path, 0755, &err), err, "not a directory");
    free(path);
    free(dir);
}
END_TEST

START_TEST(a_look_tells_kind_and_stamp)
{
    char *path = str_path(unit_dir(), "looked-at");
    struct file_stamp seen, again;
    struct file_map m;
    enum file_kind kind;
    struct error err;

    ck_assert(!file_look(path, &seen, &kind, &err));
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    ck_assert_ok(file_replace(path, "xyz", 3, 0644, &err), err);
    ck_assert_ok(file_look(path, &seen, &kind, &err), err);
    ck_assert(kind == FILE_PLAIN && seen.size == 3);
    ck_assert_ok(file_map(&m, path, &err), err);
    ck_assert_mem_eq(&m.stamp, &seen, sizeof(seen));
    file_unmap(&m);
    ck_assert_ok(file_replace(path, "xyz", 3, 0644, &err), err);
    ck_assert_ok(file_look(path, &again, &kind, &err), err);
    ck_assert_mem_ne(&again, &seen, sizeof(seen));
    ck_assert_ok(file_look(unit_dir(), &seen, &kind, &err), err);
    ck_assert_int_eq(kind, FILE_FOLDER);
    ck_assert_ok(file_look("/dev/null", &seen, &kind, &err), err);
    ck_assert_int_eq(kind, FILE_OTHER);
    free(path);
}
END_TEST

START_TEST(a_fifo_without_a_writer_is_not_waited_for)
{
    char *path = str_path(unit_dir(), "fifo"), *text;
    struct file_map m;
    struct error err;

    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_error(file_map(&m, path, &err), err, "fifo is not a regular file");
    ck_assert_int_eq(err.code, ERR_DATA);
    text = content(path);
    ck_assert_str_eq(text, "");
    free(text);
    free(path);
}
END_TEST

START_TEST(a_slow_pipe_is_read_to_its_end)
{
    char *path, *text;
    int ends[2];
    pid_t pid;

    ck_assert_int_eq(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        usleep(50000);
        _exit(write(ends[1], "late", 4) != 4);
    }
    close(ends[1]);
    path = str_fmt("/dev/fd/%d", ends[0]);
    text = content(path);
    ck_assert_str_eq(text, "late");
    ck_assert(waitpid(pid, NULL, 0) == pid);
    close(ends[0]);
    free(text);
    free(path);
}
END_TEST

UNIT_MAIN(replaces_or_leaves_alone_whatever_fails, reading_has_a_limit, maps_and_makes_folders,
          a_look_tells_kind_and_stamp, a_fifo_without_a_writer_is_not_waited_for,
          a_slow_pipe_is_read_to_its_end)
