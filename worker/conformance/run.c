#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/conformance/conformance.h"

/* Kinds that end in '.' stand for all that begin so. */
static const struct {
    const char *kind;
    cf_run_fn run;
} kinds[] = {
    {"loss.hcl", cf_run_hcl},          {"loss.", cf_run_loss},      {"block.abf", cf_run_abf},
    {"layer.", cf_run_layer},          {"optim.", cf_run_optim},    {"model", cf_run_model},
    {"trajectory", cf_run_trajectory}, {"centers", cf_run_centers}, {"onnx", cf_run_onnx},
};

struct tally {
    int pass, fail, unsupported;
};

struct runner {
    const struct conformance_options *o;
    struct tally all;
    VEC(char *) asked;         /* kinds */
    VEC(struct tally) by_kind; /* of each kind that was asked for */
};

static cf_run_fn find_kind(const char *kind)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_ends(kinds[i].kind, ".") ? str_starts(kind, kinds[i].kind)
                                         : strcmp(kind, kinds[i].kind) == 0)
            return kinds[i].run;
    return NULL;
}

/* Where a case of this kind is counted; NULL: nobody asked for it. */
static struct tally *tally_of(struct runner *r, const char *kind)
{
    for (size_t i = 0; i < r->asked.n; i++)
        if (strcmp(r->asked.at[i], kind) == 0)
            return &r->by_kind.at[i];
    return r->asked.n ? NULL : &r->all;
}

static void count(struct runner *r, struct tally *t, const char *status)
{
    int add[3] = {strcmp(status, "pass") == 0, strcmp(status, "fail") == 0,
                  strcmp(status, "unsupported") == 0};

    t->pass += add[0];
    t->fail += add[1];
    t->unsupported += add[2];
    if (t != &r->all) {
        r->all.pass += add[0];
        r->all.fail += add[1];
        r->all.unsupported += add[2];
    }
}

static void print_line(struct runner *r, struct json *take_line)
{
    char *text = js_text(take_line, JS_COMPACT);

    fprintf(r->o->out, "%s\n", text);
    fflush(r->o->out);
    free(text);
    js_free(take_line);
}

static void report(struct runner *r, const char *name, const char *kind, const char *status,
                   const struct cf_case *c, const char *reason)
{
    struct json *line = js_new_object();

    js_set(line, "case", js_new_string(name));
    js_set(line, "kind", js_new_string(kind));
    js_set(line, "status", js_new_string(status));
    if (c) {
        js_set(line, "max_rel_err", js_new_real(c->max_rel_err));
        js_set(line, "error_over_tolerance", js_new_real(c->worst));
        if (c->worst_tensor[0])
            js_set(line, "worst", js_new_string(c->worst_tensor));
    }
    if (reason)
        js_set(line, "reason", js_new_string(reason));
    print_line(r, line);
}

/* Every tensor with a tolerance must have been compared. */
static bool complete(const struct cf_case *c, struct error *err)
{
    for (void *it = js_first(c->tolerance); it; it = js_next(c->tolerance, it))
        if (!js_get(c->done, js_key(it)))
            return err_set(err, ERR_FAILED, "%s was not computed", js_key(it));
    return true;
}

static const char *judge(struct cf_case *c, struct error *err)
{
    cf_run_fn run = find_kind(c->kind);

    if (!run) {
        err_set(err, ERR_UNSUPPORTED, "no cases of kind %s can be run", c->kind);
        return "unsupported";
    }
    if (!run(c, err))
        return err->code == ERR_UNSUPPORTED ? "unsupported" : "fail";
    if (!complete(c, err))
        return "fail";
    return c->worst <= 1 ? "pass" : "fail";
}

static void run_case(struct runner *r, const char *name, const char *kind, const char *path,
                     const char *model_file)
{
    struct tally *t = tally_of(r, kind);
    struct error err = {0};
    struct cf_case c = {
        .name = name, .kind = kind, .backend = r->o->backend, .model_file = model_file};
    struct safetensors *st;
    const char *status;

    if (!t)
        return;
    st = st_open(path, &err);
    if (!st) {
        count(r, t, "fail");
        report(r, name, kind, "fail", NULL, err.msg);
        return;
    }
    c.st = st;
    c.tolerance = cf_meta_json(&c, "tolerance");
    c.hyper = cf_meta_json(&c, "hyper");
    c.check = cf_meta_json(&c, "check");
    c.done = js_new_object();
    status = judge(&c, &err);
    count(r, t, status);
    report(r, name, kind, status, strcmp(status, "unsupported") == 0 ? NULL : &c,
           err.msg[0] ? err.msg : NULL);
    js_free(c.tolerance);
    js_free(c.hyper);
    js_free(c.check);
    js_free(c.done);
    st_close(st);
}

/* The set's index.json names its cases; entries of kind "file" are auxiliary. ONNX cases bring a model. */
static bool run_index(struct runner *r, struct error *err)
{
    char *path = str_path(r->o->dir, "index.json");
    struct json *index = js_read_file(path, 64u << 20, err);
    const struct json *cases = js_get(index, "cases");
    bool ok = index && js_kind(cases) == JS_ARRAY;

    if (index && !ok)
        err_set(err, ERR_DATA, "%s has no list of cases", path);
    for (size_t i = 0; ok && i < js_len(cases); i++) {
        const struct json *e = js_at(cases, i);
        const char *kind = js_string(js_get(e, "kind"), "");
        const char *model = js_string(js_get(e, "model_file"), NULL);
        char *file = str_path(r->o->dir, js_string(js_get(e, "file"), ""));
        char *model_file = model ? str_path(r->o->dir, model) : NULL;

        if (strcmp(kind, "file") != 0)
            run_case(r, js_string(js_get(e, "name"), ""), kind, file, model_file);
        free(model_file);
        free(file);
    }
    js_free(index);
    free(path);
    return ok;
}

static void ask_for(struct runner *r, const char *list)
{
    while (list && *list) {
        size_t n = strcspn(list, ",");

        if (n) {
            vec_push(&r->asked, str_ndup(list, n));
            vec_push(&r->by_kind, (struct tally){0});
        }
        list += n + (list[n] == ',');
    }
}

static void summarise(struct runner *r)
{
    struct json *line = js_new_object();

    js_set(line, "summary", js_new_bool(true));
    js_set(line, "pass", js_new_int(r->all.pass));
    js_set(line, "fail", js_new_int(r->all.fail));
    js_set(line, "unsupported", js_new_int(r->all.unsupported));
    print_line(r, line);
}

static int exit_status(const struct runner *r)
{
    if (r->all.fail || (!r->asked.n && !r->all.pass))
        return 1;
    for (size_t i = 0; i < r->asked.n; i++)
        if (!r->by_kind.at[i].pass || r->by_kind.at[i].unsupported)
            return 1;
    return 0;
}

int conformance_run(const struct conformance_options *options, struct error *err)
{
    struct runner r = {.o = options};
    int status = -1;

    ask_for(&r, options->kinds);
    if (run_index(&r, err)) {
        summarise(&r);
        status = exit_status(&r);
    }
    for (size_t i = 0; i < r.asked.n; i++)
        free(r.asked.at[i]);
    vec_free(&r.asked);
    vec_free(&r.by_kind);
    return status;
}
