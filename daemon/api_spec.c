/* What a job was asked to be, as it was sent and in full; another job of the same; and all that is needed to do it over
 * again. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/abilities.h"
#include "daemon/api.h"
#include "daemon/body.h"
#include "daemon/hashes.h"
#include "daemon/idempotency.h"
#include "daemon/problem.h"
#include "daemon/refs.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    HEADER_MAX = 8 << 20, /* of a safetensors file */
    RECORD_VERSION = 1
};

/* -- Specs -------------------------------------------------------------------------------------------- */

/* NULL with err; free() and js_free. What was sent is damaged if it is no JSON; then the normalised one stands for it, as for jobs
 * of which it was never kept. */
static char *written_spec(struct daemon *d, const struct job *j, struct json **parsed,
                          struct error *err)
{
    struct error why;
    char *text;

    *parsed = NULL;
    if (!store_job_written(d->store, j->id, &text, err))
        return NULL;
    *parsed = js_parse(text, strlen(text), &why);
    if (*parsed)
        return text;
    log_error("job=%s: the spec as it was sent is damaged: %s", j->id, why.msg);
    free(text);
    *parsed = js_parse(j->spec, strlen(j->spec), err);
    return *parsed ? str_dup(j->spec) : NULL;
}

static struct json *written_json(struct daemon *d, const struct job *j, struct error *err)
{
    struct json *spec;

    free(written_spec(d, j, &spec, err));
    return spec;
}

void api_job_spec(struct daemon *d, struct request *r)
{
    struct job *owned;
    const struct job *j = api_job_of(d, r, &owned);
    struct json *spec = NULL;
    struct error err;
    char *text = j ? written_spec(d, j, &spec, &err) : NULL;

    if (text)
        reply_json_text(r, 200, text);
    else if (j)
        problem_reply_error(r, &err);
    js_free(spec);
    job_destroy(owned);
}

void api_job_normalized(struct daemon *d, struct request *r)
{
    struct job *owned;
    const struct job *j = api_job_of(d, r, &owned);

    if (j)
        reply_json_text(r, 200, str_dup(j->spec));
    job_destroy(owned);
}

/* -- Another one of it -------------------------------------------------------------------------------- */

/* The body may be left out. False when the answer was given; js_free. */
static bool take_patch(struct request *r, struct json **body)
{
    static const struct member members[] = {{"set", JS_OBJECT, false, NULL}};

    *body = r->body.len ? body_read(r, "a clone", members, ARRAY_LEN(members)) : NULL;
    return *body || !r->body.len;
}

/* A clone of a clone of one, each a little longer, would end nowhere. */
static bool is_small_enough(struct daemon *d, struct request *r, const struct json *spec)
{
    struct buf text = buf_new(0);
    size_t len;

    js_write(spec, 0, &text);
    len = text.len;
    buf_free(&text);
    if (len <= (size_t)d->settings.body_bytes)
        return true;
    problem_reply(r, "too_large", NULL,
                  "the job would have %zu bytes with what is set; a job may have at most %" PRId64,
                  len, d->settings.body_bytes);
    return false;
}

/* The spec with what is to be different; NULL when the answer was given. */
static struct json *changed_spec(struct daemon *d, struct request *r, const struct job *from)
{
    struct json *body, *spec, *changed = NULL;
    struct error err;

    if (!take_patch(r, &body))
        return NULL;
    spec = written_json(d, from, &err);
    if (!spec)
        problem_reply_error(r, &err);
    else if (js_kind(js_get(body, "set")) == JS_OBJECT)
        changed = js_merged(spec, js_get(body, "set"));
    else
        changed = js_copy(spec);
    js_free(spec);
    js_free(body);
    if (!changed || is_small_enough(d, r, changed))
        return changed;
    js_free(changed);
    return NULL;
}

static void clone_job(struct daemon *d, struct request *r)
{
    struct job *owned;
    const struct job *from = api_job_of(d, r, &owned);
    struct idempotency idempotency;
    struct job *j = NULL;

    if (from && idempotency_begin(d, r, &idempotency))
        j = api_take_job(d, r, changed_spec(d, r, from), NULL);
    if (j) {
        snprintf(j->cloned_from, sizeof(j->cloned_from), "%s", from->id);
        api_accept_job(d, r, j, &idempotency);
    }
    job_destroy(owned);
}

void api_job_clone(struct daemon *d, struct request *r)
{
    abilities_then(d, r, clone_job);
}

/* -- The record --------------------------------------------------------------------------------------- */

/* Files whose bytes the record vouches for. */
static const char *const kept[] = {"student.safetensors", "best.safetensors",
                                   "class_means.safetensors", "student.onnx", "metrics.jsonl"};

struct record {
    struct daemon *daemon;
    char job[JOB_ID_SIZE];
    bool over; /* the files change no more */
    struct json *answer;
};

static struct json *json_of(const char *text)
{
    struct json *j = text ? js_parse(text, strlen(text), NULL) : NULL;

