#define _GNU_SOURCE
#include "proto/base/clock.h"

#include <stdio.h>
#include <time.h>

int64_t clock_wall_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_mono_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

double clock_mono_s(void)
{
    return (double)clock_mono_ns() * 1e-9;
}

double clock_boot_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

const char *clock_text(int64_t wall_ms, char out[CLOCK_TEXT])
{
    time_t s = (time_t)(wall_ms / 1000);
    char seconds[24];
    struct tm tm;

    gmtime_r(&s, &tm);
    strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, CLOCK_TEXT, "%s.%03dZ", seconds, (int)(wall_ms % 1000));
    return out;
}
