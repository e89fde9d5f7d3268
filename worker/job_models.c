#include "worker/job_models.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"
#include "worker/nets.h"
#include "worker/onnx/import.h"
#include "worker/session.h"
#include "worker/tensor_file.h"

static const char onnx_name[] = "onnx";

struct job_model {
    struct model_def def;        /* first: what `build` gets is a pointer to it */
    const struct model_def *row; /* of the registry, or */
    struct onnx_model *file;     /* a file's graph */
    bool names_features;
    bool renormalises;
    double mean[3], std[3];    /* the model's own */
    double scale[3], shift[3]; /* from the data's to the model's own */
};

static const struct job_model *model_of(const struct model_def *def)
{
    return (const struct job_model *)(const void *)def;
}

static void build(const struct net *n, const struct model_def *def, value_id image, int64_t classes,
                  struct model_outputs *out)
{
    const struct job_model *m = model_of(def);

    if (m->renormalises)
        image = net_channel_affine(n, image, m->scale, m->shift);
    if (m->file)
        onnx_build(m->file, n, image, classes, out);
    else
        m->row->build(n, m->row, image, classes, out);
}

bool job_model_is_onnx(const struct model_def *def)
{
    return def->build == build && model_of(def)->file;
}

/* Files have nine digits of a number. */
static bool differ(double a, double b)
{
    return fabs(a - b) > 1e-8 * fabs(b);
}

bool job_model_normalisations_equal(const double *a, const double *b)
{
    return !differ(a[0], b[0]) && !differ(a[1], b[1]) && !differ(a[2], b[2]);
}

/* x = (p - mean) / std for a pixel p: in terms of one normalisation, what is it in the other. */
static void set_normalisation(struct job_model *m, const struct model_request *r,
                              const double *mean, const double *std)
{
    for (int c = 0; c < 3; c++) {
        m->mean[c] = mean[c];
        m->std[c] = std[c];
        m->scale[c] = r->data_std[c] / std[c];
        m->shift[c] = (r->data_mean[c] - mean[c]) / std[c];
        m->renormalises |= differ(mean[c], r->data_mean[c]) || differ(std[c], r->data_std[c]);
    }
}

/* Three numbers with commas between them, as export writes them. */
static bool three(const char *text, double out[3])
{
    for (int c = 0; text && c < 3; c++) {
        size_t n = strcspn(text, ",");
        char *one = str_ndup(text, n);
        bool ok = str_double(one, &out[c]) && (c < 2) == (text[n] == ',');

        free(one);
        text = ok ? text + n + (c < 2) : NULL;
    }
    return text;
}

bool job_model_file_normalisation(const char *path, double mean[3], double std[3])
{
    struct error ignored;
    struct tensor_file *f = path ? tensor_file_open(path, &ignored) : NULL;
    bool found = f && three(tensor_file_meta(f, "mean"), mean) &&
                 three(tensor_file_meta(f, "std"), std) && std[0] > 0 && std[1] > 0 && std[2] > 0;

    tensor_file_close(f);
    return found;
}

/* The job's word counts, then the file's. */
static void find_normalisation(struct job_model *m, const struct model_request *r)
{
    double mean[3], std[3];

    if (r->own_mean)
        set_normalisation(m, r, r->own_mean, r->own_std);
    else if (r->data_mean && job_model_file_normalisation(r->weights, mean, std))
        set_normalisation(m, r, mean, std);
}

static bool open_graph(struct job_model *m, const struct model_request *r, struct error *err)
{
    const struct onnx_options options = {.features = r->features};

    if (!r->graph)
        return err_set(err, ERR_INVALID, "%s/model: \"onnx\" is the graph of an .onnx file",
                       r->pointer);
    m->file = onnx_open(r->graph, &options, err);
    m->names_features = r->features;
    m->def = (struct model_def){.name = onnx_name};
    return m->file || err_wrap(err, "%s", r->pointer);
}

static bool open_row(struct job_model *m, const struct model_request *r, struct error *err)
{
    m->row = model_find(r->model, err);
    if (!m->row)
        return err_wrap(err, "%s/model", r->pointer);
    m->def = *m->row;
    return !r->features ||
           err_set(err, ERR_INVALID, "%s/features: %s has its own; they can be named for \"onnx\"",
                   r->pointer, r->model);
}

/* A file whose features only a name can tell is the one with that name. */
static struct onnx_model *without_names(const struct job_model *m)
{
    const struct onnx_options plain = {.features = NULL};
    struct error ignored;

    return m->names_features ? onnx_open(onnx_path(m->file), &plain, &ignored) : NULL;
}

char *job_model_structure(const struct model_def *def, int64_t image_size, int64_t classes)
{
    struct job_model plain = {.def = *def};
    struct onnx_model *own;
    struct graph *g;
    char *text;

    if (!job_model_is_onnx(def))
        return NULL;
    own = without_names(model_of(def));
    plain.file = own ? own : model_of(def)->file;
    g = nets_inference_graph(&plain.def, 1, image_size, classes, false);
    text = graph_dump(g);
    graph_free(g);
    onnx_close(own);
    return text;
}

struct job_model *job_model_open(const struct model_request *r, struct error *err)
{
    struct job_model *m = NEW(struct job_model);
    bool is_file = strcmp(r->model, onnx_name) == 0;

    if (!(is_file ? open_graph(m, r, err) : open_row(m, r, err))) {
        job_model_close(m);
        return NULL;
    }
    m->def.build = build;
    find_normalisation(m, r);
    return m;
}

void job_model_close(struct job_model *m)
{
    if (!m)
        return;
    onnx_close(m->file);
    free(m);
}

const struct model_def *job_model_def(const struct job_model *m)
{
    return m ? &m->def : NULL;
}

static bool open_teacher(struct job_models *m, const JobSpec *job, struct error *err)
{
    const Distilld__TeacherSpec *t = job->teacher;
    struct model_request r = {.pointer = "#/teacher"};

    if (!t)
        return true;
    r.model = t->model;
    r.graph = t->weights; /* read with the model "onnx" alone */
    r.weights = t->weights;
    r.features = t->features;
    session_normalisation(job, &r.data_mean, &r.data_std);
    r.own_mean = t->n_mean ? t->mean : NULL;
    r.own_std = t->n_std ? t->std : NULL;
    m->teacher = job_model_open(&r, err);
    return m->teacher;
}

/* The job's data are normalised for the student: it takes them as they are. */
static bool open_student(struct job_models *m, const JobSpec *job, struct error *err)
{
    const Distilld__StudentSpec *s = job->student;
    struct model_request r = {.pointer = "#/student"};

    if (!s)
        return true;
    r.model = s->model;
    r.graph = s->graph ? s->graph : s->weights;
    r.features = s->features;
    m->student = job_model_open(&r, err);
    return m->student;
}

bool job_models_open(struct job_models *m, const JobSpec *job, struct error *err)
{
    *m = (struct job_models){0};
    if (open_teacher(m, job, err) && open_student(m, job, err))
        return true;
    job_models_close(m);
    return false;
}

void job_models_close(struct job_models *m)
{
    job_model_close(m->teacher);
    job_model_close(m->student);
    *m = (struct job_models){0};
}

bool job_models_teacher_norm(const struct job_models *m, const double **mean, const double **std)
{
    if (!m->teacher || !m->teacher->renormalises)
        return false;
    *mean = m->teacher->mean;
    *std = m->teacher->std;
    return true;
}
