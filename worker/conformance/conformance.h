/* Golden vectors from reference implementations, run through the plans that training uses. A case is one
 * safetensors file; the format is described with the vectors ("kdpp-vectors-1"). */
#ifndef WORKER_CONFORMANCE_CONFORMANCE_H
#define WORKER_CONFORMANCE_CONFORMANCE_H

#include <stdio.h>

#include "proto/base/json.h"
#include "proto/base/vec.h"
#include "worker/ckpt/safetensors.h"

struct conformance_options {
    const char *dir;
    const char *kinds;   /* comma-separated; NULL: all */
    const char *backend; /* "cpu", "ref" */
    FILE *out;
};

/* Prints one JSON line a case and a summary. Returns the exit status: 1 when a case failed, none passed,
 * or a kind that was asked for has no case or an unsupported one. */
int conformance_run(const struct conformance_options *options, struct error *err);

/* One case under way. */
struct cf_case {
    const char *name, *kind, *backend;
    const char *model_file; /* NULL: the case has none */
    const struct safetensors *st;
    struct json *tolerance, *hyper, *check;
    struct json *done;  /* tensors of `tolerance` that were compared */
    double worst;       /* largest error over its tolerance so far */
    double max_rel_err; /* largest error over the tensor's largest value */
    char worst_tensor[128];
};

/* How a kind is run: fills the case's figures by cf_compare. False with err: ERR_UNSUPPORTED when the
 * case needs something that does not exist, else it failed. */
typedef bool (*cf_run_fn)(struct cf_case *c, struct error *err);

bool cf_run_loss(struct cf_case *c, struct error *err);
bool cf_run_hcl(struct cf_case *c, struct error *err);
bool cf_run_abf(struct cf_case *c, struct error *err);
bool cf_run_layer(struct cf_case *c, struct error *err);
bool cf_run_optim(struct cf_case *c, struct error *err);
bool cf_run_model(struct cf_case *c, struct error *err);
bool cf_run_trajectory(struct cf_case *c, struct error *err);
bool cf_run_centers(struct cf_case *c, struct error *err);
bool cf_run_onnx(struct cf_case *c, struct error *err);

/* tensors.c: inputs. Memory is released with free(). */
const struct st_tensor *cf_tensor(const struct cf_case *c, const char *name, struct error *err);
float *cf_floats(const struct cf_case *c, const char *name, struct error *err);
int32_t *cf_labels(const struct cf_case *c, const char *name, struct error *err);
const char *cf_meta(const struct cf_case *c, const char *key);
/* A metadata entry that is JSON; js_free. NULL when absent. */
struct json *cf_meta_json(const struct cf_case *c, const char *key);

/* compare.c: holds n values against the case's tensor of that name, by its tolerance. A tensor without
 * tolerance is not judged. False with err only when sizes do not agree. */
bool cf_compare(struct cf_case *c, const char *name, const double *got, size_t n,
                struct error *err);

/* generate.c: the vectors' own generator of values. */
void cf_uniform(const char *salt, const char *stream, double lo, double width, size_t n,
                float *out);
struct cf_images {
    const char *salt, *prefix;
    int64_t n, size;
    const int32_t *labels; /* for the part that depends on the class; NULL: without it */
};
void cf_gen_images(const struct cf_images *g, float *out);

/* state.c: parameters that come from the generator: rows [key, role, lo, width, shape] of a metadata
 * entry, each stream called prefix + key. */
struct cf_state {
    struct json *rows;
    const char *salt;
    char *prefix;
    bool fresh_norms; /* batch norms start as 1, 0, 0, 1 */
};
bool cf_state_open(struct cf_state *s, const struct cf_case *c, const char *rows_key,
                   const char *prefix_key, struct error *err);
void cf_state_close(struct cf_state *s);
/* The tensor called key, of n elements. ERR_DATA when there is none. */
bool cf_state_fill(const struct cf_state *s, const char *key, size_t n, float *out,
                   struct error *err);

#endif
