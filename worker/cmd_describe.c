/* describe: what a file of weights is, as JSON; how a daemon looks at what it is to register. */
#include <stdio.h>
#include <stdlib.h>

#include "worker/cmd.h"
#include "worker/describe.h"

int cmd_describe(const struct cmd *cmd, struct opt_words words)
{
    struct describe_request r = {0};
    static const struct opt rows[] = {
        OPT(struct describe_request, path, ARG_ONE, "FILE", "weights: safetensors, .pth or ONNX"),
        OPT(struct describe_request, model, OPT_TEXT, "model",
            "whose weights they are; this and the rest is for files that do not say it",
            .value = "NAME"),
        OPT(struct describe_request, classes, OPT_INT, "classes", "how many it tells apart",
            .value = "N", .lo = 1, .hi = 1 << 20),
        OPT(struct describe_request, image_size, OPT_INT, "size", "pixels per side of its images",
            .value = "N", .lo = 8, .hi = 1024),
        OPT(struct describe_request, mean, OPT_TEXT, "mean", "of the channels, for pixels in 0..1",
            .value = "R,G,B"),
        OPT(struct describe_request, std, OPT_TEXT, "std", "the same for the deviation",
            .value = "R,G,B"),
    };
    const struct opt_set options = OPT_SET(rows, &r);
    struct json *facts;
    struct error err;
    char *text;
    int status;

    if (!cmd_parse(cmd, &options, 1, words, &status))
        return status;
    facts = describe_weights(&r, &err);
    if (!facts)
        return cmd_fail(cmd, &err);
    text = js_text(facts, JS_INDENT);
    puts(text);
    free(text);
    js_free(facts);
    return 0;
}
