/* POST /models: a version of a model, from an uploaded file or from what a job has made. What the file says
 * of itself is the worker's to find out (`distill-worker describe`); where it comes from follows from the
 * job. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/api.h"
#include "daemon/audit.h"
#include "daemon/blobs.h"
#include "daemon/body.h"
#include "daemon/models.h"
#include "daemon/problem.h"
#include "daemon/reach.h"
#include "daemon/refs.h"
#include "daemon/worker_tool.h"
#include "proto/base/clock.h"
#include "proto/base/str.h"

struct registration {
    struct daemon *daemon;
    struct json *body;
    char job[JOB_ID_SIZE], kind[16]; /* "" and "upload": of no job */
    char *folder;                    /* of blobs */
    int fd;                          /* of the job's file, or -1 */
    char *described;                 /* the file to ask about; NULL: the blob itself */
    struct blob blob;
    struct json *facts; /* what the worker says; NULL when that failed */
    struct error err;
};

static void registration_free(struct registration *g)
{
    if (g->fd >= 0)
        close(g->fd);
    js_free(g->body);
    js_free(g->facts);
    free(g->folder);
    free(g->described);
    free(g);
}

static const char *text_of(const struct registration *g, const char *name)
{
    return js_string(js_get(g->body, name), NULL);
}

/* -- What the request says --------------------------------------------------------------------- */

static bool is_channels(const struct json *value, struct error *err)
{
    bool ok = js_len(value) == 3;

    for (size_t i = 0; ok && i < 3; i++)
        ok = js_kind(js_at(value, i)) == JS_REAL || js_kind(js_at(value, i)) == JS_INT;
    return ok || err_set(err, ERR_INVALID, "expected three numbers");
}

static bool is_artifact(const struct json *value, struct error *err)
{
    const char *name = js_string(value, "");

    return strcmp(name, "student.safetensors") == 0 || strcmp(name, "best.safetensors") == 0 ||
           strcmp(name, "student.onnx") == 0 ||
           err_set(err, ERR_INVALID,
                   "expected student.safetensors, best.safetensors or student.onnx, got \"%.80s\"",
                   name);
}

static const struct member members[] = {
    {"name", JS_STRING, true, body_is_name},
    {"sha256", JS_STRING, false, body_is_sha256},
    {"job", JS_STRING, false, NULL},
    {"artifact", JS_STRING, false, is_artifact},
    {"architecture", JS_STRING, false, NULL},
    {"classes", JS_INT, false, body_is_count},
    {"image_size", JS_INT, false, body_is_count},
    {"mean", JS_ARRAY, false, is_channels},
    {"std", JS_ARRAY, false, is_channels},
    {"labels", JS_OBJECT, false, body_is_labels},
};

static bool take_file(struct registration *g, struct error *err)
{
    snprintf(g->blob.sha256, sizeof(g->blob.sha256), "%s", text_of(g, "sha256"));
    g->blob.size = blob_size(g->daemon, g->blob.sha256);
    return g->blob.size >= 0 ||
           err_set(err, ERR_NOT_FOUND, "no file with the sha256 %s has been uploaded",
                   g->blob.sha256);
}

static bool check_job(const struct job *j, struct error *err)
{
    if (strcmp(j->kind, "train") != 0 && strcmp(j->kind, "distill") != 0)
        return err_set(err, ERR_INVALID, "job %s is of kind %s; only train and distill make models",
                       j->id, j->kind);
    return j->state == JOB_SUCCEEDED || err_set(err, ERR_CONFLICT,
                                                "job %s is %s; its model is there once it has "
                                                "succeeded",
                                                j->id, job_state_name(j->state));
}

/* Whether the student is a graph of a file, which its tensors alone do not tell. */
static bool has_graph(const struct job *j)
{
    struct json *spec = js_parse(j->spec, strlen(j->spec), NULL);
    bool onnx = strcmp(js_string(js_path(spec, "student.model"), ""), "onnx") == 0;

    js_free(spec);
    return onnx;
}

