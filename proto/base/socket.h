/* Stream sockets by their address: "unix:PATH" (a path of any length) or "tcp:HOST:PORT". */
#ifndef PROTO_BASE_SOCKET_H
#define PROTO_BASE_SOCKET_H

#include "proto/base/error.h"

/* A descriptor in non-blocking mode, or -1. A UNIX socket that was left at the path is replaced; only its owner may
 * connect. */
int socket_listen(const char *address, struct error *err);
/* The port that a listening TCP socket has got. */
int socket_port(int fd);
/* A descriptor in blocking mode, or -1. */
int socket_connect(const char *address, struct error *err);

#endif
