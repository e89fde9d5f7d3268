#include "worker/cmd.h"
#include "worker/conformance/conformance.h"

int cmd_conformance(const struct cmd *cmd, struct opt_words words)
{
    struct conformance_options o = {.out = stdout};
    const struct opt rows[] = {
        OPT(struct conformance_options, dir, ARG_ONE, "DIR", "folder of a set of golden vectors"),
        OPT(struct conformance_options, kinds, OPT_TEXT, "kinds",
            "only these kinds, comma-separated; each must have a case and none unsupported",
            .value = "A,B"),
        OPT(struct conformance_options, backend, OPT_TEXT, "backend",
            "cpu (oneDNN) or ref (plain loops)", .value = "NAME", .fallback = "cpu"),
    };
    const struct opt_set options = OPT_SET(rows, &o);
    struct error err;
    int status;

    if (!cmd_parse(cmd, &options, 1, words, &status))
        return status;
    status = conformance_run(&o, &err);
    return status < 0 ? cmd_fail(cmd, &err) : status;
}
