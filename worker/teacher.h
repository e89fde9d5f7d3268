/* The frozen teacher: the same sample gives other bits in a batch of another size, so it runs in chunks of one
 * fixed size, the last filled up. One thread. */
#ifndef WORKER_TEACHER_H
#define WORKER_TEACHER_H

#include "proto/base/sha256.h"
#include "worker/engine/passes/compile.h"
#include "worker/nets.h"

/* Taps keep steps from being fused, which rounds otherwise. So that class means and norms of test images do
 * not depend on the losses, they have a plan without. */
enum teacher_form {
    TEACHER_PLAIN, /* logits and features */
    TEACHER_READ,  /* with the taps that losses read; the same where they read none */
    TEACHER_FORMS
};

/* What int8 needs to know of a form: the greatest magnitudes of values, in the order in which its plan in
 * PRECISION_OBSERVED tells them. */
struct teacher_ranges {
    float *of[TEACHER_FORMS]; /* NULL: not known */
    size_t n[TEACHER_FORMS];
};
void teacher_ranges_free(struct teacher_ranges *r);
/* sha256 of all. */
void teacher_ranges_sha256(const struct teacher_ranges *r, char hex[SHA256_HEX]);

struct teacher {
    const struct nets *nets;
    int64_t chunk;
    struct plan *plans[TEACHER_FORMS];      /* READ: NULL where it would be the same as PLAIN */
    float *images;                          /* a chunk that was filled up */
    float *values[NETS_MAX_TEACHER_VALUES]; /* of a chunk; NULL: neither wanted nor there */
    size_t bytes, heap_bytes;               /* of those; of those below MEM_LARGE */
    char ranges_sha256[SHA256_HEX];         /* "": of none */
};

/* nets, settled and with a teacher, and how->backend must outlive it; the plans are compiled as `how` says, under
 * titles of their own, with the ranges of each form (NULL: not known). Weights come by tensor. */
struct teacher *teacher_open(const struct nets *nets, int64_t chunk,
                             const struct compile_options *how, const struct teacher_ranges *ranges,
                             tensor_fn tensor, void *arg, struct error *err);
void teacher_close(struct teacher *t); /* NULL is fine */

struct plan *teacher_plan(const struct teacher *t, enum teacher_form form);
/* sha256 of the form's steps: operators, kernels, layouts, what was fused; and of the ranges. Where it is equal, so is the way in
 * which results are rounded, by the same program on the same instruction set. */
void teacher_algorithm(const struct teacher *t, enum teacher_form form, char hex[SHA256_HEX]);
/* Numbers in one sample of teacher_values[i]. */
size_t teacher_value_count(const struct nets *n, size_t i);
/* Whether the i-th of teacher_values is made in the form READ. */
bool teacher_makes(const struct nets *n, size_t i);

/* On `count` images; fills those of values[] that are there (count samples of teacher_values[i]) and that
 * the form makes. */
void teacher_run(struct teacher *t, enum teacher_form form, const float *images, int64_t count,
                 float *const values[NETS_MAX_TEACHER_VALUES]);

#endif
