/* The pulse of this process: a count that rises with every piece of work, and where the work stands.
 * Whoever computes beats it; a thread that speaks for the process reads it. There is one, because what
 * is asked is whether the process as a whole gets on. From any thread. */
#ifndef PROTO_BASE_PULSE_H
#define PROTO_BASE_PULSE_H

#include <stdbool.h>
#include <stdint.h>

/* The place of one that cannot get on by itself. */
extern const char pulse_waiting[];

struct pulse {
    uint64_t count;
    int64_t step;
    const char *phase, *place;
    bool waiting;
};

void pulse_beat(void);
void pulse_step(int64_t step); /* beats, too */
/* Texts that live as long as the program. The place is that of the computing thread; the one before is
 * returned. */
void pulse_phase(const char *phase);
const char *pulse_place(const char *place);
struct pulse pulse_read(void);

#endif