/* ONNX that was made of a model of the worker's does not say which; the student's safetensors does. */
static bool take_job(struct registration *g, const struct caller *who, struct error *err)
{
    const char *artifact = text_of(g, "artifact");
    struct job *owned;
    const struct job *j = api_find_job(g->daemon, who, text_of(g, "job"), &owned, err);
    bool ok = j && check_job(j, err), graph = ok && has_graph(j);

    if (!artifact)
        artifact = graph ? "student.onnx" : "student.safetensors";
    if (ok) {
        snprintf(g->job, sizeof(g->job), "%s", j->id);
        snprintf(g->kind, sizeof(g->kind), "%s", j->kind);
        g->fd = api_open_artifact(g->daemon, j->id, artifact);
        ok =
            g->fd >= 0 || err_set(err, ERR_NOT_FOUND, "job %s has no file \"%s\"", j->id, artifact);
        if (str_ends(artifact, ".onnx") && !graph)
            g->described = daemon_job_path(g->daemon, j->id, "out/student.safetensors");
    }
    job_destroy(owned);
    return ok;
}

static bool take_origin(struct registration *g, const struct caller *who, struct error *err)
{
    bool file = text_of(g, "sha256"), job = text_of(g, "job");

    if (file == job)
        return err_set(err, ERR_INVALID, "#: expected either sha256 or job, got %s",
                       file ? "both" : "none");
    return job ? take_job(g, who, err) : take_file(g, err);
}

/* -- What the worker says ---------------------------------------------------------------------- */

/* "0.5,0.5,0.5" */
static char *channels_text(const struct json *j)
{
    struct buf b = buf_new(0);

    for (size_t i = 0; i < js_len(j); i++) {
        buf_str(&b, i ? "," : "");
        js_write_real(js_real(js_at(j, i), 0), &b);
    }
    return buf_take(&b);
}

/* --classes=10, where the request says so. */
static void add_given(const struct registration *g, const char **words, size_t *n)
{
    static const struct {
        const char *member, *option;
    } rows[] = {{"architecture", "--model"},
                {"classes", "--classes"},
                {"image_size", "--size"},
                {"mean", "--mean"},
                {"std", "--std"}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct json *value = js_get(g->body, rows[i].member);
        char *text = js_kind(value) == JS_ARRAY    ? channels_text(value)
                     : js_kind(value) == JS_STRING ? str_dup(js_string(value, ""))
                                                   : js_text(value, JS_COMPACT);

        if (js_kind(value) != JS_NULL)
            words[(*n)++] = str_fmt("%s=%s", rows[i].option, text);
        free(text);
    }
}

static struct json *describe(const struct registration *g, const char *path, struct error *err)
{
    /* What it looks at lies there, whatever ranks have put in its place. */
    char *roots = str_fmt("%s/blobs:%s/jobs", g->daemon->state_dir, g->daemon->state_dir);
    const struct worker_tool tool = {
        .program = g->daemon->settings.worker, .roots = roots, .calls = g->daemon->worker_calls};
    const char *words[ARRAY_LEN(members) + 2] = {path};
    size_t n = 1;
    struct json *facts;

    add_given(g, words, &n);
    facts = worker_ask(&tool, "describe", words, err);
    while (n-- > 1)
        free((char *)(uintptr_t)words[n]);
    free(roots);
    return facts;
}

/* Where the daemon keeps a file is nobody's business: a message speaks of "the file". */
static void hide_path(struct error *err, const char *path)
{
    struct buf b = buf_new(0);
    const char *at = err->msg;

    for (const char *hit; (hit = strstr(at, path)); at = hit + strlen(path)) {
        buf_add(&b, at, (size_t)(hit - at));
        buf_str(&b, "the file");
    }
    buf_str(&b, at);
    err_set(err, err->code, "%s", buf_text(&b));
    buf_free(&b);
}

/* On another thread. */
static void look(void *arg)
{
    struct registration *g = arg;
    char *path;

    if (g->fd >= 0 && !blob_copy(g->folder, g->fd, &g->blob, &g->err))
        return;
    path = g->described ? str_dup(g->described) : str_path(g->folder, g->blob.sha256);
    g->facts = describe(g, path, &g->err);
    if (!g->facts)
        hide_path(&g->err, path);
    free(path);
}

/* -- What comes of it -------------------------------------------------------------------------- */

/* Of one that is registered: what the job was told to use, else one with the same tensors as those that it
 * used. 0: none. */
static bool find_parent(struct registration *g, const char *field, const char *tensors,
                        int64_t *out, struct error *err)
{
    struct store *s = g->daemon->store;
    struct ref_use use;
    struct model m = {.seq = 0};
    bool ok = true;

    if (*g->job && refs_use(g->daemon, g->job, field, &use)) {
        ok = model_find(s, &use.ref, &m, err) || (err->code == ERR_NOT_FOUND);
        err_clear(err);
    } else if (*tensors) {
        ok = model_by_tensors(s, tensors, &m, err);
    }
    *out = m.seq;
    model_fini(&m);
    return ok;
}

