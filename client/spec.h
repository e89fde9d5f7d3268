/* From a spec file to a job of the server. */
#ifndef CLIENT_SPEC_H
#define CLIENT_SPEC_H

#include "client/ctl.h"

/* The option rows of a command that takes a spec into `const char *spec; opt_list sets;`. */
#define SPEC_ROWS(type)                                                              \
    OPT(type, spec, ARG_ONE, "SPEC", "job as YAML or JSON; - reads standard input"), \
        OPT(type, sets, OPT_MANY, "set",                                             \
            "replace a field of the spec: train.seed=7, losses.1.weight=2", .value = "a.b=VALUE")

/* Reads SPEC ("-": standard input), applies --set, makes paths absolute. Files named .json are JSON,
 * .yaml and .yml YAML, others YAML unless they begin with a brace; the lines of YAML are kept in
 * c->lines. NULL with ERR_INVALID, also when there is no such file. */
struct json *spec_load(struct ctl *c, const char *path, const opt_list *sets, struct error *err);
/* Holds a spec against the rules that need no server, a sweep with each of its values. */
bool spec_check(struct ctl *c, const struct json *spec, struct error *err);
/* SPEC, submitted: the server's job object. */
struct json *spec_submit(struct ctl *c, const char *path, const opt_list *sets, struct error *err);

#endif
