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

/* n digits, as a number within [lo, hi]. */
static bool take_number(const char **at, int n, int lo, int hi, int *out)
{
    *out = 0;
    for (; n > 0; n--, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        *out = 10 * *out + (**at - '0');
    }
    return *out >= lo && *out <= hi;
}

/* c, or the same letter in lower case. */
static bool take_char(const char **at, char c)
{
    bool found = **at == c || (c >= 'A' && c <= 'Z' && **at == c - 'A' + 'a');

    *at += found;
    return found;
}

/* ".123456", of which milliseconds count; nothing is 0. */
static bool take_fraction(const char **at, int *ms)
{
    int scale = 100;

    *ms = 0;
    if (**at != '.')
        return true;
    for ((*at)++; **at >= '0' && **at <= '9'; (*at)++, scale /= 10)
        *ms += scale * (**at - '0');
    return (*at)[-1] != '.';
}

/* "Z" or "+01:30", in minutes. */
static bool take_zone(const char **at, int *minutes)
{
    const int sign = take_char(at, '-') ? -1 : 1;
    int hours, rest;

    *minutes = 0;
    if (sign > 0 && take_char(at, 'Z'))
        return true;
    if ((sign > 0 && !take_char(at, '+')) || !take_number(at, 2, 0, 23, &hours) ||
        !take_char(at, ':') || !take_number(at, 2, 0, 59, &rest))
        return false;
    *minutes = sign * (60 * hours + rest);
    return true;
}

/* Since 1970-01-01, by the Gregorian calendar; years begin in March, so that a leap day is their last. */
static int64_t days_of(int year, int month, int day)
{
    const int y = month <= 2 ? year - 1 : year, m = (month + 9) % 12;

    return INT64_C(365) * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

bool clock_parse(const char *text, int64_t *wall_ms)
{
    int year, month, day, hour, minute, second, ms, zone;

    if (!take_number(&text, 4, 1, 9999, &year) || !take_char(&text, '-') ||
        !take_number(&text, 2, 1, 12, &month) || !take_char(&text, '-') ||
        !take_number(&text, 2, 1, 31, &day) || !take_char(&text, 'T') ||
        !take_number(&text, 2, 0, 23, &hour) || !take_char(&text, ':') ||
        !take_number(&text, 2, 0, 59, &minute) || !take_char(&text, ':') ||
        !take_number(&text, 2, 0, 60, &second) || !take_fraction(&text, &ms) ||
        !take_zone(&text, &zone) || *text)
        return false;
    *wall_ms =
        1000 * (86400 * days_of(year, month, day) + 3600 * hour + 60 * (minute - zone) + second) +
        ms;
    return true;
}
