/* Two clocks: wall time for people, monotonic time for durations and deadlines. */
#ifndef PROTO_BASE_CLOCK_H
#define PROTO_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

enum {
    CLOCK_TEXT = 32
};

int64_t clock_wall_ms(void); /* milliseconds since 1970-01-01 UTC */
int64_t clock_mono_ns(void); /* nanoseconds since an arbitrary start */
double clock_mono_s(void);   /* the same in seconds */
double clock_cpu_s(void);    /* seconds that the calling thread has had a processor */
double clock_boot_s(void);   /* like it, but goes on while the machine sleeps */
/* RFC 3339 in UTC with milliseconds, written to out, which is returned. */
const char *clock_text(int64_t wall_ms, char out[CLOCK_TEXT]);
/* Any time of RFC 3339, with or without fractions of a second, by its offset from UTC. False for anything else. */
bool clock_parse(const char *text, int64_t *wall_ms);

#endif
