/* What the signs of life of an attempt's ranks mean: a pure function of what was heard and the time.
 *
 * A rank that waits for others is at fault only when it fell silent, or when all of them wait. So of
 * ranks that all stand still the one that holds the others up is named.
 *
 * Time is in seconds by any clock that does not jump. Time in which nobody looked does not count against
 * anybody: the watcher itself may have been stopped, or the whole machine. */
#ifndef DAEMON_WATCH_H
#define DAEMON_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct watch_word {
    uint64_t count; /* of pieces of work done */
    int64_t step;
    bool waiting;
    char phase[32], place[48];
};

struct watch_rank {
    bool known;  /* it has said hello */
    bool gone;   /* it said goodbye, or its connection ended */
    bool parted; /* it said goodbye, and not because it failed alone */
    bool remote; /* on another host: nobody here sees its processes */
    bool told;   /* of its silence: for whoever tells */
    pid_t pid;
    char host[64];
    double heard_s, moved_s; /* its last word; the last time that it got on */
    double answered_s;       /* what its lease counts from */
    struct watch_word word;
};

struct watch_limits {
    double stall_s;     /* without progress: hung */
    double first_s;     /* the same until the first piece of work is done, for a rank that speaks */
    double silence_s;   /* of a rank on another host: the host, or the way to it, is lost */
    double heartbeat_s; /* how often ranks speak */
    double lease_s;     /* how long one that is not answered may live on */
};

struct watch {
    struct watch_limits limits;
    double looked_s;
    int first_gone; /* the rank that was gone first, -1: none is */
    int gave_up;    /* the first that said it would end the others, -1: none has */
    size_t n;
    struct watch_rank *ranks;
};

enum watch_state {
    WATCH_WELL,
    WATCH_HUNG,
    WATCH_LOST_HOST
};

/* How often ranks are to speak so that a stall of stall_s can be seen. */
double watch_heartbeat(double stall_s);

void watch_init(struct watch *w, size_t ranks, const struct watch_limits *limits, double now);
void watch_free(struct watch *w);

/* Before each look at what has come: notes the time. */
void watch_look(struct watch *w, double now);
void watch_hello(struct watch *w, size_t rank, pid_t pid, const char *host, bool remote,
                 double now);
void watch_hear(struct watch *w, size_t rank, const struct watch_word *word, double now);
void watch_gone(struct watch *w, size_t rank, double now);

/* Longer than a rank that is well would be. */
bool watch_is_silent(const struct watch *w, size_t rank, double now);
/* Whether this rank is why the attempt is not well. */
bool watch_is_at_fault(const struct watch *w, size_t rank, double now);
enum watch_state watch_judge(const struct watch *w, double now);

/* Once nobody is answered any more: whether this rank, whose processes nobody here sees, may be alive
 * yet. Its end of the connection shows its end, or else its lease proves it. */
bool watch_may_live(const struct watch *w, size_t rank, double now);

/* What is wrong with a rank, in words: "rank 1 has made no progress for 3 s: at step 12, train, computing". */
void watch_describe(const struct watch *w, size_t rank, double now, char *out, size_t size);

#endif
