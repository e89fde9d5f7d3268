/* The experiments of the paper (arXiv 2305.17007, tables for CIFAR-100 and ImageNet) and the methods they
 * are compared with, by name: "kd++/resnet56-resnet20" is METHOD/TEACHER-STUDENT. Weights, batch and
 * learning rate are those of the authors' scripts; baselines are as in mdistiller, DIST's as its authors'. */
#ifndef PROTO_WIRE_PRESETS_H
#define PROTO_WIRE_PRESETS_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/buf.h"
#include "proto/base/json.h"

struct recipe;

struct preset {
    const char *name;
    const struct recipe *recipe;
    double weights[3]; /* read by the method */
};

extern const struct preset presets[];
extern const size_t n_presets;
const struct preset *preset_find(const char *name, struct error *err); /* ERR_INVALID, or NULL */

/* The job, which still lacks data.source and teacher.weights. */
struct json *preset_job(const struct preset *p);

/* Puts into a job what a preset lacks, data.source and teacher.weights, where they are not NULL. */
bool preset_fill(struct json *job, const char *source, const char *weights, struct error *err);

/* What was changed in a job so that the preset's numbers no longer belong together: samples that a batch
 * norm sees, the learning rate for such a batch. Sentences, each with a newline; nothing if all is well. */
void preset_doubts(const struct preset *p, const struct json *job, struct buf *out);

#endif
