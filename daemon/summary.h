/* What came of a sweep, point by point: mean and deviation over the seeds, and how far a point is from the
 * baseline. A pure function of the sweep and of rows of its jobs.
 *
 * A figure is named as it stands in result.json: "final.top1", "best (val).top1". "best.top1" is what the
 * best student reaches on the test images, whichever images have chosen it. Only jobs that succeeded and have it count. Points are compared seed by seed where both have at
 * least two seeds in common, else as two independent groups; with one seed there is no interval. */
#ifndef DAEMON_SUMMARY_H
#define DAEMON_SUMMARY_H

#include "daemon/store.h"
#include "proto/wire/sweep.h"

enum {
    SUMMARY_FIGURES = 16
};

struct summary;

/* Of the points first <= p < first + n. Names and sweep are borrowed. */
struct summary *summary_new(const struct sweep *s, int64_t first, int64_t n,
                            const char *const *figures, size_t n_figures);
void summary_free(struct summary *s); /* NULL is fine */
/* Takes a job of one of these points or of the baseline; once. */
void summary_add(struct summary *s, const struct sweep_row *row);
/* [{"point", "values", "jobs", "figures"}] */
struct json *summary_items(const struct summary *s);

#endif
