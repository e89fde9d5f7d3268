#define _GNU_SOURCE
#include "worker/result.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/clock.h"

/* What was left out of the data, where something was. */
static void add_skipped(struct json *to, const struct dataset *d, const char *split)
{
    struct json *j, *first;

    if (!d || !dataset_skipped(d))
        return;
    j = js_new_object();
    first = js_new_array();
    for (size_t k = 0; dataset_skipped_why(d, k); k++)
        js_push(first, js_new_string(dataset_skipped_why(d, k)));
    js_set(j, "records", js_new_int(dataset_skipped(d)));
    js_set(j, "first", first);
    js_set(to, split, j);
}

static struct json *described(const struct session *s)
{
    struct json *j = js_new_object(), *data = js_new_object();
    struct json *skipped = js_new_object();

    js_set(j, "state", js_new_string("succeeded"));
    js_set(j, "kind", js_new_string(job_kind_name(s->job)));
    js_set(data, "source", js_new_string(s->job->data->source));
    js_set(data, "classes", js_new_int(dataset_classes(s->train)));
    js_set(data, "train_images", js_new_int(dataset_count(s->train)));
    if (s->val)
        js_set(data, "val_images", js_new_int(dataset_count(s->val)));
    js_set(data, "test_images", js_new_int(dataset_count(s->test)));
    add_skipped(skipped, s->train, "train");
    add_skipped(skipped, s->val, "val");
    add_skipped(skipped, s->test, "test");
    js_set(data, "skipped", skipped);
    js_set(j, "data", data);
    if (s->job->teacher)
        js_set(j, "teacher_precision",
               js_new_string(s->ranges.of[TEACHER_PLAIN] ? "int8" : "float32"));
    js_set(j, "class_means", s->means_origin ? js_new_string(s->means_origin) : js_new_null());
    js_set(j, "teacher_cache", s->cache_origin ? js_new_string(s->cache_origin) : js_new_null());
    return j;
}

/* Every figure that this job has, as a mean over n samples. */
static struct json *figures(const struct session *s, const double *sums, double n, bool evaluation)
{
    struct json *j = js_new_object();

    for (size_t i = 0; i < n_session_figures; i++)
        if (session_has_figure(s, &session_figures[i], evaluation))
            js_set(j, session_figures[i].name,
                   js_new_real(session_figures[i].factor * sums[session_figures[i].sum] / n));
    return j;
}

static void add_final(struct json *to, const struct session *s, const double *val,
                      const double *test)
{
    js_set(to, "final", figures(s, test, (double)dataset_count(s->test), true));
    if (s->val)
        js_set(to, "final (val)", figures(s, val, (double)dataset_count(s->val), true));
}

/* The member's name says what the best student was chosen by: with images held out, they have chosen, and
 * what it reached on the test images stands beside their figure. */
static void add_best(struct json *to, const struct session *s, const struct run_state *st)
{
    struct json *best = js_new_object();

    js_set(best, "top1", js_new_real(st->best_top1));
    if (s->val)
        js_set(best, "test_top1", js_new_real(st->best_test_top1));
    js_set(best, "step", js_new_int(st->best_step));
    js_set(to, s->val ? "best (val)" : "best (test)", best);
}

bool result_write_training(const struct session *s, const struct run_state *st,
                           int64_t resumed_from, int64_t steps_executed, bool other_isa,
                           struct error *err)
{
    struct json *j = described(s);
    bool ok;

    js_set(j, "model", js_new_string(s->job->student->model));
    js_set(j, "epochs", js_new_int(s->job->train->epochs));
    js_set(j, "steps", js_new_int(st->step));
    js_set(j, "seed", js_new_int((int64_t)s->job->train->seed));
    add_final(j, s, st->val_sums, st->eval_sums);
    add_best(j, s, st);
    if (st->last_samples)
        js_set(j, "train", figures(s, st->last_sums, (double)st->last_samples, false));
    js_set(j, "resumed_from", resumed_from >= 0 ? js_new_int(resumed_from) : js_new_null());
    js_set(j, "steps_executed", js_new_int(steps_executed));
    if (other_isa)
        js_set(j, "allow_other_isa", js_new_bool(true));
    ok = rundir_write_json(&s->dir, "result.json", j, err);
    js_free(j);
    return ok;
}

