#include "client/act.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/url.h"
#include "client/view.h"
#include "proto/base/str.h"

void act_print_state(const struct ctl *c, const struct json *job)
{
    struct view v;

    if (c->json) {
        out_json_line(job);
        return;
    }
    view_init(&v);
    view_job(&v, job);
    printf("%s %s\n", v.id, v.state);
}

bool act_by_method(struct ctl *c, const opt_list *ids, const char *method, const char *rest,
                   const struct json *body, struct error *err)
{
    bool ok = true;

    for (size_t i = 0; i < ids->n; i++) {
        struct error e = {0};
        char *path = url_job(ids->at[i], rest);
        struct json *job = ctl_call(c, method, path, body, &e);

        if (job) {
            act_print_state(c, job);
        } else if (ok) {
            ok = false;
            *err = e;
            err_wrap(err, "%s", ids->at[i]);
        }
        js_free(job);
        free(path);
    }
    return ok;
}

bool act_on_jobs(struct ctl *c, const opt_list *ids, const char *verb, const struct json *body,
                 struct error *err)
{
    char *rest = str_fmt(":%s", verb);
    bool ok = act_by_method(c, ids, "POST", rest, body, err);

    free(rest);
    return ok;
}