    return j ? j : js_new_null();
}

static struct json *time_of(int64_t wall_ms)
{
    char text[CLOCK_TEXT];

    return wall_ms ? js_new_string(clock_text(wall_ms, text)) : js_new_null();
}

static struct json *about_job(const struct job *j)
{
    struct json *about = js_new_object();

    js_set(about, "id", js_new_string(j->id));
    js_set(about, "name", js_new_string(j->name));
    js_set(about, "kind", js_new_string(j->kind));
    js_set(about, "project", js_new_string(j->project));
    js_set(about, "state", js_new_string(job_state_name(j->state)));
    js_set(about, "attempts", js_new_int(j->attempt));
    js_set(about, "created_at", time_of(j->created_ms));
    js_set(about, "started_at", time_of(j->started_ms));
    js_set(about, "finished_at", time_of(j->finished_ms));
    js_set(about, "cloned_from", j->cloned_from[0] ? js_new_string(j->cloned_from) : js_new_null());
    return about;
}

static struct json *versions(void)
{
    struct json *j = js_new_object();

    js_set(j, "distilld", js_new_string(PACKAGE_VERSION));
    js_set(j, "api", js_new_string("v1"));
    return j;
}

static void add_file(const struct record *rec, const char *name, struct turn *t, struct json *files)
{
    struct stat st;
    int fd = daemon_open_output(rec->daemon, rec->job, name, &st, NULL);
    char hex[SHA256_HEX];
    struct json *j;

    if (fd < 0)
        return;
    j = js_new_object();
    js_set(j, "name", js_new_string(name));
    js_set(j, "size_bytes", js_new_int(st.st_size));
    js_set(j, "sha256",
           hashes_of_file(rec->daemon->hashes, fd, t, hex) ? js_new_string(hex) : js_new_null());
    js_push(files, j);
    close(fd);
}

/* The header of a safetensors file: eight bytes that say how long it is, then JSON. NULL: it is none. */
static struct json *read_header(int fd)
{
    unsigned char size[8];
    uint64_t len = 0;
    char *text;
    struct json *j = NULL;

    if (read(fd, size, sizeof(size)) != (ssize_t)sizeof(size))
        return NULL;
    for (int i = 8; i-- > 0;)
        len = len << 8 | size[i];
    if (len > HEADER_MAX)
        return NULL;
    text = mem_calloc((size_t)len + 1, 1);
    if (read(fd, text, (size_t)len) == (ssize_t)len)
        j = js_parse(text, (size_t)len, NULL);
    free(text);
    return j;
}

/* What the student was made of, as the worker has noted in it: "data_sha256", "teacher_sha256", ... */
static struct json *hashes(const struct record *rec)
{
    int fd = daemon_open_output(rec->daemon, rec->job, "student.safetensors", NULL, NULL);
    struct json *header = fd >= 0 ? read_header(fd) : NULL, *out = js_new_object();
    const struct json *meta = js_get(header, "__metadata__");

    for (void *it = js_kind(meta) == JS_OBJECT ? js_first(meta) : NULL; it; it = js_next(meta, it))
        if (str_ends(js_key(it), "_sha256") && *js_string(js_value(it), ""))
            js_set(out, js_key(it), js_copy(js_value(it)));
    if (fd >= 0)
        close(fd);
    js_free(header);
    return out;
}

static void look(void *arg, struct turn *t)
{
    struct record *rec = arg;
    struct json *files = js_new_array();

    for (size_t i = 0; rec->over && i < ARRAY_LEN(kept); i++)
        add_file(rec, kept[i], t, files);
    js_set(rec->answer, "hashes", rec->over ? hashes(rec) : js_new_object());
    js_set(rec->answer, "files", files);
}

static void answer(struct request *r, void *arg)
{
    struct record *rec = arg;

    reply_json(r, 200, rec->answer);
    rec->answer = NULL;
}

static void drop(void *arg)
{
    struct record *rec = arg;

    js_free(rec->answer);
    free(rec);
}

void api_job_record(struct daemon *d, struct request *r)
{
    struct job *owned;
    const struct job *j = api_job_of(d, r, &owned);
    struct json *written;
    struct record *rec;
    struct error err;

    if (!j)
        return;
    rec = NEW(struct record);
    rec->daemon = d;
    rec->over = job_is_final(j->state);
    snprintf(rec->job, sizeof(rec->job), "%s", j->id);
    rec->answer = js_new_object();
    js_set(rec->answer, "record", js_new_int(RECORD_VERSION));
    js_set(rec->answer, "job", about_job(j));
    js_set(rec->answer, "versions", versions());
    written = written_json(d, j, &err);
    js_set(rec->answer, "submitted", written ? written : js_new_null());
    js_set(rec->answer, "spec", json_of(j->spec));
    js_set(rec->answer, "uses", refs_json(d, j->id));
    js_set(rec->answer, "result", json_of(j->result));
    job_destroy(owned);
    turns_work(d, r, look, answer, drop, rec);
}
