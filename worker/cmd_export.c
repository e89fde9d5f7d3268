/* export: weights and class means for other programs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/base/str.h"
#include "worker/cmd.h"
#include "worker/export.h"

struct export_options {
    const char *from, *out, *format;
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

static bool run(struct export_options *o, struct error *err)
{
    const struct export_format *format = export_format(o->format, err);
    char *from, *out;
    bool ok;

    if (!format)
        return false;
    from = is_folder(o->from) ? str_path(o->from, export_source(format)) : str_dup(o->from);
    out = o->out ? str_dup(o->out) : export_target(format, from);
    o->request.format = format;
    o->request.from = from;
    o->request.out = out;
    ok = check_channels("--mean", o->request.mean, err) &&
         check_channels("--std", o->request.std, err) && export_file(&o->request, err);
    if (ok)
        puts(out);
    free(out);
    free(from);
    return ok;
}

int cmd_export(const struct cmd *cmd, struct opt_words words)
{
    struct export_options o = {0};
    static const struct opt rows[] = {
        OPT(struct export_options, from, ARG_ONE, "FROM",
            "a file of weights (.safetensors, .pth, .onnx) or class means, or the folder of a run"),
        OPT(struct export_options, format, OPT_TEXT, "format",
            "onnx, safetensors (PyTorch's names), or json (class means as the paper's authors have "
            "them)",
            .value = "NAME", .fallback = "onnx"),
        OPT(struct export_options, out, OPT_TEXT, "out",
            "the file to write (default: student.onnx, exported.safetensors or "
            "center_emb_train.json "
            "beside FROM)",
            .value = "FILE", .letter = 'o'),
        OPT(struct export_options, request.model, OPT_TEXT, "model",
            "whose weights they are; this and the rest is for files that do not say it",
            .value = "NAME"),
        OPT(struct export_options, request.graph, OPT_TEXT, "graph",
            "the .onnx that the model \"onnx\" is (default: FROM)", .value = "FILE"),
        OPT(struct export_options, request.features, OPT_TEXT, "features",
            "the value of that graph that is the features", .value = "NAME"),
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
