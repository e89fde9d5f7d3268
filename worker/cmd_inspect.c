/* inspect: what would be computed, without computing it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "worker/cmd.h"
#include "worker/engine/passes/compile.h"
#include "worker/session.h"

struct inspect_options {
    const char *job, *model;
    opt_list sets;
    int64_t classes, size;
};

static int inspect_model(const struct cmd *cmd, const struct inspect_options *o)
{
    struct error err;
    const struct model_def *model = model_find(o->model, &err);
    struct graph *g;
    int64_t total = 0;

    if (!model)
        return cmd_fail(cmd, &err);
    g = nets_inference_graph(model, 1, o->size, o->classes, false);
    if (!graph_ok(g, &err)) {
        graph_free(g);
        return cmd_fail(cmd, &err);
    }
    for (size_t i = 0; i < g->values.n; i++) {
        const struct value *v = &g->values.at[i];
        char text[SHAPE_TEXT];

        if (v->kind != VALUE_PARAM && v->kind != VALUE_BUFFER)
            continue;
        total += v->kind == VALUE_PARAM ? shape_count(&v->shape) : 0;
        printf("%-40s %-18s %s\n", v->name, shape_text(&v->shape, text),
               v->kind == VALUE_PARAM ? "" : "buffer");
    }
    printf("parameters: %" PRId64 "\nfeature width: %" PRId64 "\n", total,
           graph_shape(g, graph_find(g, "features"))->dim[1]);
    graph_free(g);
    return 0;
}

/* Steps and memory do not depend on the values of weights. */
static bool zeros(void *arg, const char *name, const struct shape *shape, float *out,
                  struct error *err)
{
    (void)arg;
    (void)name;
    (void)err;
    memset(out, 0, (size_t)shape_count(shape) * sizeof(float));
    return true;
}

static void print_plan(const char *title, const struct plan *p)
{
    struct buf b = buf_new(0);

    if (!p)
        return;
    plan_describe(p, &b);
    printf("== %s\n%s\n", title, buf_text(&b));
    buf_free(&b);
}

static void print_replica(const struct replica *r)
{
    char title[64];
    size_t arena = r->teacher ? r->teacher->arena_bytes : 0;

    print_plan("teacher, one chunk", r->teacher);
    for (size_t i = 0; i < r->cfg.n_lane_sizes; i++) {
        snprintf(title, sizeof(title), "student in training, a lane of %" PRId64 " samples",
                 r->cfg.lane_sizes[i]);
        print_plan(title, r->train[i]);
        arena = r->train[i]->arena_bytes > arena ? r->train[i]->arena_bytes : arena;
    }
    print_plan("student in evaluation, one chunk", r->eval);
    printf(
        "== regions of a rank\nparameters %.3f MB, buffers %.3f MB, one gradient region %.3f MB, "
        "arena of all plans %.3f MB\n",
        (double)r->flat.param_count * 4e-6, (double)r->flat.buffer_count * 4e-6,
        (double)flat_grad_count(&r->flat) * 4e-6, (double)arena * 1e-6);
}

static bool inspect_data(const JobSpec *job, int64_t *samples, int64_t *classes, int64_t *size,
                         struct error *err)
{
    const struct dataset_config cfg = session_dataset(job);
    struct dataset *d = dataset_open(&cfg, SPLIT_TRAIN, err);

    if (!d)
        return false;
    *samples = job->kind == DISTILLD__JOB_KIND__TRAIN || job->kind == DISTILLD__JOB_KIND__DISTILL
                   ? dataset_count(d)
                   : 0;
    *classes = dataset_classes(d);
    *size = dataset_size(d);
    dataset_close(d);
    return true;
}

static int inspect_job(const struct cmd *cmd, const struct inspect_options *o)
{
    const struct session_request request = {.job_path = o->job,
                                            .sets = o->sets.at,
                                            .n_sets = o->sets.n,
                                            .kinds = ~0u,
                                            .command = cmd->name};
    struct error err;
    JobSpec *job = session_job(&request, &err);
    struct replica_config cfg;
    int64_t samples, classes, size, *lane_sizes = NULL;
    struct replica *r = NULL;

    if (job && inspect_data(job, &samples, &classes, &size, &err) &&
        session_configure(job, samples, classes, size, &cfg, &lane_sizes, &err))
        r = replica_open(&cfg, zeros, NULL, &err);
    if (r)
        print_replica(r);
    free(lane_sizes);
    job_free(job);
    if (!r)
        return cmd_fail(cmd, &err);
    replica_close(r);
    return 0;
}

int cmd_inspect(const struct cmd *cmd, struct opt_words words)
{
    struct inspect_options o = {0};
    static const struct opt rows[] = {
        OPT(struct inspect_options, job, ARG_MAYBE, "JOB.json", "a job: its plans, step by step"),
        OPT(struct inspect_options, model, OPT_TEXT, "model",
            "a model by name: its parameters and feature width", .value = "NAME"),
        OPT(struct inspect_options, classes, OPT_INT, "classes", "of that model", .value = "N",
            .fallback = "100", .lo = 1, .hi = 100000),
        OPT(struct inspect_options, size, OPT_INT, "size", "pixels per side of its images",
            .value = "N", .fallback = "32", .lo = 8, .hi = 1024),
        OPT(struct inspect_options, sets, OPT_MANY, "set", "change a field of the job",
            .value = "A.B=VALUE"),
    };
    const struct opt_set options = OPT_SET(rows, &o);
    struct error err;
    int status;

    if (!cmd_parse(cmd, &options, 1, words, &status))
        return status;
    if (!o.job == !o.model) {
        err_set(&err, ERR_INVALID, "give either a job or --model NAME");
        status = cmd_fail(cmd, &err);
    } else {
        status = o.model ? inspect_model(cmd, &o) : inspect_job(cmd, &o);
    }
    vec_free(&o.sets);
    return status;
}
