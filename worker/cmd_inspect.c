/* inspect: what would be computed, without computing it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "worker/cmd.h"
#include "worker/footprint.h"
#include "worker/inspect.h"
#include "worker/inspect_model.h"
#include "worker/session.h"

struct inspect_options {
    const char *job, *model, *dump;
    opt_list sets;
    int64_t classes, size, batch;
    bool json, list;
};

/* Text to standard output as it comes, or the members of one JSON object for the end. */
struct report {
    const struct inspect_options *o;
    struct json *json; /* NULL: text */
};

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

static void append(struct report *r, const char *list, struct json *take)
{
    if (!js_get(r->json, list))
        js_set(r->json, list, js_new_array());
    js_push(js_get(r->json, list), take);
}

static void show_graph(void *arg, const char *title, const char *pass, const struct graph *g)
{
    struct report *r = arg;
    char *text;

    if (strcmp(r->o->dump, "all") != 0 && strcmp(r->o->dump, pass) != 0)
        return;
    text = graph_dump(g);
    if (r->json) {
        struct json *j = js_new_object();

        js_set(j, "plan", js_new_string(title));
        js_set(j, "pass", js_new_string(pass));
        js_set(j, "graph", js_new_string(text));
        append(r, "dumps", j);
    } else {
        printf("== %s, after %s\n%s", title, pass, text);
    }
    free(text);
}

static bool check_pass(const char *name, struct error *err)
{
    struct buf known = buf_new(0);
    bool ok = !name || strcmp(name, "all") == 0;

    for (size_t i = 0; compile_pass(i); i++) {
        ok |= name && strcmp(name, compile_pass(i)) == 0;
        buf_fmt(&known, ", %s", compile_pass(i));
    }
    if (!ok)
        err_set(err, ERR_INVALID, "--dump: no pass is called \"%s\"; known: all%s", name,
                buf_text(&known));
    buf_free(&known);
    return ok;
}

static void show_plan(struct report *r, const struct plan *p)
{
    struct buf b = buf_new(0);

    if (r->json) {
        append(r, "plans", inspect_json(p));
    } else {
        inspect_text(p, &b);
        puts(buf_text(&b));
    }
    buf_free(&b);
}

static void show_plans(struct report *r, const struct replica *replica)
{
    for (size_t i = 0; i < replica->plans.n; i++)
        show_plan(r, replica->plans.at[i]);
}

static struct compile_observer observer(struct report *r)
{
    return (struct compile_observer){.look = r->o->dump ? show_graph : NULL, .arg = r};
}

static bool show_model(struct report *r, const struct nets *n, struct error *err)
{
    struct buf b = buf_new(0);
    bool ok = r->json ? inspect_model_json(n->teacher, n->image_size, n->classes, r->json, err)
                      : inspect_model_text(n->teacher, n->image_size, n->classes, &b, err);

    if (ok && !r->json)
        puts(buf_text(&b));
    buf_free(&b);
    return ok;
}

/* What it is made of, and its steps in the frozen form that a teacher has. */
static bool inspect_model(struct report *r, struct error *err)
{
    const struct inspect_options *o = r->o;
    struct replica_config cfg = {
        .backend = "cpu", .threads = 1, .chunk = o->batch, .observer = observer(r)};
    struct nets *n = &cfg.nets;
    struct replica *replica;

    if (!(n->teacher = model_find(o->model, err)))
        return false;
    n->classes = o->classes ? o->classes : n->teacher->facts->classes;
    n->image_size = o->size ? o->size : n->teacher->facts->image_size;
    if (!show_model(r, n, err) || !nets_measure(n, err))
        return false;
    replica = replica_open(&cfg, zeros, NULL, err);
    if (!replica)
        return false;
    show_plans(r, replica);
    replica_close(replica);
    return true;
}

static void print_list(const struct json *list)
{
    static const struct {
        const char *key, *title;
        int width;
    } columns[] = {{"image_size", "image", 6},
                   {"classes", "classes", 8},
                   {"parameters", "parameters", 11},
                   {"multiply_adds", "multiply-adds", 14},
                   {"feature_width", "feature width", 14}};

    printf("%-22s", "model");
    for (size_t k = 0; k < ARRAY_LEN(columns); k++)
        printf(" %*s", columns[k].width, columns[k].title);
    for (size_t i = 0; i < js_len(list); i++) {
        printf("\n%-22s", js_string(js_get(js_at(list, i), "name"), ""));
        for (size_t k = 0; k < ARRAY_LEN(columns); k++)
            printf(" %*lld", columns[k].width,
                   (long long)js_int(js_get(js_at(list, i), columns[k].key), 0));
    }
    printf("\n");
}

static bool list_models(struct report *r, struct error *err)
{
    struct json *list = inspect_model_list(err);

    if (!list)
        return false;
    if (r->json) {
        js_set(r->json, "models", list);
    } else {
        print_list(list);
        js_free(list);
    }
    return true;
}

static struct dataset *open_split(const JobSpec *job, enum split split, struct error *err)
{
    const struct dataset_config cfg = session_dataset(job);

    return dataset_open(&cfg, split, err);
}

