#include "worker/engine/passes/compile.h"

#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/engine/passes/pass.h"

static const struct {
    const char *name;
    bool (*run)(struct compiler *c, struct error *err);
} passes[] = {
    {"autodiff", pass_autodiff}, {"prune", pass_prune},       {"fold_bn", pass_fold_bn},
    {"fuse", pass_fuse},         {"quantise", pass_quantise}, {"layout", pass_layout},
    {"place", pass_place},
};

static bool run_passes(struct compiler *c, const char *last, struct error *err)
{
    const struct compile_observer *see = &c->options->observer;

    c->g->convolution = c->options->convolution;
    if (!graph_verify(c->g, err))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(passes); i++) {
        if (!passes[i].run(c, err) || !graph_verify(c->g, err))
            return err_wrap(err, "pass %s", passes[i].name);
        if (see->look)
            see->look(see->arg, c->options->title, passes[i].name, c->g);
        if (last && strcmp(passes[i].name, last) == 0)
            break;
    }
    return true;
}

struct plan *compile(struct graph *take_graph, const struct compile_options *options,
                     struct error *err)
{
    struct compiler c = {.g = take_graph, .options = options};
    bool ok = run_passes(&c, NULL, err);

    graph_free(c.g);
    if (ok)
        c.plan->title = str_dup(options->title ? options->title : "");
    if (ok)
        return c.plan;
    plan_free(c.plan);
    return NULL;
}

const char *compile_pass(size_t i)
{
    return i < ARRAY_LEN(passes) ? passes[i].name : NULL;
}

char *compile_dump(struct graph *take_graph, const struct compile_options *options,
                   const char *last_pass, struct error *err)
{
    struct compiler c = {.g = take_graph, .options = options};
    char *dump = run_passes(&c, last_pass, err) ? graph_dump(c.g) : NULL;

    graph_free(c.g);
    plan_free(c.plan);
    return dump;
}
