#define _GNU_SOURCE
#include "proto/base/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/base/str.h"

enum {
    BACKLOG = 128,
    CONNECT_TRIES = 2 /* after the first; a host that is away costs seconds, not minutes */
};

/* What bind and connect have in common. */
typedef int (*socket_call)(int fd, const struct sockaddr *a, socklen_t len);

/* sockaddr_un holds about a hundred bytes, and a folder may lie deeper than that; so its name is that
 * of a descriptor. */
static int call_unix(socket_call call, int fd, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash ? str_ndup(path, slash == path ? 1 : (size_t)(slash - path)) : str_dup(".");
    int folder = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), result = -1;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int n = snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/%s", folder,
                     slash ? slash + 1 : path);

    if (n >= (int)sizeof(a.sun_path))
        errno = ENAMETOOLONG;
    else if (folder >= 0)
        result = call(fd, (struct sockaddr *)&a, sizeof(a));
    if (folder >= 0)
        close(folder);
    free(dir);
    return result;
}

static int open_unix(socket_call call, const char *path)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (call == bind)
        unlink(path);
    if (fd >= 0 && call_unix(call, fd, path) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* The first address of the name that works. NULL or the reason why there is none. */
static const char *open_tcp(socket_call call, const char *host, const char *port, int *fd)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list;
    int code = getaddrinfo(host, port, &hints, &list), on = 1, tries = CONNECT_TRIES;

    if (code != 0)
        return gai_strerror(code);
    for (const struct addrinfo *a = list; a && *fd < 0; a = a->ai_next) {
        *fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(*fd, IPPROTO_TCP, TCP_SYNCNT, &tries, sizeof(tries));
        if (*fd < 0 || call(*fd, a->ai_addr, a->ai_addrlen) == 0)
            continue;
        code = errno;
        close(*fd);
        *fd = -1;
        errno = code;
    }
    freeaddrinfo(list);
    if (*fd < 0)
        return strerror(errno);
    setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return NULL;
}

static int open_address(socket_call call, const char *address, struct error *err)
{
    const char *why = "expected unix:PATH or tcp:HOST:PORT", *rest = address + 4;
    const char *colon = strrchr(address, ':');
    int fd = -1;

    if (str_starts(address, "unix:")) {
        fd = open_unix(call, address + 5);
        why = strerror(errno);
    } else if (str_starts(address, "tcp:") && colon > rest && colon[1]) {
        bool brackets = *rest == '[' && colon[-1] == ']';
        char *host = str_ndup(rest + brackets, (size_t)(colon - rest) - 2 * brackets);

        why = open_tcp(call, host, colon + 1, &fd);
        free(host);
    }
    if (fd < 0)
        err_set(err, ERR_IO, "%s: %s", address, why);
    return fd;
}

int socket_listen(const char *address, struct error *err)
{
    mode_t mask = umask(0177);
    int fd = open_address(bind, address, err);

    umask(mask);
    if (fd < 0)
        return -1;
    if (listen(fd, BACKLOG) == 0 && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0)
        return fd;
    err_set(err, ERR_IO, "%s: listen: %s", address, strerror(errno));
    close(fd);
    return -1;
}

int socket_port(int fd)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof(a);

    if (getsockname(fd, (struct sockaddr *)&a, &len) != 0)
        return 0;
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                         : ((struct sockaddr_in *)&a)->sin_port);
}

int socket_connect(const char *address, struct error *err)
{
    return open_address(connect, address, err);
}