static void show_memory(struct report *r, const struct footprint *f, int ranks)
{
    struct json *j = r->json ? js_new_object() : NULL;

    if (!j)
        printf("== memory of a rank, of %d (without programs, the code of kernels, mapped files)\n",
               ranks);
    for (size_t i = 0; i < FOOTPRINT_ROWS; i++)
        if (j)
            js_set(j, f->rows[i].name, js_new_int((int64_t)f->rows[i].bytes));
        else
            printf("%12.3f MB  %s\n", (double)f->rows[i].bytes / 1e6, f->rows[i].name);
    if (j) {
        js_set(r->json, "memory", j);
        js_set(r->json, "memory_total", js_new_int((int64_t)f->total));
    } else {
        printf("%12.3f MB  together\n", (double)f->total / 1e6);
    }
}

/* The plans of a job whose data are these. */
static bool inspect_plans(struct report *r, const JobSpec *job, const struct dataset *train,
                          const struct dataset *val, const struct dataset *test, struct error *err)
{
    bool trains =
        job->kind == DISTILLD__JOB_KIND__TRAIN || job->kind == DISTILLD__JOB_KIND__DISTILL;
    struct replica *replica = NULL;
    struct replica_config cfg;
    struct job_models models;
    struct footprint f;
    int64_t *lane_sizes = NULL;

    if (!job_models_open(&models, job, err))
        return false;
    if (session_configure(job, &models, trains ? dataset_count(train) : 0, dataset_classes(train),
                          dataset_size(train), &cfg, &lane_sizes, err)) {
        cfg.observer = observer(r);
        replica = replica_open(&cfg, zeros, NULL, err);
    }
    free(lane_sizes);
    if (replica)
        show_plans(r, replica);
    if (replica && trains) {
        /* Of a range the fewest, whose ranks need the most. */
        footprint_plan(&f, replica, job, job->resources->ranks->min, train, val, test);
        show_memory(r, &f, job->resources->ranks->min);
    }
    job_models_close(&models);
    if (!replica)
        return false;
    replica_close(replica);
    return true;
}

static bool inspect_job(struct report *r, const char *command, struct error *err)
{
    const struct session_request request = {.job_path = r->o->job,
                                            .sets = r->o->sets.at,
                                            .n_sets = r->o->sets.n,
                                            .kinds = ~0u,
                                            .command = command};
    JobSpec *job = session_job(&request, err);
    struct dataset *train = job ? open_split(job, SPLIT_TRAIN, err) : NULL;
    struct dataset *test = train ? open_split(job, SPLIT_TEST, err) : NULL;
    bool held_out = test && job->data->val_fraction > 0;
    struct dataset *val = held_out ? open_split(job, SPLIT_VAL, err) : NULL;
    bool ok = test && (val || !held_out) && inspect_plans(r, job, train, val, test, err);

    dataset_close(train);
    dataset_close(val);
    dataset_close(test);
    job_free(job);
    return ok;
}

static bool inspect(const struct inspect_options *o, const char *command, struct error *err)
{
    struct report r = {.o = o, .json = o->json ? js_new_object() : NULL};
    bool ok = check_pass(o->dump, err) && (o->list    ? list_models(&r, err)
                                           : o->model ? inspect_model(&r, err)
                                                      : inspect_job(&r, command, err));

    if (ok && r.json) {
        char *text = js_text(r.json, JS_COMPACT);

        puts(text);
        free(text);
    }
    js_free(r.json);
    return ok;
}

int cmd_inspect(const struct cmd *cmd, struct opt_words words)
{
    struct inspect_options o = {0};
    static const struct opt rows[] = {
        OPT(struct inspect_options, job, ARG_MAYBE, "JOB.json", "a job: its plans, step by step"),
        OPT(struct inspect_options, model, OPT_TEXT, "model",
            "a model by name: its layers, parameters, multiply-adds, feature width and steps",
            .value = "NAME"),
        OPT(struct inspect_options, list, OPT_FLAG, "list", "all models, a line each"),
        OPT(struct inspect_options, classes, OPT_INT, "classes",
            "of that model; if left out, those that it was made for", .value = "N", .lo = 1,
            .hi = 100000),
        OPT(struct inspect_options, size, OPT_INT, "size",
            "pixels per side of its images; if left out, 32 or 224", .value = "N", .lo = 8,
            .hi = 1024),
        OPT(struct inspect_options, batch, OPT_INT, "batch", "images that it gets at a time",
            .value = "N", .fallback = "1", .lo = 1, .hi = 4096),
        OPT(struct inspect_options, sets, OPT_MANY, "set", "change a field of the job",
            .value = "A.B=VALUE"),
        OPT(struct inspect_options, dump, OPT_TEXT, "dump",
            "also print every graph after this pass of the compiler, or after all",
            .value = "PASS"),
        OPT(struct inspect_options, json, OPT_FLAG, "json", "print one JSON object"),
    };
    const struct opt_set options = OPT_SET(rows, &o);
    struct error err;
    int status = 0;

    if (!cmd_parse(cmd, &options, 1, words, &status))
        return status;
    if (!o.job + !o.model + !o.list != 2) {
        err_set(&err, ERR_INVALID, "give either a job or --model NAME or --list");
        status = cmd_fail(cmd, &err);
    } else if (!inspect(&o, cmd->name, &err)) {
        status = cmd_fail(cmd, &err);
    }
    vec_free(&o.sets);
    return status;
}
