#define _GNU_SOURCE
#include "daemon/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/str.h"

enum {
    BACKLOG = 512
};

bool listener_parse(const char *text, char host[LISTENER_HOST], const char **port,
                    struct error *err)
{
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;
    int64_t number;

    if (!n || n >= LISTENER_HOST || !str_int(colon + 1, 0, 65535, &number))
        return err_set(err, ERR_INVALID, "--listen: expected HOST:PORT, got \"%s\"", text);
    if (text[0] == '[' && text[n - 1] == ']') {
        text++;
        n -= 2;
    }
    memcpy(host, text, n);
    host[n] = '\0';
    *port = colon + 1;
    return true;
}

static int listen_on(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    close(fd);
    return -1;
}

int listener_open(const char *text, struct error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *list;
    char host[LISTENER_HOST];
    const char *port = NULL;
    int code, fd = -1;

    if (!listener_parse(text, host, &port, err))
        return -1;
    code = getaddrinfo(host, port, &hints, &list);
    if (code != 0) {
        err_set(err, ERR_INVALID, "--listen %s: %s", text, gai_strerror(code));
        return -1;
    }
    fd = listen_on(list);
    if (fd < 0)
        err_set(err, ERR_FAILED, "listening on %s: %s", text, strerror(errno));
    freeaddrinfo(list);
    return fd;
}

char *listener_url(int fd, bool tls)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof(a);
    char host[NI_MAXHOST], port[NI_MAXSERV];

    getsockname(fd, (struct sockaddr *)&a, &len);
    getnameinfo((struct sockaddr *)&a, len, host, sizeof(host), port, sizeof(port),
                NI_NUMERICHOST | NI_NUMERICSERV);
    return str_fmt(a.ss_family == AF_INET6 ? "http%s://[%s]:%s" : "http%s://%s:%s", tls ? "s" : "",
                   host, port);
}
