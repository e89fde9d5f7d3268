#include "client/spec.h"

#include <string.h>

#include "client/yaml.h"
#include "proto/base/file.h"
#include "proto/base/str.h"
#include "proto/wire/job.h"

static bool is_yaml(const char *path, const char *text)
{
    if (str_ends(path, ".json"))
        return false;
    return str_ends(path, ".yaml") || str_ends(path, ".yml") ||
           text[strspn(text, " \t\r\n")] != '{';
}

static struct json *parse(struct ctl *c, const char *path, const struct buf *text,
                          struct error *err)
{
    if (!is_yaml(path, buf_text(text)))
        return js_parse(buf_text(text), text->len, err);
    js_free(c->lines);
    c->lines = js_new_object();
    return yaml_parse(buf_text(text), text->len, c->lines, err);
}

struct json *spec_load(struct ctl *c, const char *path, const opt_list *sets, struct error *err)
{
    struct buf text = buf_new(JOB_MAX_BYTES);
    struct json *spec = NULL;

    if (!file_read(job_file(path), &text, err))
        err_named_file(err);
    else if (!(spec = parse(c, path, &text, err)))
        err_wrap(err, "%s", path);
    else if (!job_prepare(spec, path, NULL, sets->at, sets->n, err)) {
        js_free(spec);
        spec = NULL;
    }
    buf_free(&text);
    return spec;
}

struct json *spec_submit(struct ctl *c, const char *path, const opt_list *sets, struct error *err)
{
    struct json *spec = spec_load(c, path, sets, err);
    struct json *job = spec ? ctl_call(c, "POST", "/api/v1/jobs", spec, err) : NULL;

    js_free(spec);
    if (job && !js_string(js_get(job, "id"), NULL)) {
        err_set(err, ERR_FAILED, "%s accepted the job but named no id", c->base);
        js_free(job);
        return NULL;
    }
    return job;
}
