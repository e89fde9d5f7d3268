/* GET /jobs/{id}/summary: what came of a sweep. */
#include <inttypes.h>
#include <string.h>

#include "daemon/api.h"
#include "daemon/problem.h"
#include "daemon/stats.h"
#include "daemon/summary.h"
#include "proto/base/mem.h"
#include "proto/wire/sweep.h"

enum {
    JOBS_AT_ONCE = 10000 /* of an answer; a point is never cut */
};

/* Names become keys of the answer. */
static bool is_name(const char *text)
{
    size_t n = 0;

    while (text[n] >= ' ' && text[n] <= '~')
        n++;
    return n && !text[n];
}

/* Which figures the query names, or those that most want to see. False when the answer was given. */
static bool take_figures(struct request *r, const char **names, size_t *n)
{
    static const char *const usual[] = {"final.top1", "best.top1"};
    const char *name;

    for (*n = 0; (name = http_query_nth(r, "figure", *n)); ++*n) {
        if (*n == SUMMARY_FIGURES) {
            problem_reply(r, "bad_request", NULL, "at most %d figures can be named",
                          SUMMARY_FIGURES);
            return false;
        }
        if (!is_name(name)) {
            problem_reply(r, "bad_request", NULL,
                          "figure: expected a name like final.top1, in printable ASCII");
            return false;
        }
        names[*n] = name;
    }
    for (size_t i = 0; !http_query(r, "figure") && i < ARRAY_LEN(usual); i++)
        names[(*n)++] = usual[i];
    return true;
}

static void add_row(const struct sweep_row *row, void *summary)
{
    summary_add(summary, row);
}

/* The jobs of the points, and those of the baseline if it is not among them. */
static bool read_jobs(struct daemon *d, const struct job *j, const struct sweep *s, int64_t first,
                      int64_t n, struct summary *to, struct error *err)
{
    const int64_t seeds = sweep_seeds(s), base = sweep_baseline(s);

    return store_sweep_jobs(d->store, j->id, first * seeds, (first + n) * seeds, add_row, to,
                            err) &&
           ((base >= first && base < first + n) ||
            store_sweep_jobs(d->store, j->id, base * seeds, (base + 1) * seeds, add_row, to, err));
}

static struct json *summary_json(const struct job *j, const struct sweep *s, int64_t first,
                                 int64_t n, const struct summary *summary)
{
    struct json *all = js_new_object();
    const int64_t next = first + n;

    js_set(all, "id", js_new_string(j->id));
    js_set(all, "state", js_new_string(job_state_name(j->state)));
    js_set(all, "points", js_new_int(sweep_points(s)));
    js_set(all, "seeds", js_new_int(sweep_seeds(s)));
    js_set(all, "baseline", js_new_int(sweep_baseline(s)));
    js_set(all, "baseline_values", sweep_values(s, sweep_baseline(s)));
    js_set(all, "confidence", js_new_real(STATS_CONFIDENCE));
    js_set(all, "items", summary_items(summary));
    js_set(all, "next_first", next < sweep_points(s) ? js_new_int(next) : js_new_null());
    return all;
}

static void answer(struct daemon *d, struct request *r, const struct job *j, const struct sweep *s)
{
    const char *figures[SUMMARY_FIGURES];
    size_t n_figures;
    int64_t first, n = JOBS_AT_ONCE / sweep_seeds(s);
    struct summary *summary;
    struct error err;

    if (!take_figures(r, figures, &n_figures) ||
        !api_number(r, "first", 0, sweep_points(s) - 1, 0, &first))
        return;
    n = n < 1 ? 1 : n;
    n = n < sweep_points(s) - first ? n : sweep_points(s) - first;
    summary = summary_new(s, first, n, figures, n_figures);
    if (read_jobs(d, j, s, first, n, summary, &err))
        reply_json(r, 200, summary_json(j, s, first, n, summary));
    else
        problem_reply_error(r, &err);
    summary_free(summary);
}

void api_job_summary(struct daemon *d, struct request *r)
{
    struct job *owned;
    const struct job *j = api_job_of(d, r, &owned);
    struct json *spec = j ? js_parse(j->spec, strlen(j->spec), NULL) : NULL;
    struct problems none = {0};
    struct sweep *s = j && job_is_sweep(j) ? sweep_new(spec, &none) : NULL;

    if (s)
        answer(d, r, j, s);
    else if (j)
        problem_reply(r, "conflict", NULL, "job %s is no sweep", j->id);
    problems_free(&none);
    sweep_free(s);
    js_free(spec);
    job_destroy(owned);
}
