/* The job of a session: from a file or a preset, read by rank 0 for all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/wire/presets.h"
#include "proto/wire/ref.h"
#include "proto/wire/validate.h"
#include "worker/catalog.h"
#include "worker/job_models.h"
#include "worker/session.h"

static const char *name_of(const struct session_request *r)
{
    return r->preset ? r->preset : r->job_path;
}

static bool check_kind(const JobSpec *job, const struct session_request *r, struct error *err)
{
    static const char *const commands[] = {"train", "class-means", "train", "eval"};

    if (r->kinds >> job->kind & 1)
        return true;
    return err_set(err, ERR_INVALID,
                   "%s is a job of kind \"%s\": run it with `distill-worker %s`, not `%s`",
                   name_of(r), job_kind_name(job), commands[job->kind], r->command);
}

/* The preset with what it lacks. What no longer fits together in it is said. */
static struct json *load_preset(const struct session_request *r, struct error *err)
{
    const struct preset *preset = preset_find(r->preset, err);
    struct json *spec = preset ? preset_job(preset) : NULL;
    struct buf doubts = buf_new(0);

    if (spec && preset_fill(spec, r->data, r->teacher, err) &&
        job_prepare(spec, "-", NULL, r->sets, r->n_sets, err)) {
        preset_doubts(preset, spec, &doubts);
        fputs(buf_text(&doubts), stderr);
    } else {
        js_free(spec);
        spec = NULL;
    }
    buf_free(&doubts);
    return spec;
}

static bool check_source(const struct session_request *r, struct error *err)
{
    if (!r->job_path == !r->preset)
        return err_set(err, ERR_INVALID, "give either JOB.json or --preset NAME");
    return r->preset || (!r->data && !r->teacher) ||
           err_set(err, ERR_INVALID, "--data and --teacher go with --preset; a job has --set");
}

static struct json *load_spec(const struct session_request *r, struct error *err)
{
    if (!check_source(r, err))
        return NULL;
    return r->preset ? load_preset(r, err) : job_load(r->job_path, NULL, r->sets, r->n_sets, err);
}

static void refuse_name(const char *pointer, const char *weights, struct problems *p)
{
    if (weights && ref_is_model(weights))
        problems_add(p, pointer,
                     "names of a registry are known to its daemon; here a file is "
                     "needed, got \"%s\"",
                     weights);
}

static char *check_path(const char *pointer, const char *path, void *problems)
{
    struct error err;

    if (!file_in_roots(path, &err))
        problems_add(problems, pointer, "%s", err.msg);
    return NULL;
}

/* A teacher's normalisation that is what its file says, or else its data, need not be said: with it or without, the
 * job is the same. */
static void settle_teacher_norm(JobSpec *job)
{
    Distilld__TeacherSpec *t = job->teacher;
    const double *data_mean, *data_std;
    double mean[3], std[3];

    if (!t || !t->n_mean)
        return;
    if (!job_model_file_normalisation(t->weights, mean, std)) {
        session_normalisation(job, &data_mean, &data_std);
        memcpy(mean, data_mean, sizeof(mean));
        memcpy(std, data_std, sizeof(std));
    }
    if (job_model_normalisations_equal(t->mean, mean) &&
        job_model_normalisations_equal(t->std, std))
        t->n_mean = t->n_std = 0;
}

static JobSpec *make_job(struct json *take_spec, const struct session_request *r, struct error *err)
{
    struct problems p = {0};
    struct catalog known;
    JobSpec *job;

    if (!take_spec)
        return NULL;
    worker_catalog(&known);
    job = job_from_json(take_spec, &p);
    if (job) {
        job_validate(job, &known, &p);
        job_each_path(job, check_path, &p);
        refuse_name("#/teacher/weights", job->teacher ? job->teacher->weights : NULL, &p);
        refuse_name("#/student/weights", job->student ? job->student->weights : NULL, &p);
    }
    js_free(take_spec);
    catalog_free(&known);
    if (problems_none(&p, err)) {
        problems_free(&p);
        settle_teacher_norm(job);
        if (check_kind(job, r, err))
            return job;
    } else {
        err_wrap(err, "%s", name_of(r));
        problems_free(&p);
    }
    job_free(job);
    return NULL;
}

JobSpec *session_job(const struct session_request *r, struct error *err)
{
    return make_job(load_spec(r, err), r, err);
}

/* Rank 0 reads the job for all: only it has mpirun's standard input, and perhaps the file. */
static struct json *shared_spec(struct session *s, const struct session_request *r,
                                struct error *err)
{
    struct json *spec = s->rank == 0 ? load_spec(r, err) : NULL;
    char *text = NULL;
    int64_t length;

    if (!coll_agree(s->coll, s->rank != 0 || spec, err))
        return NULL;
    if (spec)
        text = js_text(spec, JS_COMPACT);
    length = text ? (int64_t)strlen(text) : 0;
    coll_bcast(s->coll, &length, sizeof(length), 0);
    if (!text)
        text = mem_calloc((size_t)length, 1);
    coll_bcast(s->coll, text, (size_t)length, 0);
    if (!spec)
        spec = js_parse(text, (size_t)length, err);
    free(text);
    return spec;
}

JobSpec *session_shared_job(struct session *s, const struct session_request *r, struct error *err)
{
    return make_job(shared_spec(s, r, err), r, err);
}
