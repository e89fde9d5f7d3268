/* From a spec file to a job of the server. */
#ifndef CLIENT_SPEC_H
#define CLIENT_SPEC_H

#include "client/ctl.h"

struct spec_source {
    const char *path, *preset; /* one of them */
    const char *data, *teacher;
    opt_list sets;
};

/* The option rows of a command that takes a job into its member `struct spec_source from`. */
#define SPEC_ROWS(type)                                                                     \
    OPT(type, from.path, ARG_MAYBE, "SPEC", "job as YAML or JSON; - reads standard input"), \
        OPT(type, from.preset, OPT_TEXT, "preset",                                          \
            "instead of SPEC: an experiment of the paper; see `distillctl presets`",        \
            .value = "PRESET"),                                                             \
        OPT(type, from.data, OPT_TEXT, "data", "what to learn: sets data.source",           \
            .value = "SOURCE"),                                                             \
        OPT(type, from.teacher, OPT_TEXT, "teacher", "its weights: sets teacher.weights",   \
            .value = "FILE"),                                                               \
        OPT(type, from.sets, OPT_MANY, "set",                                               \
            "replace a field of the spec: train.seed=7, losses.1.weight=2", .value = "a.b=VALUE")

/* What the job is called in messages: its path or preset. */
const char *spec_name(const struct spec_source *from);
/* Reads SPEC ("-": standard input) or takes the preset, applies the options, makes paths absolute. Files
 * named .json are JSON, .yaml and .yml YAML, others YAML unless they begin with a brace; the lines of YAML
 * are kept in c->lines. What no longer fits a preset is said on standard error. NULL with ERR_INVALID, also
 * when there is no such file. */
struct json *spec_load(struct ctl *c, const struct spec_source *from, struct error *err);
/* Holds a spec against the rules that need no server, a sweep with each of its values. */
bool spec_check(struct ctl *c, const struct json *spec, struct error *err);
/* Jobs of several files, each of which may also be a JSON array of jobs, submitted at once: all or none. With the
 * options of `from` for each of them. {"accepted", "items": [{"id"}]} */
struct json *spec_submit_all(struct ctl *c, const struct spec_source *from, const opt_list *paths,
                             struct error *err);
/* Whether the file holds an array of jobs. */
bool spec_is_list(const struct spec_source *from);
/* A request that brings jobs, under a key of its own: sent again, and again, when the answer is lost. */
struct json *spec_post(struct ctl *c, const char *path, const struct json *body, struct error *err);
/* Loaded and submitted: the server's job object. */
struct json *spec_submit(struct ctl *c, const struct spec_source *from, struct error *err);

#endif
