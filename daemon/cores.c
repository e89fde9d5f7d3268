#define _GNU_SOURCE
#include "daemon/cores.h"

#include <sched.h>
#include <unistd.h>

int64_t cores_online(void)
{
    cpu_set_t set;
    long online;

    /* As nproc(1): a mask narrower than the machine counts. */
    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        return CPU_COUNT(&set);
    online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? online : 1;
}
