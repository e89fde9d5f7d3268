#include "daemon/queue.h"

int64_t queue_decide(struct queue_job *jobs, size_t n, int64_t slots, int64_t free_slots)
{
    bool held = false;

    for (size_t i = 0; i < n; i++) {
        jobs[i].start = !held && jobs[i].need <= free_slots;
        if (jobs[i].start)
            free_slots -= jobs[i].need;
        else if (jobs[i].need <= slots)
            held = true;
    }
    return free_slots;
}
