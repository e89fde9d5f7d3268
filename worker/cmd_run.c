/* train, class-means, eval: the commands that run a job. */
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "worker/cmd.h"
#include "worker/result.h"
#include "worker/trainer.h"

struct run_options {
    const char *job, *preset, *data, *teacher;
    const char *out;
    opt_list sets;
    bool json, verify_data;
    struct trainer_options trainer;
};

static const struct opt given[] = {
    OPT(struct run_options, job, ARG_ONE, "JOB.json", "the job, as JSON; - for standard input"),
};

static const struct opt given_or_preset[] = {
    OPT(struct run_options, job, ARG_MAYBE, "JOB.json", "the job, as JSON; - for standard input"),
    OPT(struct run_options, preset, OPT_TEXT, "preset",
        "instead of JOB.json: an experiment of the paper, METHOD/TEACHER-STUDENT; `distillctl "
        "presets` has them all",
        .value = "NAME"),
    OPT(struct run_options, data, OPT_TEXT, "data", "what it learns: data.source",
        .value = "SOURCE"),
    OPT(struct run_options, teacher, OPT_TEXT, "teacher", "its weights: teacher.weights",
        .value = "FILE"),
};

static const struct opt common[] = {
    OPT(struct run_options, out, OPT_TEXT, "out",
        "folder of results; the same command goes on from its newest checkpoint (default: NAME.out "
        "in the current folder, NAME being the job's)",
        .value = "DIR"),
    OPT(struct run_options, sets, OPT_MANY, "set", "change a field of the job",
        .value = "A.B=VALUE"),
    OPT(struct run_options, json, OPT_FLAG, "json", "print JSON lines instead of text"),
    OPT(struct run_options, verify_data, OPT_FLAG, "verify-data",
        "read all data again for its hash, which is otherwise remembered while no file changes"),
};

static const struct opt training[] = {
    OPT(struct run_options, trainer.resume, OPT_TEXT, "resume",
        "auto, never, or a checkpoint's .safetensors", .value = "HOW", .fallback = "auto"),
    OPT(struct run_options, trainer.allow_other_isa, OPT_FLAG, "allow-other-isa",
        "go on from a checkpoint of another instruction set: no longer bit-identical"),
};

static bool run_training(struct session *s, const struct run_options *o, struct error *err)
{
    return trainer_run(s, &o->trainer, err);
}

static bool run_class_means(struct session *s, const struct run_options *o, struct error *err)
{
    (void)o;
    return s->rank != 0 || result_write_class_means(s, err);
}

static bool run_evaluation(struct session *s, const struct run_options *o, struct error *err)
{
    double val[SUM_COUNT] = {0}, test[SUM_COUNT];

    (void)o;
    return (!s->val || session_evaluate(s, &s->val_set, val, err)) &&
           session_evaluate(s, &s->test_set, test, err) &&
           (s->rank != 0 || result_write_evaluation(s, val, test, err));
}

/* What was written to result.json, on standard output: whole for programs, the figures for people. */
static void print_result(const struct session *s, bool json)
{
    char *path = rundir_file(&s->dir, "result.json"), *text;
    struct error err;
    struct json *result = js_read_file(path, JOB_MAX_BYTES, &err);
    const struct json *final = js_get(result, "final");

    free(path);
    if (json) {
        text = js_text(result, JS_COMPACT);
        puts(text);
        free(text);
    } else {
        for (void *it = final ? js_first(final) : NULL; it; it = js_next(final, it))
            printf("%-18s %.6g\n", js_key(it), js_real(js_value(it), 0));
        printf("results are in %s\n", s->dir.path);
    }
    js_free(result);
}

static int run_job(const struct cmd *cmd, struct opt_words words, const struct opt_set *sets,
                   size_t n_sets, struct run_options *o, unsigned kinds,
                   bool (*run)(struct session *, const struct run_options *, struct error *))
{
    struct session s;
    struct session_request request = {.kinds = kinds, .command = cmd->name};
    struct error err = {0};
    int status;
    bool ok;

    if (!cmd_parse(cmd, sets, n_sets, words, &status))
        return status;
    request.job_path = o->job;
    request.preset = o->preset;
    request.data = o->data;
    request.teacher = o->teacher;
    request.sets = o->sets.at;
    request.n_sets = o->sets.n;
    request.out = o->out;
    request.json = o->json;
    request.verify_data = o->verify_data;
    ok = session_open(&s, &request, &err) && run(&s, o, &err);
    if (ok && s.rank == 0)
        print_result(&s, o->json);
    if (!ok && s.rank == 0) {
        progress_clear(&s.progress);
        cmd_fail(cmd, &err);
    }
    session_close(&s, ok ? "succeeded" : err_name(err.code));
    vec_free(&o->sets);
    return ok ? 0 : err_exit_status(err.code);
}

int cmd_train(const struct cmd *cmd, struct opt_words words)
{
    struct run_options o = {0};
    const struct opt_set sets[] = {OPT_SET(given_or_preset, &o), OPT_SET(common, &o),
                                   OPT_SET(training, &o)};

    return run_job(cmd, words, sets, ARRAY_LEN(sets), &o,
                   1u << DISTILLD__JOB_KIND__TRAIN | 1u << DISTILLD__JOB_KIND__DISTILL,
                   run_training);
}

int cmd_class_means(const struct cmd *cmd, struct opt_words words)
{
    struct run_options o = {0};
    const struct opt_set sets[] = {OPT_SET(given, &o), OPT_SET(common, &o)};

    return run_job(cmd, words, sets, ARRAY_LEN(sets), &o, 1u << DISTILLD__JOB_KIND__CLASS_MEANS,
                   run_class_means);
}

int cmd_eval(const struct cmd *cmd, struct opt_words words)
{
    struct run_options o = {0};
    const struct opt_set sets[] = {OPT_SET(given, &o), OPT_SET(common, &o)};

    return run_job(cmd, words, sets, ARRAY_LEN(sets), &o, 1u << DISTILLD__JOB_KIND__EVAL,
                   run_evaluation);
}