bool result_write_class_means(const struct session *s, struct error *err)
{
    struct json *j = described(s);
    bool ok;

    js_set(j, "model", js_new_string(s->job->teacher->model));
    js_set(j, "width", js_new_int(s->means.width));
    ok = rundir_write_json(&s->dir, "result.json", j, err);
    js_free(j);
    return ok;
}

bool result_write_evaluation(const struct session *s, const double val[SUM_COUNT],
                             const double test[SUM_COUNT], struct error *err)
{
    struct json *j = described(s);
    bool ok;

    js_set(j, "model", js_new_string(s->job->student->model));
    add_final(j, s, val, test);
    ok = rundir_write_json(&s->dir, "result.json", j, err);
    js_free(j);
    return ok;
}

static struct json *timed(const char *event)
{
    const char *attempt = getenv("DISTILLD_GENERATION");
    struct json *j = js_new_object();
    char when[CLOCK_TEXT];

    js_set(j, "event", js_new_string(event));
    js_set(j, "at", js_new_string(clock_text(clock_wall_ms(), when)));
    if (attempt)
        js_set(j, "attempt", js_new_string(attempt));
    return j;
}

void result_time_start(const struct session *s, int64_t resumed_from)
{
    struct json *j = timed("start");
    char host[256] = "";

    gethostname(host, sizeof(host) - 1);
    js_set(j, "host", js_new_string(host));
    js_set(j, "ranks", js_new_int(s->size));
    js_set(j, "threads", js_new_int(s->job->resources->threads));
    js_set(j, "isa", js_new_string(backend_isa()));
    js_set(j, "resumed_from", resumed_from >= 0 ? js_new_int(resumed_from) : js_new_null());
    rundir_append_json(&s->dir, "timing.jsonl", j);
}

static struct json *list(const double *x, int n, bool whole)
{
    struct json *j = js_new_array();

    for (int i = 0; i < n; i++)
        js_push(j, whole ? js_new_int((int64_t)x[i]) : js_new_real(x[i]));
    return j;
}

static double over_ranks(const double *figures, enum rank_figure figure, int size)
{
    double sum = 0;

    for (int r = 0; r < size; r++)
        sum += figures[figure * size + r];
    return sum;
}

void result_time_epoch(const struct session *s, int64_t step, int64_t epoch, double seconds,
                       const double *figures)
{
    static const char *const names[RANK_FIGURES] = {
        [RANK_SAMPLES] = "samples_per_rank",
        [RANK_RSS_MB] = "rss_mb_per_rank",
        [RANK_MEMORY_MB] = "memory_mb_per_rank",
        [RANK_PLANNED_MB] = "planned_mb_per_rank",
        [RANK_TEACHER_S] = "teacher_s_per_rank",
        [RANK_STUDENT_S] = "student_s_per_rank",
        [RANK_UPDATE_S] = "update_s_per_rank",
        [RANK_WAITING_S] = "collective_s_per_rank",
        [RANK_COMMUNICATION_S] = "communication_s_per_rank",
        [RANK_HIDDEN_S] = "communication_hidden_s_per_rank",
    };
    struct json *j = timed("epoch");
    double samples = over_ranks(figures, RANK_SAMPLES, s->size);
    double communication = over_ranks(figures, RANK_COMMUNICATION_S, s->size);
    double hidden = over_ranks(figures, RANK_HIDDEN_S, s->size);

    js_set(j, "step", js_new_int(step));
    js_set(j, "epoch", js_new_int(epoch));
    js_set(j, "seconds", js_new_real(seconds));
    js_set(j, "images_per_s", js_new_real(seconds > 0 ? samples / seconds : 0));
    for (int i = 0; i < RANK_FIGURES; i++)
        js_set(j, names[i], list(figures + i * s->size, s->size, i == RANK_SAMPLES));
    js_set(j, "collective_hidden_share",
           communication > 0 ? js_new_real(hidden / communication) : js_new_null());
    rundir_append_json(&s->dir, "timing.jsonl", j);
}
