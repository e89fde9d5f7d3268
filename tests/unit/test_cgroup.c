/* daemon: the cgroup of an attempt, where the machine lets us have one. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/cgroup.h"
#include "proto/base/file.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"

/* Its child has left the session and forgotten its attempt; the cgroup still holds it. */
static pid_t start_inside(const char *cgroup)
{
    pid_t pid = fork();

    if (pid == 0) {
        cgroup_enter(cgroup);
        if (fork() == 0)
            setsid();
        execl("/bin/sleep", "sleep", "60", NULL);
        _exit(127);
    }
    return pid;
}

static size_t count_inside(const char *cgroup)
{
    char *path = str_path(cgroup, "cgroup.procs");
    struct buf list = buf_new(64 << 10);
    size_t lines = 0;

    file_read(path, &list, NULL);
    for (size_t i = 0; i < list.len; i++)
        lines += list.data[i] == '\n';
    buf_free(&list);
    free(path);
    return lines;
}

START_TEST(a_cgroup_ends_whole)
{
    char *id = str_fmt("job_test-%d.1", (int)getpid()), *cgroup = cgroup_make(id);
    int status;
    pid_t pid;

    free(id);
    ck_assert_ptr_nonnull(cgroup);
    pid = start_inside(cgroup);
    for (int i = 0; i < 1000 && count_inside(cgroup) != 2; i++)
        usleep(10000);
    ck_assert_uint_eq(count_inside(cgroup), 2);
    for (int i = 0; i < 1000 && !cgroup_end(cgroup); i++)
        usleep(10000);
    ck_assert(!file_exists(cgroup));
    ck_assert(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    ck_assert(cgroup_end(cgroup));
    free(cgroup);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_cgroup_ends_whole};
    char *probe = cgroup_make("job_test.probe");

    if (!probe) {
        puts("SKIP: no cgroup of version 2 can be made here");
        return 77;
    }
    cgroup_end(probe);
    free(probe);
    return unit_run(__FILE__, tests, ARRAY_LEN(tests));
}
