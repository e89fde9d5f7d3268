/* Many jobs in one request. Those that are valid are committed together; each gets its own verdict. Most of the work is to
 * read them, which is done in parts, beside the loop: others are served meanwhile. Sweeps, and jobs that name something of
 * the registry, are judged on the loop, a few at a time. */
#include <stdlib.h>
#include <string.h>

#include "daemon/abilities.h"
#include "daemon/api.h"
#include "daemon/body.h"
#include "daemon/draft.h"
#include "daemon/intake.h"
#include "daemon/parts.h"
#include "daemon/problem.h"
#include "proto/base/clock.h"
#include "proto/base/json_split.h"
#include "proto/base/jw.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    BATCH_JOBS = 1000,
    BATCH_BYTES = 16 << 20,
    PART_JOBS = 100, /* at least, unless the batch has fewer, */
    PARTS = 4,       /* of which there are so many at most */
    JUDGE_MS = 20    /* on the loop, before others have their turn */
};

/* One of them, in the order of the request. */
struct item {
    struct draft draft;
    bool broken;     /* it is no JSON */
    size_t accepted; /* its place among the accepted ones, unless it has problems */
};

struct batch {
    struct draft_client client;
    struct intake_request *request; /* which owns it */
    struct js_split jobs;           /* of the body, or of */
    char *text;                     /* the same once more; NULL: not needed */
    bool atomic, validate_only;
    size_t n, n_parts;
    struct item *items;
    size_t judged; /* of them */
};

static const struct problems *problems_of(const struct batch *b, size_t i)
{
    return &b->items[i].draft.problems;
}

static void batch_free(void *arg)
{
    struct batch *b = arg;

    for (size_t i = 0; i < b->n; i++)
        draft_fini(&b->items[i].draft);
    free(b->items);
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
        const struct problems *p = problems_of(b, i);

        jw_begin_object(&w, NULL);
        jw_string(&w, "id",
                  p->list.n || b->validate_only ? NULL : q->jobs.at[b->items[i].accepted]->id);
        if (p->list.n)
            write_error(&w, p);
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
        for (size_t k = 0; k < problems_of(b, i)->list.n; k++)
            add_placed(&all, i, &problems_of(b, i)->list.at[k]);
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

void api_batch_begin(struct daemon *d, struct request *r)
{
    (void)d;
    if (r->body.max < BATCH_BYTES)
        r->body.max = BATCH_BYTES;
}

/* -- The jobs ------------------------------------------------------------------------------------------ */

/* On a thread of the pool. */
static void read_part(void *arg, size_t part)
{
    struct batch *b = arg;

    for (size_t i = b->n * part / b->n_parts; i < b->n * (part + 1) / b->n_parts; i++) {
        const struct js_part *sent = &b->jobs.parts.at[i];
        struct json *written = js_parse(sent->text, sent->len, NULL);

        b->items[i].broken = !written;
        if (written)
            draft_begin(&b->items[i].draft, &b->client, written, sent);
    }
}

static bool is_broken(const struct batch *b)
{
    size_t i = 0;

    while (i < b->n && !b->items[i].broken)
        i++;
    return i < b->n;
}

static void judge(struct batch *b, struct item *item)
{
    struct intake_request *q = b->request;
    struct job *j = draft_end(&item->draft, &b->client);

    item->accepted = q->jobs.n;
    if (j)
        vec_push(&q->jobs, j);
}

static void no_work(void *arg, size_t part)
{
    (void)arg;
    (void)part;
}

static void judge_jobs(struct request *r, void *arg)
{
    struct batch *b = arg;
    struct intake_request *q = b->request;
    const int64_t end_ns = clock_mono_ns() + JUDGE_MS * 1000000;

    while (b->judged < b->n && clock_mono_ns() < end_ns)
        judge(b, &b->items[b->judged++]);
    if (b->judged < b->n && b->client.daemon->stopping) {
        problem_reply(r, "stopped", NULL, "the daemon is about to end");
        intake_drop(q);
        return;
    }
    if (b->judged < b->n) {
        parts_work(b->client.daemon, r, 1, no_work, judge_jobs, b);
        return;
    }
    if (!q->jobs.n || (b->atomic && q->jobs.n < b->n)) {
        refuse(r, b, q->jobs.n);
    } else if (b->validate_only) {
        reply_json_text(r, 200, answer(q));
    } else {
        intake_add(b->client.daemon, q);
        return;
    }
    intake_drop(q);
}

static void take_jobs(struct request *r, void *arg)
{
    struct batch *b = arg;

    if (!is_broken(b)) {
        judge_jobs(r, b);
        return;
    }
    ASSERT(!read_whole(r)); /* it says where */
    intake_drop(b->request);
}

static void read_jobs(struct batch *b)
{
    const size_t parts = b->jobs.parts.n / PART_JOBS;

    b->n = b->jobs.parts.n;
    b->items = NEW_ARRAY(struct item, b->n);
    b->n_parts = parts < 1 ? 1 : parts > PARTS ? PARTS : parts;
    parts_work(b->client.daemon, b->request->r, b->n_parts, read_part, take_jobs, b);
}

static void take_batch(struct daemon *d, struct request *r)
{
    struct intake_request *q = NEW(struct intake_request);
    struct batch *b = NEW(struct batch);

    b->client = (struct draft_client){d, &r->caller, r->trace};
    b->request = q;
    q->r = r;
    q->arg = b;
    q->free_arg = batch_free;
    q->answer = answer;
    if (!api_flag(r, "validate_only", &b->validate_only) ||
        (!b->validate_only && !idempotency_begin(d, r, &q->idempotency)) || !read_body(r, b)) {
        intake_drop(q);
        return;
    }
    if (!b->validate_only)
        intake_expect(d, q);
    read_jobs(b);
}

void api_job_batch(struct daemon *d, struct request *r)
{
    abilities_then(d, r, take_batch);
}
