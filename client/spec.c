#include "client/spec.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "client/yaml.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/str.h"
#include "proto/wire/job.h"
#include "proto/wire/presets.h"
#include "proto/wire/sweep.h"
#include "proto/wire/validate.h"

static const double patience_s = 30; /* of a submission whose answer was lost */

static bool is_yaml(const char *path, const char *text)
{
    if (str_ends(path, ".json"))
        return false;
    return str_ends(path, ".yaml") || str_ends(path, ".yml") ||
           text[strspn(text, " \t\r\n")] != '{';
}

static struct json *parse(struct ctl *c, const char *path, const struct buf *text,
                          struct error *err)
{
    if (!is_yaml(path, buf_text(text)))
        return js_parse(buf_text(text), text->len, err);
    js_free(c->lines);
    c->lines = js_new_object();
    return yaml_parse(buf_text(text), text->len, c->lines, err);
}

static struct json *read_spec(struct ctl *c, const char *path, struct error *err)
{
    struct buf text = buf_new(JOB_MAX_BYTES);
    struct json *spec = NULL;

    if (!file_read(job_file(path), &text, err))
        err_named_file(err);
    else if (!(spec = parse(c, path, &text, err)))
        err_wrap(err, "%s", path);
    buf_free(&text);
    return spec;
}

static void check_job(const JobSpec *job, struct problems *p, void *arg)
{
    (void)arg;
    job_validate(job, NULL, p);
    job_check_labels(job, p);
}

bool spec_check(struct ctl *c, const struct json *spec, struct error *err)
{
    struct problems problems = {0};
    JobSpec *job = sweep_check(spec, check_job, NULL, &problems);
    bool ok = ctl_no_problems(c, &problems, err);

    job_free(job);
    problems_free(&problems);
    return ok;
}

static void say_doubts(const struct preset *p, const struct json *spec)
{
    struct buf b = buf_new(0);

    preset_doubts(p, spec, &b);
    fputs(buf_text(&b), stderr);
    buf_free(&b);
}

const char *spec_name(const struct spec_source *from)
{
    return from->path ? from->path : from->preset;
}

struct json *spec_load(struct ctl *c, const struct spec_source *from, struct error *err)
{
    const struct preset *preset = NULL;
    struct json *spec;

    if (!from->path == !from->preset) {
        err_set(err, ERR_INVALID, "give either SPEC or --preset NAME");
        return NULL;
    }
    if (from->preset && !(preset = preset_find(from->preset, err)))
        return NULL;
    spec = preset ? preset_job(preset) : read_spec(c, from->path, err);
    if (!spec)
        return NULL;
    if (!preset_fill(spec, from->data, from->teacher, err) ||
        !job_prepare(spec, preset ? "-" : from->path, NULL, from->sets.at, from->sets.n, err)) {
        js_free(spec);
        return NULL;
    }
    if (preset)
        say_doubts(preset, spec);
    return spec;
}

static void new_key(char key[33])
{
    uint64_t n[2] = {0};

    if (getrandom(n, sizeof(n), 0) != (ssize_t)sizeof(n)) {
        n[0] = (uint64_t)clock_wall_ms();
        n[1] = (uint64_t)clock_mono_ns();
    }
    snprintf(key, 33, "%016" PRIx64 "%016" PRIx64, n[0], n[1]);
}

static void pause_s(double s)
{
    struct timespec t = {(time_t)s, (long)((s - (double)(time_t)s) * 1e9)};

    nanosleep(&t, NULL);
}

static struct json *post_once(struct ctl *c, const char *path, const struct json *spec,
                              const char *key, bool *lost, struct error *err)
{
    struct http *h = ctl_http(c, err);
    struct json *job;

    if (!h)
        return NULL;
    http_set_key(h, key);
    job = ctl_call(c, "POST", path, spec, err);
    http_set_key(h, NULL);
    *lost = *lost || http_lost(h);
    if (err->code != ERR_UNREACHABLE)
        *lost = false; /* an answer, whatever it says */
    return job;
}

/* A request that was lost on its way may have been carried out or not: under the same key it is sent
 * again, until the daemon, which may be starting anew and under another address, has answered. */
struct json *spec_post(struct ctl *c, const char *path, const struct json *spec, struct error *err)
{
    double until = clock_mono_s() + patience_s;
    bool lost = false;
    char key[33];

    new_key(key);
    for (double wait = 0.1;; wait = wait < 2 ? wait * 2 : wait) {
        struct json *job = post_once(c, path, spec, key, &lost, err);

        if (job || !lost || clock_mono_s() > until)
            return job;
        pause_s(wait);
        ctl_renew(c);
    }
}

struct json *spec_submit(struct ctl *c, const struct spec_source *from, struct error *err)
{
    struct json *spec = spec_load(c, from, err);
    struct json *job = spec ? spec_post(c, "/api/v1/jobs", spec, err) : NULL;

    js_free(spec);
    if (job && !js_string(js_get(job, "id"), NULL)) {
        err_set(err, ERR_FAILED, "%s accepted the job but named no id", c->base);
        js_free(job);
        return NULL;
    }
    return job;
}

bool spec_is_list(const struct spec_source *from)
{
    struct buf text = buf_new(JOB_MAX_BYTES);
    bool list = from->path && strcmp(from->path, "-") != 0 && file_read(from->path, &text, NULL) &&
                buf_text(&text)[strspn(buf_text(&text), " \t\r\n")] == '[' &&
                !str_ends(from->path, ".yaml") && !str_ends(from->path, ".yml");

    buf_free(&text);
    return list;
}

/* One of an array; the options and the folder are those of its file. */
static bool add_element(const struct spec_source *from, const struct json *element, size_t i,
                        struct json *jobs, struct error *err)
{
    struct json *spec = js_copy(element);

    if (preset_fill(spec, from->data, from->teacher, err) &&
        job_prepare(spec, from->path, NULL, from->sets.at, from->sets.n, err)) {
        js_push(jobs, spec);
        return true;
    }
    js_free(spec);
    return err_wrap(err, "%s: job %zu", from->path, i);
}

static bool add_file(struct ctl *c, const struct spec_source *from, struct json *jobs,
                     struct error *err)
{
    bool ok = true;
    struct json *read;

    if (!spec_is_list(from)) {
        read = spec_load(c, from, err);
        if (read)
            js_push(jobs, read);
        return read;
    }
    read = js_read_file(from->path, JOB_MAX_BYTES, err);
    for (size_t i = 0; read && ok && i < js_len(read); i++)
        ok = add_element(from, js_at(read, i), i, jobs, err);
    js_free(read);
    return read && ok;
}

struct json *spec_submit_all(struct ctl *c, const struct spec_source *from, const opt_list *paths,
                             struct error *err)
{
    struct spec_source one = *from;
    struct json *jobs = js_new_array(), *body = js_new_object(), *answer = NULL;
    bool ok = add_file(c, &one, jobs, err);

    for (size_t i = 0; ok && i < paths->n; i++) {
        one.path = paths->at[i];
        ok = add_file(c, &one, jobs, err);
    }
    js_set(body, "jobs", jobs);
    js_set(body, "atomic", js_new_bool(true));
    if (ok)
        answer = spec_post(c, "/api/v1/jobs:batch", body, err);
    js_free(body);
    return answer;
}
