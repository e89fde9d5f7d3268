/* daemon: what a service manager is told, by its own protocol. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/notify.h"
#include "proto/base/clock.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"

/* A socket of that name, which the daemon knows; a descriptor. */
static int open_socket(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    const size_t n = strlen(path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    ck_assert(n < sizeof(a.sun_path));
    memcpy(a.sun_path, path, n);
    if (path[0] == '@')
        a.sun_path[0] = '\0';
    ck_assert_int_eq(
        bind(fd, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
        0);
    setenv("NOTIFY_SOCKET", path, 1);
    return fd;
}

/* What arrives there when the daemon says READY=1. */
static void check_socket(const char *path)
{
    int fd = open_socket(path);
    char got[32] = "";

    notify("READY=1");
    ck_assert_int_eq(recv(fd, got, sizeof(got) - 1, 0), 7);
    ck_assert_str_eq(got, "READY=1");
    close(fd);
}

START_TEST(a_service_manager_is_told)
{
    char *file = str_path(unit_dir(), "notify"),
         *name = str_fmt("@distilld-test-%ld", (long)getpid());

    check_socket(file);
    check_socket(name);
    free(file);
    free(name);
}
END_TEST

START_TEST(a_reload_says_when_it_began)
{
    char *file = str_path(unit_dir(), "reload"), got[80] = "", end;
    int fd = open_socket(file);
    long long us, before = clock_mono_ns() / 1000;

    notify_reloading();
    ck_assert_int_gt(recv(fd, got, sizeof(got) - 1, 0), 0);
    ck_assert_msg(sscanf(got, "RELOADING=1\nMONOTONIC_USEC=%lld%c", &us, &end) == 1, "%s", got);
    ck_assert(us >= before && us <= clock_mono_ns() / 1000);
    close(fd);
    free(file);
}
END_TEST

START_TEST(nobody_to_tell_is_no_failure)
{
    unsetenv("NOTIFY_SOCKET");
    notify("READY=1");
    setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
    notify("READY=1");
    unsetenv("NOTIFY_SOCKET");
}
END_TEST

UNIT_MAIN(a_service_manager_is_told, a_reload_says_when_it_began, nobody_to_tell_is_no_failure)
