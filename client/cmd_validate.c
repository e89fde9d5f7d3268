#include "client/cmd.h"
#include "client/ctl.h"
#include "client/spec.h"
#include "proto/base/mem.h"

struct validate {
    struct spec_source from;
};

static const struct opt rows[] = {
    SPEC_ROWS(struct validate),
};

static void print_verdict(const struct ctl *c, const char *path, const char *unchecked)
{
    struct json *j;

    if (!c->json) {
        printf("%s is valid%s%s\n", path, unchecked ? " as far as it can be told here: " : "",
               unchecked ? unchecked : "");
        return;
    }
    j = js_new_object();
    js_set(j, "valid", js_new_bool(true));
    js_set(j, "checked_by_server", js_new_bool(!unchecked));
    js_set(j, "unchecked", unchecked ? js_new_string(unchecked) : js_new_null());
    out_json(j);
    js_free(j);
}

/* The server knows the names of models, losses and so on. Without it these stay unchecked. */
static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct validate *o = opts;
    struct json *spec = spec_load(c, &o->from, err), *answer = NULL;
    struct error asked = {0};
    bool ok = spec && spec_check(c, spec, err);

    if (ok) {
        answer = ctl_call(c, "POST", "/api/v1/jobs?validate_only=true", spec, &asked);
        ok = answer || asked.code == ERR_UNREACHABLE;
    }
    if (ok) {
        err_wrap(&asked, "names of models, losses and data sources are unchecked");
        print_verdict(c, spec_name(&o->from), answer ? NULL : asked.msg);
    } else if (asked.code) {
        *err = asked;
    }
    js_free(answer);
    js_free(spec);
    return ok;
}

const struct command cmd_validate = {
    .name = "validate",
    .summary = "Check a job without submitting it",
    .text = "Checks the rules here, then asks the server, which also knows the names of "
            "models, losses and data sources. Without a server those stay unchecked, and "
            "the answer says so.",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct validate),
    .run = run,
};
