/* From a job to everything that runs it: data, networks, ranks. The only place where they are wired. */
#ifndef WORKER_SESSION_H
#define WORKER_SESSION_H

#include "proto/wire/job.h"
#include "worker/collective/coll.h"
#include "worker/data/augment.h"
#include "worker/data/dataset.h"
#include "worker/data/loader.h"
#include "worker/data/mix.h"
#include "worker/job_models.h"
#include "worker/means/ema.h"
#include "worker/means/means.h"
#include "worker/replica.h"
#include "worker/report/progress.h"
#include "worker/report/uplink.h"
#include "worker/rundir.h"
#include "worker/weights.h"

/* What evaluation walks over. */
struct eval_set {
    const struct dataset *data; /* NULL: the job has no such set */
    double *teacher_norms;      /* |t| of the images in this rank's chunks */
    bool has_teacher_norms;
};

struct session {
    JobSpec *job;
    struct coll *coll;
    int rank, size;
    struct rundir dir;        /* opened by rank 0 alone; its path is known to all */
    struct progress progress; /* rank 0 */
    struct uplink *uplink;    /* rank 0, under a daemon */

    struct dataset *train, *val, *test; /* val: NULL where nothing is held out */
    struct augment augment;
    int64_t views;  /* of a training image; 0: one for each epoch */
    struct mix mix; /* where the training graph mixes */
    char data_sha256[SHA256_HEX];
    char val_sha256[SHA256_HEX], test_sha256[SHA256_HEX]; /* rank 0 */

    struct job_models models;
    char student_graph_sha256[SHA256_HEX]; /* of the model "onnx"; "": of none */
    struct weights teacher;
    char teacher_sha256[SHA256_HEX];
    struct teacher_ranges ranges; /* of a teacher in int8 */
    char engine[128];             /* that it runs on, and its steps: equal where it rounds alike */
    struct class_means means;     /* classes 0: none */
    const char *means_origin;     /* "computed", "cached", "given"; NULL: none */
    struct means_ema ema;         /* running ones, the same on all ranks; classes 0: none */
    double *classifier;           /* rows of the teacher's last layer; NULL: not asked for */

    struct outputs *outputs;  /* the teacher's, of all training views; NULL: none are kept */
    const char *cache_origin; /* "computed", "cached"; NULL: none */

    struct replica *replica;
    size_t memory_at_start; /* footprint_now() before anything of the job was made */
    int64_t samples, steps_per_epoch, total_steps;
    int64_t chunk; /* of the teacher and of evaluation: a function of the job alone */
    int lanes, lane_lo, lane_hi;
    struct eval_set val_set, test_set;
};

/* What the command line says. */
struct session_request {
    const char *job_path;                /* or */
    const char *preset, *data, *teacher; /* its name, and what it lacks */
    const char *const *sets;             /* --set */
    size_t n_sets;
    unsigned kinds;      /* a bit for each JobKind that the command takes */
    const char *command; /* for the message about a wrong kind */
    const char *out;     /* NULL: NAME.out in the current folder */
    bool json;
    bool verify_data; /* read all data again for its hash */
};

/* Everything up to the point where computing can begin: ranks, job, run directory, data, teacher, plans,
 * initial weights, class means where the job needs them. On all ranks alike: true everywhere, or false
 * everywhere with the error of the lowest rank that failed. In both cases s->coll is open (unless the
 * group could not be made) and session_close must follow. */
bool session_open(struct session *s, const struct session_request *request, struct error *err);
void session_close(struct session *s, const char *state);

/* The job of a request: read, assigned to, checked. ERR_INVALID with every problem in one message. */
JobSpec *session_job(const struct session_request *request, struct error *err);
/* The same on all ranks: rank 0 reads it for them. */
JobSpec *session_shared_job(struct session *s, const struct session_request *request,
                            struct error *err);

/* Samples in a chunk of the teacher and of evaluation. */
int64_t session_chunk(const JobSpec *job);
/* Where this rank stands among the lanes, and how long a run over so many images is. */
bool session_set_course(struct session *s, int64_t samples, struct error *err);
/* The job's batches for this rank's lanes, from the first to the last; and its optimiser, but for the learning rate
 * and the number of the step. */
struct train_loader_config session_loader(const struct session *s);
struct optim_hyper session_hyper(const JobSpec *job);
/* What a job asks of a replica, for so many training images (0: no training). The models must outlive the
 * replica; *lane_sizes is what cfg->lane_sizes points to; free(). */
bool session_configure(const JobSpec *job, const struct job_models *models, int64_t samples,
                       int64_t classes, int64_t image_size, struct replica_config *cfg,
                       int64_t **lane_sizes, struct error *err);

/* What a job wants of its data; the job must stay. */
struct dataset_config session_dataset(const JobSpec *job);
/* $DISTILLD_CACHE, else the user's cache folder; free(). */
char *session_cache_folder(void);
/* Of encoded images: how long the shorter side is before the middle is shown. */
int session_resize(const JobSpec *job);
/* Mean and deviation of the three channels for pixels in 0..1: the job's, else its data set's. */
void session_normalisation(const JobSpec *job, const double **mean, const double **std);

/* Signals and the daemon: what rank 0 and the others were asked to do. */
enum uplink_stop session_stop_requested(const struct session *s);
void session_catch_signals(void);

/* session_job.c: session_job for all ranks, read by rank 0. */
JobSpec *session_shared_job(struct session *s, const struct session_request *request,
                            struct error *err);
/* session_data.c: opens the sets and settles what is done to images; on this rank. Tells of bad records, and
 * hashes data (anew: reads all of them again) and models; on all ranks alike. */
bool session_open_data(struct session *s, struct error *err);
bool session_identify(struct session *s, bool anew, struct error *err);
/* directions.c: makes what the job takes as the directions of classes. */
bool session_directions(struct session *s, struct error *err);
/* class_means.c: loads, takes from the cache or computes what the job asks for. */
bool session_class_means(struct session *s, struct error *err);
/* transform.c: the augmentation, and all that is done to an image that is shown like that, as text; free(). */
char *session_augmentation(const struct session *s);
char *session_transform(const struct session *s, const char *view);
/* teacher_cache.c: where the job wants it, finds or makes what the teacher gives for every training view, and
 * lets the teacher go. On all ranks alike. */
bool session_teacher_cache(struct session *s, struct error *err);
/* skip_corrupt.c: leaves out images that cannot be decoded, where the job says so. On all ranks alike. */
bool session_skip_corrupt(struct session *s, struct dataset *d, bool anew, struct error *err);
/* evaluate.c: remembers what evaluation wants of the teacher. On all ranks alike. */
bool session_teacher_norms(struct session *s, struct eval_set *set, struct error *err);
/* evaluate.c: sums over a set, in a fixed order, on all ranks. */
bool session_evaluate(struct session *s, struct eval_set *set, double sums[SUM_COUNT],
                      struct error *err);

/* The k-th figure of a mean over n samples by its metric name, and whether it exists for this job. */
struct session_figure {
    const char *name;
    int sum;       /* index of the sum */
    double factor; /* 100 for percent */
};
extern const struct session_figure session_figures[];
extern const size_t n_session_figures;
bool session_has_figure(const struct session *s, const struct session_figure *f, bool evaluation);

#endif
