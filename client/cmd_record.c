/* record and spec: what a job was, for those who want to do it over again. */
#include "client/cmd.h"
#include "client/ctl.h"
#include "proto/base/mem.h"

struct record {
    const char *id;
    bool normalized;
};

static const struct opt record_rows[] = {
    OPT(struct record, id, ARG_ONE, "ID", "the job"),
};

static const struct opt spec_rows[] = {
    OPT(struct record, id, ARG_ONE, "ID", "the job"),
    OPT(struct record, normalized, OPT_FLAG, "normalized",
        "with every default, and versions of what it names"),
};

static bool print(struct ctl *c, const struct record *o, const char *rest, struct error *err)
{
    struct json *answer = ctl_job(c, NULL, o->id, rest, err);

    if (answer)
        out_json(answer);
    js_free(answer);
    return answer;
}

static bool record(struct ctl *c, const void *opts, struct error *err)
{
    return print(c, opts, "/record", err);
}

static bool spec(struct ctl *c, const void *opts, struct error *err)
{
    const struct record *o = opts;

    return print(c, o, o->normalized ? "/spec/normalized" : "/spec", err);
}

const struct command cmd_record = {
    .name = "record",
    .summary = "Print all that it takes to repeat a job, and what came of it",
    .text =
        "JSON: the spec as submitted and in full, hashes of data, teacher and of the files that it "
        "made, versions, the result. Hashes are there once the job is over.\n",
    .rows = record_rows,
    .n_rows = ARRAY_LEN(record_rows),
    .size = sizeof(struct record),
    .run = record,
};

const struct command cmd_spec = {
    .name = "spec",
    .summary = "Print the spec of a job as it was submitted",
    .text = "What it prints can be submitted again.\n",
    .rows = spec_rows,
    .n_rows = ARRAY_LEN(spec_rows),
    .size = sizeof(struct record),
    .run = spec,
};
