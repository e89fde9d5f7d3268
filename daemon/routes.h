/* The table of routes, and the way from a request to its handler. */
#ifndef DAEMON_ROUTES_H
#define DAEMON_ROUTES_H

#include "daemon/auth.h"
#include "daemon/reach.h"

struct route {
    const char *method;
    /* "/api/v1/jobs/{id}:cancel": {..} stands for one or more bytes of a segment without ":". */
    const char *pattern;
    enum access access;
    enum reach reach;
    void (*handle)(struct daemon *d, struct request *r);
    int done; /* the status for a change that was made; 0 for what only reads */
};

extern const struct route routes[];
extern const size_t n_routes;

/* What http_start takes; its arg is the daemon. */
extern const struct http_service routes_service;

/* True when the path fits; params then hold copies of what {..} stands for, still encoded. */
bool routes_match(const char *pattern, const char *path, char *params[HTTP_PARAMS]);

#endif
