/* Fair share of the slots among projects: pure functions.
 *
 * What a project has used, in slot-seconds, counts half after a week. Of the projects that have jobs now each is
 * due a part, by its weight, and has had a part, by its use. The difference, from -1 to 1, is worth
 * SHARE_POINTS points of priority: a project that had nothing of late comes before one that had
 * all, but by no more than that, and waiting makes up for it as for any other priority. */
#ifndef DAEMON_SHARE_H
#define DAEMON_SHARE_H

#include <stddef.h>
#include <stdint.h>

enum {
    SHARE_POINTS = 6,
    SHARE_HALF_LIFE_MS = 7 * 24 * 3600 * 1000
};

/* What is left of a use after so long; a clock that was set back takes nothing from it. */
double share_decayed(double used, int64_t elapsed_ms);

struct share {
    double weight; /* above 0 */
    double used;
    int64_t ahead_ms; /* the outcome, in units of queue_ahead */
};
/* Of those that have jobs now. One alone is neither ahead nor behind. */
void share_out(struct share *all, size_t n);

#endif
