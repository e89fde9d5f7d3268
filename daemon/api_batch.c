/* Many jobs in one request. Those that are valid are committed together; each gets its own verdict. */
#include <stdlib.h>
#include <string.h>

#include "daemon/abilities.h"
#include "daemon/api.h"
#include "daemon/body.h"
#include "daemon/intake.h"
#include "daemon/problem.h"
#include "proto/base/json_split.h"
#include "proto/base/jw.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    BATCH_JOBS = 1000,
    BATCH_BYTES = 16 << 20
};

/* What became of each job, in the order of the request. */
struct verdict {
    size_t accepted;          /* its place among the accepted ones, */
    struct problems problems; /* unless there are some */
};

struct batch {
    struct js_split jobs; /* of the body, or of */
    char *text;           /* the same once more; NULL: not needed */
    bool atomic;
    size_t n;
    struct verdict *verdicts;
};

static void batch_free(void *arg)
{
    struct batch *b = arg;

    for (size_t i = 0; i < b->n; i++)
        problems_free(&b->verdicts[i].problems);
    free(b->verdicts);
    js_split_free(&b->jobs);
    free(b->text);
    free(b);
}

static void write_error(struct jw *w, const struct problems *p)
{
    struct json *errors = problems_json(p);
    char *text = js_text(errors, JS_COMPACT);

    jw_begin_object(w, "error");
    jw_string(w, "code", "invalid");
    jw_json(w, "errors", text);
    jw_end_object(w);
    free(text);
    js_free(errors);
}

static char *answer(const struct intake_request *q)
{
    const struct batch *b = q->arg;
    struct buf text = buf_new(0);
    struct jw w = jw_new(&text);

    jw_begin_object(&w, NULL);
    jw_int(&w, "accepted", (int64_t)q->jobs.n);
    jw_begin_array(&w, "items");
    for (size_t i = 0; i < b->n; i++) {
        const struct verdict *v = &b->verdicts[i];

        jw_begin_object(&w, NULL);
        jw_string(&w, "id", v->problems.list.n ? NULL : q->jobs.at[v->accepted]->id);
        if (v->problems.list.n)
            write_error(&w, &v->problems);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    return buf_take(&text);
}

/* A problem of job i, in a list of those of the whole request. */
static void add_placed(struct problems *all, size_t i, const struct problem *one)
{
    char *pointer = str_fmt("#/jobs/%zu%s", i, one->pointer + 1);

    problems_add(all, pointer, "%s", one->detail);
    free(pointer);
}

static void refuse(struct request *r, const struct batch *b, size_t accepted)
{
    struct problems all = {0};

    for (size_t i = 0; i < b->n; i++)
        for (size_t k = 0; k < b->verdicts[i].problems.list.n; k++)
            add_placed(&all, i, &b->verdicts[i].problems.list.at[k]);
    problem_reply(r, "invalid", &all, "%zu of %zu jobs cannot be accepted, and so none is",
                  b->n - accepted, b->n);
    problems_free(&all);
}

/* -- The request --------------------------------------------------------------------------------------- */

static bool is_batch(const struct json *jobs, struct error *err)
{
    const size_t n = js_len(jobs);

    return (n >= 1 && n <= BATCH_JOBS) ||
           err_set(err, ERR_INVALID, "expected 1 to %d jobs, got %zu", BATCH_JOBS, n);
}

/* In one piece; NULL when the answer was given, which says all that is wrong with it. */
static struct json *read_whole(struct request *r)
{
    static const struct member members[] = {{"jobs", JS_ARRAY, true, is_batch},
                                            {"atomic", JS_BOOL, false, NULL}};

    return body_read(r, "a batch of jobs", members, ARRAY_LEN(members));
}

/* As nearly all batches are written. Of what is written in another way, or wrong, nothing is said here. */
static bool split(struct batch *b, const char *text, size_t len)
{
    struct json *rest = js_split(text, len, "jobs", BATCH_JOBS, &b->jobs) && b->jobs.parts.n
                            ? js_parse(buf_text(&b->jobs.rest), b->jobs.rest.len, NULL)
                            : NULL;
    const struct json *atomic = js_get(rest, "atomic");
    const bool plain = js_len(rest) == (atomic ? 2 : 1) && (!atomic || js_kind(atomic) == JS_BOOL);

    b->atomic = js_bool(atomic, false);
    js_free(rest);
    if (!plain)
        js_split_free(&b->jobs);
    return plain;
}

/* False when the answer was given. */
static bool read_body(struct request *r, struct batch *b)
{
    struct json *whole;

    if (api_is_json(r) && split(b, buf_text(&r->body), r->body.len))
        return true;
    whole = read_whole(r);
    if (!whole)
        return false;
    /* A member has escapes in its name, or is null. */
    if (js_kind(js_get(whole, "atomic")) == JS_NULL)
        js_delete(whole, "atomic");
    b->text = js_text(whole, JS_COMPACT);
    js_free(whole);
    ASSERT(split(b, b->text, strlen(b->text)));
    return true;
}

/* False when one is no JSON. */
static bool read_jobs(const struct api_client *c, struct batch *b, struct intake_request *q)
{
    b->n = b->jobs.parts.n;
    b->verdicts = NEW_ARRAY(struct verdict, b->n);
    for (size_t i = 0; i < b->n; i++) {
        const struct js_part *part = &b->jobs.parts.at[i];
        struct json *written = js_parse(part->text, part->len, NULL);
        struct job *j;

        if (!written)
            return false;
        j = api_make_job(c, written, part, &b->verdicts[i].problems);
        js_free(written);
        b->verdicts[i].accepted = q->jobs.n;
        if (j)
            vec_push(&q->jobs, j);
    }
    return true;
}

void api_batch_begin(struct daemon *d, struct request *r)
{
    (void)d;
    if (r->body.max < BATCH_BYTES)
        r->body.max = BATCH_BYTES;
}

/* False when the answer was given. */
static bool take_jobs(struct daemon *d, struct request *r, struct batch *b,
                      struct intake_request *q)
{
    if (!idempotency_begin(d, r, &q->idempotency) || !read_body(r, b))
        return false;
    if (!read_jobs(&(struct api_client){d, &r->caller, r->trace}, b, q)) {
        ASSERT(!read_whole(r)); /* it says where */
        return false;
    }
    if (q->jobs.n && (!b->atomic || q->jobs.n == b->n))
        return true;
    refuse(r, b, q->jobs.n);
    return false;
}

static void take_batch(struct daemon *d, struct request *r)
{
    struct intake_request *q = NEW(struct intake_request);
    struct batch *b = NEW(struct batch);

    q->r = r;
    q->arg = b;
    q->free_arg = batch_free;
    q->answer = answer;
    if (take_jobs(d, r, b, q))
        intake_add(d, q);
    else
        intake_drop(q);
}

void api_job_batch(struct daemon *d, struct request *r)
{
    abilities_then(d, r, take_batch);
}
