/* Measuring a training step: the very step of the trainer (step.h), on random images in memory, without
 * run directory, data set, metrics or checkpoints. On all ranks that one mpirun started. */
#ifndef WORKER_BENCH_BENCH_H
#define WORKER_BENCH_BENCH_H

#include "proto/base/opt.h"
#include "worker/engine/plan/clock.h"
#include "worker/step.h"

struct bench_options {
    const char *teacher, *student, *method, *data;
    double nd;             /* weight of the norm and direction loss; 0: without */
    int64_t classes, size; /* 0: what the student was made for */
    int64_t batch, lanes, threads, steps, repeats, warmup;
    opt_list sets;
    bool each;
    double peak;       /* GFLOP/s that the cores in use can do; 0: not known */
    const char *trace; /* file, or NULL */
};

/* job.c: the job that the options describe, which --set may change as any job. */
JobSpec *bench_job(const struct bench_options *o, int ranks, struct error *err);
/* Whether its images are read, and not random. */
bool bench_reads_data(const struct bench_options *o);

/* rig.c: what the step needs, made from a job. */
struct bench_rig {
    struct session s;
    struct train_step step;
    struct optim_hyper hyper; /* of the next step */
    struct bench_batch *random;
    struct loader *loader; /* NULL: always the random batch */
    double *centres;
    int64_t images;     /* in all steps so far */
    double data_s;      /* waiting for batches so far */
    int64_t last_count; /* images of the last step */
};
/* On all ranks alike. bench_rig_close must follow in both cases. */
bool bench_rig_open(struct bench_rig *r, const struct bench_options *o, struct error *err);
void bench_rig_close(struct bench_rig *r);
/* One step on the next batch. ERR_CANCELLED where the process was asked to stop. */
bool bench_rig_step(struct bench_rig *r, struct error *err);
/* x := its sum over ranks. */
void bench_rig_sum(const struct bench_rig *r, double *x);

/* noise.c: what is random: images and labels of this rank's lanes, the teacher's weights, directions of
 * classes. The same numbers on any number of ranks. */
struct bench_batch;
struct bench_batch *bench_batch_new(const struct session *s);
void bench_batch_free(struct bench_batch *b); /* NULL is fine */
const struct batch *bench_batch_get(const struct bench_batch *b);
size_t bench_batch_bytes(const struct bench_batch *b);
/* A replica whose teacher was not trained. */
bool bench_replica(struct session *s, struct replica_config *cfg, struct error *err);
/* Gives the replica directions of classes. What it returns, what they are the directions of, has to live as
 * long; free(). */
double *bench_directions(const struct session *s);

/* kept.c: what the teacher gives for the batch comes from a file from now on, as with teacher.cache, and the teacher
 * goes. On one rank. */
bool bench_keep_outputs(struct session *s, const struct batch *b, struct error *err);

/* One operator's part of the step. */
struct bench_op {
    const char *name;
    double seconds, flops;
};

/* What was measured. */
struct bench_figures {
    double ready_s, first_step_s; /* since the first process of the run was started */
    double first_loss;
    double *rates;     /* images/s of each repeat */
    double *times;     /* seconds of each step, in their order */
    double *disturbed; /* of each step: 1 where the system took a core away; NULL: not asked */
    int64_t n_rates, n_times;
    double images, cpu_s;     /* of all these steps; CPU time on all ranks */
    double data_s;            /* likewise, on this rank */
    struct step_times phases; /* likewise */
    double communication_s,
        hidden_s;    /* likewise: sums over ranks, and what of them the step did not wait for */
    double peak_rss; /* bytes, of all ranks */
    double memory, planned;   /* bytes of the job on all ranks, as they are and as planned */
    double flops;             /* of an image, without tricks that save some */
    VEC(struct bench_op) ops; /* the longest first */
    double profiled_s;        /* of the steps that ops were gathered in */
};

/* measure.c: warms up and runs; fills all but what profile.c does. */
bool bench_measure(struct bench_rig *r, const struct bench_options *o, struct bench_figures *f,
                   struct error *err);
void bench_figures_free(struct bench_figures *f);

/* profile.c: fills ops and flops by a few steps with a clock in every plan; it holds the last of them. */
bool bench_profile(struct bench_rig *r, struct plan_clock *clock, struct bench_figures *f,
                   struct error *err);

/* report.c: all figures as one object. */
struct json *bench_report(const struct bench_rig *r, const struct bench_options *o,
                          const struct bench_figures *f);

/* trace.c: spans in the JSON array format of Chrome's trace viewer, one row for each plan. */
bool bench_trace(const struct plan_clock *clock, const char *path, struct error *err);

/* process.c: what the system knows of this process. */
/* Seconds since it was started; of one that a launcher started, since the launcher was. */
double bench_age_s(bool launched);
double bench_peak_rss(void); /* bytes */
double bench_cpu_s(void);    /* of all its threads so far, the system's part too */
/* How often it lost a core though it wanted to go on, and the machine its cores to other machines: any
 * change means that the time between is not its own. */
int64_t bench_disturbances(void);

#endif
