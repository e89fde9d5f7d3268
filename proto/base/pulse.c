#include "proto/base/pulse.h"

#include <stdatomic.h>

const char pulse_waiting[] = "waiting for other ranks";

static atomic_uint_fast64_t count;
static atomic_int_fast64_t step;
static const char *_Atomic phase = "start";
static const char *_Atomic place = "computing";

void pulse_beat(void)
{
    atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
}

void pulse_step(int64_t to)
{
    atomic_store_explicit(&step, to, memory_order_relaxed);
    pulse_beat();
}

void pulse_phase(const char *to)
{
    atomic_store_explicit(&phase, to, memory_order_relaxed);
    pulse_beat();
}

const char *pulse_place(const char *to)
{
    return atomic_exchange_explicit(&place, to, memory_order_relaxed);
}

struct pulse pulse_read(void)
{
    const char *at = atomic_load(&place);

    return (struct pulse){.count = atomic_load(&count),
                          .step = atomic_load(&step),
                          .phase = atomic_load(&phase),
                          .place = at,
                          .waiting = at == pulse_waiting};
}
