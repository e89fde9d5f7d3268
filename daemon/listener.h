/* The TCP socket of the API, by the address that --listen names: HOST:PORT or [HOST]:PORT; port 0 takes a free one. */
#ifndef DAEMON_LISTENER_H
#define DAEMON_LISTENER_H

#include "proto/base/error.h"

enum {
    LISTENER_HOST = 256
};

/* port: within text. */
bool listener_parse(const char *text, char host[LISTENER_HOST], const char **port,
                    struct error *err);
/* In non-blocking mode; -1 with err. */
int listener_open(const char *text, struct error *err);
/* "http://127.0.0.1:8470": how clients on this host reach it. free() */
char *listener_url(int fd, bool tls);

#endif
