/* export: weights as an ONNX model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/base/str.h"
#include "worker/cmd.h"
#include "worker/export.h"

struct export_options {
    const char *from, *out;
    struct export_request request;
};

/* Exactly three numbers with commas between them. */
static bool check_channels(const char *option, const char *text, struct error *err)
{
    const char *at = text;
    bool ok = true;

    for (int c = 0; ok && text && c < 3; c++) {
        size_t n = strcspn(at, ",");
        char *one = str_ndup(at, n);
        double value;

        ok = str_double(one, &value) && (c < 2) == (at[n] == ',');
        at += n + 1;
        free(one);
    }
    return ok ||
           err_set(err, ERR_INVALID, "%s: expected three numbers such as 0.5,0.5,0.5, got \"%s\"",
                   option, text);
}

static bool is_folder(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* student.onnx in the folder of the weights. */
static char *beside(const char *weights)
{
    const char *slash = strrchr(weights, '/');

    return str_fmt("%.*sstudent.onnx", slash ? (int)(slash - weights + 1) : 0, weights);
}

static bool run(struct export_options *o, struct error *err)
{
    char *weights =
        is_folder(o->from) ? str_path(o->from, "student.safetensors") : str_dup(o->from);
    char *out = o->out ? str_dup(o->out) : beside(weights);
    bool ok;

    o->request.weights = weights;
    o->request.out = out;
    ok = check_channels("--mean", o->request.mean, err) &&
         check_channels("--std", o->request.std, err) && export_onnx(&o->request, err);
    if (ok)
        puts(out);
    free(out);
    free(weights);
    return ok;
}

int cmd_export(const struct cmd *cmd, struct opt_words words)
{
    struct export_options o = {0};
    static const struct opt rows[] = {
        OPT(struct export_options, from, ARG_ONE, "FROM",
            "a .safetensors of weights, or the folder of a run that has a student.safetensors"),
        OPT(struct export_options, out, OPT_TEXT, "out",
            "the file to write (default: student.onnx beside the weights)", .value = "FILE",
            .letter = 'o'),
        OPT(struct export_options, request.model, OPT_TEXT, "model",
            "whose weights they are; this and the rest is for files that do not say it",
            .value = "NAME"),
        OPT(struct export_options, request.classes, OPT_INT, "classes", "how many it tells apart",
            .value = "N", .lo = 1, .hi = 1 << 20),
        OPT(struct export_options, request.image_size, OPT_INT, "size",
            "pixels per side of its images", .value = "N", .lo = 8, .hi = 1024),
        OPT(struct export_options, request.mean, OPT_TEXT, "mean",
            "of the channels, for pixels in 0..1: noted in the file", .value = "R,G,B"),
        OPT(struct export_options, request.std, OPT_TEXT, "std", "the same for the deviation",
            .value = "R,G,B"),
    };
    const struct opt_set options = OPT_SET(rows, &o);
    struct error err;
    int status;

    if (!cmd_parse(cmd, &options, 1, words, &status))
        return status;
    return run(&o, &err) ? 0 : cmd_fail(cmd, &err);
}
