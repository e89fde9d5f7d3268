/* bench: how fast a training step is, and where its time goes. */
#include <stdio.h>
#include <stdlib.h>

#include "worker/bench/bench.h"
#include "worker/cmd.h"

static void print_report(const struct bench_rig *r, const struct bench_options *o,
                         const struct bench_figures *f)
{
    struct json *report = bench_report(r, o, f);
    char *text = js_text(report, JS_COMPACT);

    puts(text);
    free(text);
    js_free(report);
}

static bool run(struct bench_rig *r, const struct bench_options *o, struct error *err)
{
    struct bench_figures f = {0};
    struct plan_clock clock = {0};
    bool ok = bench_rig_open(r, o, err) && bench_measure(r, o, &f, err) &&
              bench_profile(r, &clock, &f, err) &&
              coll_agree(r->s.coll,
                         r->s.rank != 0 || !o->trace || bench_trace(&clock, o->trace, err), err);

    if (ok && r->s.rank == 0)
        print_report(r, o, &f);
    plan_clock_free(&clock);
    bench_figures_free(&f);
    return ok;
}

int cmd_bench(const struct cmd *cmd, struct opt_words words)
{
    struct bench_options o = {0};
    static const struct opt rows[] = {
        OPT(struct bench_options, teacher, OPT_TEXT, "teacher", "a model by name", .value = "MODEL",
            .fallback = "resnet56"),
        OPT(struct bench_options, student, OPT_TEXT, "student", "likewise", .value = "MODEL",
            .fallback = "resnet20"),
        OPT(struct bench_options, method, OPT_TEXT, "method",
            "loss beside cross-entropy: none, kd, dkd, dist, reviewkd", .value = "NAME",
            .fallback = "kd"),
        OPT(struct bench_options, nd, OPT_REAL, "nd",
            "weight of the norm and direction loss; 0: without; with --method none there is no "
            "teacher then. Directions of classes are random",
            .value = "WEIGHT", .fallback = "2"),
        OPT(struct bench_options, batch, OPT_INT, "batch", "images of all ranks together",
            .value = "N", .fallback = "64", .lo = 1, .hi = 1 << 20),
        OPT(struct bench_options, lanes, OPT_INT, "lanes",
            "parts that the batch is computed in; if left out, as jobs have it", .value = "N",
            .lo = 1, .hi = 1024),
        OPT(struct bench_options, threads, OPT_INT, "threads", "of each rank", .value = "N",
            .fallback = "1", .lo = 1, .hi = 1024),
        OPT(struct bench_options, steps, OPT_INT, "steps", "of each repeat", .value = "N",
            .fallback = "10", .lo = 1, .hi = 100000),
        OPT(struct bench_options, repeats, OPT_INT, "repeats",
            "of which the median counts, the least and the greatest are shown", .value = "N",
            .fallback = "3", .lo = 1, .hi = 100),
        OPT(struct bench_options, warmup, OPT_INT, "warmup", "steps before that", .value = "N",
            .fallback = "3", .lo = 1, .hi = 1000000),
        OPT(struct bench_options, classes, OPT_INT, "classes",
            "of random images; if left out, those that the student was made for", .value = "N",
            .lo = 2, .hi = 100000),
        OPT(struct bench_options, size, OPT_INT, "size",
            "pixels per side of random images; if left out, 32 or 224", .value = "N", .lo = 8,
            .hi = 1024),
        OPT(struct bench_options, data, OPT_TEXT, "data",
            "random: one batch of noise, in memory; or images of a source as jobs name it, which "
            "are "
            "loaded and augmented while steps run",
            .value = "SOURCE", .fallback = "random"),
        OPT(struct bench_options, sets, OPT_MANY, "set",
            "change a field of the job that all this makes", .value = "A.B=VALUE"),
        OPT(struct bench_options, peak, OPT_REAL, "peak",
            "GFLOP/s that the cores can do, to show the share of it that is used", .value = "X"),
        OPT(struct bench_options, each, OPT_FLAG, "each",
            "also how times of single steps are spread, and how many are above 1.5 times the "
            "median, with and without those in which some rank lost its core to another program "
            "or machine"),
        OPT(struct bench_options, trace, OPT_TEXT, "trace",
            "write one step of rank 0 for Chrome's trace viewer, a row for each plan",
            .value = "FILE"),
    };
    const struct opt_set options = OPT_SET(rows, &o);
    struct bench_rig r;
    struct error err = {0};
    int status;
    bool ok;

    if (!cmd_parse(cmd, &options, 1, words, &status))
        return status;
    ok = run(&r, &o, &err);
    if (!ok && coll_launched_rank() == 0)
        cmd_fail(cmd, &err);
    bench_rig_close(&r);
    vec_free(&o.sets);
    return ok ? 0 : err_exit_status(err.code);
}
