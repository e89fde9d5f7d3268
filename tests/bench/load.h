/* A load generator for the service: one thread, many connections of HTTP/1.1 or one worker's uplink. Each kind of
 * load prints one line of JSON. */
#ifndef TESTS_BENCH_LOAD_H
#define TESTS_BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/vec.h"

struct load_options {
    const char *address;    /* HOST:PORT */
    const char *token_file; /* of a user */
    const char *method, *path, *body_file, *etag;
    int64_t connections;
    double seconds;
    bool keys; /* every request has an Idempotency-Key of its own */
    bool
        pages; /* GET: go on with the page that the answer names, and from the start after the last */
    bool help;
};

typedef VEC(double) samples;

/* Seconds at share q of 0 to 1; sorts. */
double samples_at(samples *s, double q);

/* Connected, non-blocking; exits with a message when that cannot be. */
int load_connect(const char *address);
/* All of a request. body: NULL for none. */
void load_request(struct buf *out, const struct load_options *o, const char *method,
                  const char *path, const char *more_headers, const struct buf *body);

/* Requests one after the other on each connection. */
int load_requests(const struct load_options *o);
/* Clients of the event stream, while one job is submitted each second. */
int load_stream(const struct load_options *o);
/* Connections that send a byte of a header a second, for ever. */
int load_slow(const struct load_options *o);
/* As rank 0 of the attempt that the environment names: metrics as fast as they are acknowledged. */
int load_worker(const struct load_options *o);

#endif
