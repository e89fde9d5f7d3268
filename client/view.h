/* What is shown of a job: read from the job object of the API, kept up to date by events. */
#ifndef CLIENT_VIEW_H
#define CLIENT_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "client/out.h"
#include "proto/base/error.h"
#include "proto/base/json.h"

enum view_figure {
    VIEW_LOSS,
    VIEW_TOP1,
    VIEW_RATIO,
    VIEW_COS,
    VIEW_FIGURES
};

/* The series behind a figure. */
struct view_series {
    const char *name, *split;
    const char *label;
    int digits;
};
extern const struct view_series view_series[VIEW_FIGURES];

struct view {
    char id[64], name[72], kind[24], state[24], phase[24];
    char reason_code[48], reason[512];
    int64_t step, total_steps, epoch, attempt;
    double eta_s;
    bool finished;
    bool unheard;            /* the daemon has no contact with its ranks */
    bool sweep;              /* its steps are jobs */
    int64_t running, failed; /* of a sweep's jobs */
    int64_t figure_step[VIEW_FIGURES];
    double figure[VIEW_FIGURES]; /* NAN: not known */
};

void view_init(struct view *v);
/* Takes the members of a job object (or of a part of one) that are there. */
void view_job(struct view *v, const struct json *job);
/* Takes a point {"split","name","step","value"} if it belongs to a figure and is not older. */
void view_point(struct view *v, const struct json *point);
/* The last point of a series object {"name","split","points":[[step,value],..]}. */
void view_last_point(struct view *v, const struct json *series);

double view_fraction(const struct view *v);
/* "step 420/1000  42 %  epoch 5  loss 1.2345  ...  ETA 3m25s", with a bar in front on a terminal. */
void view_progress(const struct view *v, bool bar, struct buf *b);
/* True for a job that succeeded; else err tells what became of it. Finished jobs only. */
bool view_outcome(const struct view *v, struct error *err);

#endif
