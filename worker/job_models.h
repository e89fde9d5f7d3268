/* The models that a job names: rows of the registry, or graphs of .onnx files (the model "onnx"). A teacher
 * that was trained with another normalisation than the job's data gets its own: its graph begins by
 * undoing the one and applying the other. */
#ifndef WORKER_JOB_MODELS_H
#define WORKER_JOB_MODELS_H

#include "proto/wire/job.h"
#include "worker/models/model.h"

struct model_request {
    const char *pointer; /* "#/teacher", for messages */
    const char *model;
    const char *graph;    /* the .onnx file of the model "onnx" */
    const char *features; /* which of its values are the features; NULL: found */
    /* Of the three channels: of the images as they come (NULL: the model takes them so), and as the model
     * wants them; NULL: as the metadata of its weights say, if they do. */
    const double *data_mean, *data_std, *own_mean, *own_std;
    const char *weights; /* a file; read for that alone */
};

struct job_model;
/* ERR_INVALID: an unknown name, or options that do not fit; else what onnx_open says. */
struct job_model *job_model_open(const struct model_request *r, struct error *err);
void job_model_close(struct job_model *m); /* NULL is fine */
/* It lives as long as m. */
const struct model_def *job_model_def(const struct job_model *m); /* NULL for NULL */
bool job_model_is_onnx(const struct model_def *def);
/* The graph of an ONNX file as text, for one image: as the file has it, whatever a job applies to it or calls
 * its features. NULL: not of a file. free(). */
char *job_model_structure(const struct model_def *def, int64_t image_size, int64_t classes);

struct job_models {
    struct job_model *teacher, *student; /* NULL where the job has none */
};
bool job_models_open(struct job_models *m, const JobSpec *job, struct error *err);
void job_models_close(struct job_models *m);
/* The normalisation that the teacher was trained with; false: the data's. */
bool job_models_teacher_norm(const struct job_models *m, const double **mean, const double **std);

/* What the metadata of a file say, as export and the runs of this program note it: false where they say nothing,
 * or where the file cannot be read, which is the matter of who loads it. */
bool job_model_file_normalisation(const char *path, double mean[3], double std[3]);
/* Three means, or deviations, that are the same but for how they were written down. */
bool job_model_normalisations_equal(const double *a, const double *b);

#endif