static struct json *dataset_of(const struct registration *g)
{
    struct ref_use use;
    struct json *j;

    if (!*g->job || !refs_use(g->daemon, g->job, "data.source", &use))
        return js_new_null();
    j = js_new_object();
    js_set(j, "name", js_new_string(use.ref.name));
    js_set(j, "sha256", js_new_string(use.sha256));
    return j;
}

static struct json *about(const struct registration *g)
{
    const struct json *labels = js_get(g->body, "labels");
    struct json *j = js_copy(g->facts);

    if (g->described)
        js_set(j, "format", js_new_string("onnx"));
    js_set(j, "labels", js_kind(labels) == JS_OBJECT ? js_copy(labels) : js_new_object());
    js_set(j, "dataset", dataset_of(g));
    return j;
}

static struct model model_of(const struct registration *g)
{
    struct model m = {.size = g->blob.size, .created_ms = clock_wall_ms(), .about = about(g)};

    snprintf(m.name, sizeof(m.name), "%s", text_of(g, "name"));
    snprintf(m.kind, sizeof(m.kind), "%s", g->kind);
    snprintf(m.job, sizeof(m.job), "%s", g->job);
    memcpy(m.sha256, g->blob.sha256, sizeof(m.sha256));
    snprintf(m.tensors_sha256, sizeof(m.tensors_sha256), "%s",
             js_string(js_get(g->facts, "tensors_sha256"), ""));
    return m;
}

/* The same content under the same name is the same version: the answer to the first request may have been
 * lost. */
static bool find_or_add(struct registration *g, struct model *m, bool *fresh, struct error *err)
{
    struct store *s = g->daemon->store;
    const char *teacher = js_string(js_get(g->facts, "teacher_sha256"), "");
    int64_t parents[MODEL_ROLE_COUNT];
    struct model known;

    if (!model_by_content(s, m->name, m->sha256, &known, err))
        return false;
    *fresh = !known.seq;
    if (known.seq) {
        model_fini(m);
        *m = known;
        return true;
    }
    /* It may have been removed with the last model that had it, while the worker looked at it. */
    if (blob_size(g->daemon, m->sha256) != m->size)
        return err_set(err, ERR_CONFLICT, "the file was removed meanwhile; register it again");
    return find_parent(g, "teacher.weights", teacher, &parents[MODEL_TEACHER], err) &&
           find_parent(g, "student.weights", "", &parents[MODEL_START], err) &&
           model_add(s, m, parents, err);
}

static void reply_model(struct daemon *d, struct request *r, int status, const struct model *m)
{
    char *location = str_fmt("/api/v1/models/%s/versions/%" PRId64, m->name, m->version);

    http_add_header(r, "Location", location);
    reply_json(r, status, model_json(d->store, m, reach_only(&r->caller)));
    free(location);
}

static bool is_usable(const struct registration *g, struct error *err)
{
    return js_string(js_get(g->facts, "architecture"), NULL) ||
           err_set(err, ERR_INVALID, "#/architecture: the file does not say its model; name it");
}

static void answer(struct request *r, void *arg)
{
    struct registration *g = arg;
    struct model m = {.seq = 0};
    bool fresh = false, ok = g->facts && is_usable(g, &g->err);

    if (ok) {
        m = model_of(g);
        audit_subject(g->daemon, m.name);
        ok = find_or_add(g, &m, &fresh, &g->err);
    }
    if (ok)
        reply_model(g->daemon, r, fresh ? 201 : 200, &m);
    else
        problem_reply_error(r, &g->err);
    if (!ok)
        blob_drop(g->daemon, g->blob.sha256);
    model_fini(&m);
    registration_free(g);
}

void api_model_add(struct daemon *d, struct request *r)
{
    struct json *body = body_read(r, "a model", members, ARRAY_LEN(members));
    struct registration *g;
    struct error err;

    if (!body)
        return;
    g = NEW(struct registration);
    *g = (struct registration){
        .daemon = d, .body = body, .kind = "upload", .fd = -1, .folder = blob_folder(d)};
    if (take_origin(g, &r->caller, &err)) {
        http_work(r, look, answer, g);
    } else {
        problem_reply_error(r, &err);
        registration_free(g);
    }
}
