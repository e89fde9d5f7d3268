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

double clock_boot_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
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
