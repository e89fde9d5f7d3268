/* W3C Trace Context: by which a request, and what is done for it, are found again in the traces of who sent it. Each hop
 * is a span of its own in the same trace: the request here, and each attempt of a job that came with it. */
#ifndef DAEMON_TRACE_H
#define DAEMON_TRACE_H

#include <stdbool.h>

enum {
    TRACE_SIZE = 56 /* "00-TRACE-SPAN-FLAGS" and the NUL */
};

/* The span of the header `traceparent`. False, and "", where it is none, which then counts as left out. What a later
 * version adds to it is not kept. */
bool trace_parse(const char *header, char out[TRACE_SIZE]);
/* A new span below that one; "" below none. */
void trace_below(const char *parent, char out[TRACE_SIZE]);

#endif
