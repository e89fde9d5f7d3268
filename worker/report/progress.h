/* What a person sees while a job runs: a bar with ETA on a terminal, plain lines elsewhere, JSON lines
 * for programs. Rank 0 only. */
#ifndef WORKER_REPORT_PROGRESS_H
#define WORKER_REPORT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

enum progress_style {
    PROGRESS_PLAIN,
    PROGRESS_BAR,
    PROGRESS_JSON
};

struct progress {
    enum progress_style style;
    double last_s; /* when something was last shown */
    bool bar_open; /* the cursor stands behind a bar */
};

struct progress_state {
    const char *phase; /* "class means", "train", "eval" */
    int64_t done, total;
    int64_t epoch, epochs;      /* epochs 0: not shown */
    double images_per_s, eta_s; /* negative: unknown */
};

/* JSON if asked for; a bar if standard output ends in a terminal, also behind mpirun (which gives every
 * rank a pseudo-terminal, whatever it has itself). */
void progress_init(struct progress *p, bool json);
/* Shows the state if it is time: ten times a second on a terminal, each ten seconds elsewhere. */
void progress_show(struct progress *p, const struct progress_state *s);
/* Takes an unfinished bar away, so that an error can be printed. */
void progress_clear(struct progress *p);
/* A sentence of its own line. */
void progress_say(struct progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "1 h 02 min", "3 min 04 s", "7 s" */
const char *progress_duration(double seconds, char out[32]);

#endif
