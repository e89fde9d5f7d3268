/* The job that a session runs: read, assigned to, checked, the same on all ranks. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/wire/ref.h"
#include "proto/wire/validate.h"
#include "worker/catalog.h"
#include "worker/session.h"

static bool check_kind(const JobSpec *job, const struct session_request *r, struct error *err)
{
    static const char *const commands[] = {"train", "class-means", "train", "eval"};

    if (r->kinds >> job->kind & 1)
        return true;
    return err_set(err, ERR_INVALID,
                   "%s is a job of kind \"%s\": run it with `distill-worker %s`, not `%s`",
                   r->job_path, job_kind_name(job), commands[job->kind], r->command);
}

static struct json *load_spec(const struct session_request *r, struct error *err)
{
    return job_load(r->job_path, NULL, r->sets, r->n_sets, err);
}

static void refuse_name(const char *pointer, const char *weights, struct problems *p)
{
    if (weights && ref_is_model(weights))
        problems_add(p, pointer,
                     "names of a registry are known to its daemon; here a file is "
                     "needed, got \"%s\"",
                     weights);
}

/* A normalisation that is the data's is none of the teacher's own: said or not, the job is the same. An ONNX
 * file may name another one, over which the job's word counts. */
static void settle_teacher_norm(JobSpec *job)
{
    Distilld__TeacherSpec *t = job->teacher;
    const double *mean, *std;

    if (!t || !t->n_mean || strcmp(t->model, "onnx") == 0)
        return;
    session_normalisation(job, &mean, &std);
    if (memcmp(mean, t->mean, 3 * sizeof(*mean)) != 0 || memcmp(std, t->std, 3 * sizeof(*std)) != 0)
        return;
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
        err_wrap(err, "%s", r->job_path);
        problems_free(&p);
    }
    job_free(job);
    return NULL;
}

JobSpec *session_job(const struct session_request *r, struct error *err)
{
    return make_job(load_spec(r, err), r, err);
}

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

/* Rank 0 reads the job for all: only it has mpirun's standard input, and perhaps the file. */
JobSpec *session_shared_job(struct session *s, const struct session_request *r, struct error *err)
{
    return make_job(shared_spec(s, r, err), r, err);
}
