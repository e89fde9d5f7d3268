#define _GNU_SOURCE
#include "proto/base/clock.h"

#include <string.h>
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

static double read_s(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double clock_cpu_s(void)
{
    return read_s(CLOCK_THREAD_CPUTIME_ID);
}

double clock_boot_s(void)
{
    return read_s(CLOCK_BOOTTIME);
}

/* The digits of v, which has at most so many. */
static void put_digits(char *out, int n, int64_t v)
{
    while (n--) {
        out[n] = (char)('0' + v % 10);
        v /= 10;
    }
}

/* Each line of the log and each job that is shown has a time or two; the C library needs ten times as long for one.
 * Days are counted in eras of 400 years that begin with a first of March, so that the odd day stands at the end. */
const char *clock_text(int64_t wall_ms, char out[CLOCK_TEXT])
{
    const int64_t day_ms = INT64_C(24) * 3600 * 1000, era_days = 146097;
    int64_t ms = (wall_ms % day_ms + day_ms) % day_ms;
    int64_t days = (wall_ms - ms) / day_ms + 719468; /* since 0000-03-01 */
    int64_t era = (days >= 0 ? days : days - era_days + 1) / era_days,
            of_era = days - era * era_days;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / (era_days - 1)) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100),
            month = (5 * of_year + 2) / 153;
    int64_t s = ms / 1000;

    memcpy(out, "0000-00-00T00:00:00.000Z", sizeof("0000-00-00T00:00:00.000Z"));
    put_digits(out, 4, year + 400 * era + (month >= 10));
    put_digits(out + 5, 2, month < 10 ? month + 3 : month - 9);
    put_digits(out + 8, 2, of_year - (153 * month + 2) / 5 + 1);
    put_digits(out + 11, 2, s / 3600);
    put_digits(out + 14, 2, s / 60 % 60);
    put_digits(out + 17, 2, s % 60);
    put_digits(out + 20, 3, ms % 1000);
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

static int days_in(int year, int month)
{
    return (int)(days_of(month < 12 ? year : year + 1, month % 12 + 1, 1) -
                 days_of(year, month, 1));
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
        !take_zone(&text, &zone) || *text || day > days_in(year, month))
        return false;
    *wall_ms =
        1000 * (86400 * days_of(year, month, day) + 3600 * hour + 60 * (minute - zone) + second) +
        ms;
    return true;
}
