/* Gives waiting jobs their slots, and tells those that go on waiting why. */
#ifndef DAEMON_SCHED_H
#define DAEMON_SCHED_H

#include "daemon/daemon.h"

/* A pass in the next turn of the loop, however often it is asked for. */
void sched_soon(struct daemon *d);
/* Works out why a waiting job waits, as of the newest pass, which leaves that to whoever asks. Before a job is
 * shown. */
void sched_explain(struct daemon *d, struct active *a);
/* Calls fn with the jobs that wait, but sweeps, until it returns false: those in the line of the newest pass in its order,
 * explained, with their places from 1, then the others with place 0. Of the line at most `most` are looked at. from: 0, or
 * what the call before returned: where it goes on, as the line is then; 0: they were all. */
typedef bool (*sched_waiting_fn)(struct active *a, size_t place, void *arg);
int64_t sched_each_waiting(struct daemon *d, int64_t from, size_t most, sched_waiting_fn fn,
                           void *arg);
/* What would become of a job that is not stored, if it came now; nobody is told. Its needs have been looked up. */
struct sched_forecast {
    bool starts;
    int64_t ranks;
    char *placement;    /* where, if it starts; free() */
    int64_t planned_ms; /* of the wall clock; 0: it starts, or nobody knows when */
    size_t ahead;       /* that go on waiting before it */
    size_t stops;       /* running jobs that would stop for it */
    struct reason why;  /* it waits; code "": it starts */
};
void sched_forecast(struct daemon *d, struct job *j, struct sched_forecast *out);
/* While it is paused no job starts; those that run go on. Durable. */
bool sched_set_paused(struct daemon *d, bool paused, struct error *err);

#endif
