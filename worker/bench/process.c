/* What the kernel tells of a process. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/str.h"
#include "worker/bench/bench.h"

/* The n-th word, from 1, as a number; 0 where there is none. */
static double word(const char *text, int n)
{
    for (; n > 1 && *text; n--) {
        text += strspn(text, " ");
        text += strcspn(text, " \n");
    }
    return strtod(text, NULL);
}

/* Of /proc/PID/stat, whose second field is a name in parentheses with anything in it. Field 22 is the start,
 * in ticks since boot. */
static double started_s(pid_t pid)
{
    char *path = str_fmt("/proc/%d/stat", (int)pid);
    struct buf b = buf_new(1 << 16);
    const char *name_end = file_read(path, &b, NULL) ? strrchr(buf_text(&b), ')') : NULL;
    double ticks = name_end ? word(name_end + 1, 20) : 0;

    buf_free(&b);
    free(path);
    return ticks / (double)sysconf(_SC_CLK_TCK);
}

double bench_age_s(bool launched)
{
    return clock_boot_s() - started_s(launched ? getppid() : getpid());
}

double bench_peak_rss(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss * 1024;
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

double bench_cpu_s(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return seconds(u.ru_utime) + seconds(u.ru_stime);
}

/* The first line of /proc/stat: "cpu", user, nice, system, idle, iowait, irq, softirq, steal. */
static int64_t stolen_ticks(void)
{
    struct buf b = buf_new(1 << 20);
    double steal = file_read("/proc/stat", &b, NULL) ? word(buf_text(&b), 9) : 0;

    buf_free(&b);
    return (int64_t)steal;
}

int64_t bench_disturbances(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return u.ru_nivcsw + stolen_ticks();
}
