/* Rows of the viewer are threads of a process: here plans, in the order of their first step. Times are
 * microseconds since the first span. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/vec.h"
#include "worker/bench/bench.h"

typedef VEC(const struct plan *) plan_list;

static int row_of(plan_list *rows, const struct plan *p)
{
    for (size_t i = 0; i < rows->n; i++)
        if (rows->at[i] == p)
            return (int)i;
    vec_push(rows, p);
    return (int)rows->n - 1;
}

static struct json *event(const char *name, const char *phase, int row)
{
    struct json *j = js_new_object();

    js_set(j, "name", js_new_string(name));
    js_set(j, "ph", js_new_string(phase));
    js_set(j, "pid", js_new_int(0));
    js_set(j, "tid", js_new_int(row));
    return j;
}

static struct json *span_event(const struct plan_span *s, int row, int64_t zero_ns)
{
    struct json *j = event(s->step->op, "X", row), *args = js_new_object();

    js_set(j, "ts", js_new_real((double)(s->began_ns - zero_ns) * 1e-3));
    js_set(j, "dur", js_new_real((double)(s->ended_ns - s->began_ns) * 1e-3));
    js_set(args, "layer", js_new_string(s->step->layer));
    js_set(args, "kernel", js_new_string(s->step->kernel->impl));
    js_set(args, "node", js_new_string(s->step->text));
    if (s->step->flops > 0)
        js_set(args, "gflop_s",
               js_new_real(s->step->flops / (double)(s->ended_ns - s->began_ns + 1)));
    js_set(j, "args", args);
    return j;
}

/* What the viewer calls a row. */
static struct json *name_event(const struct plan *p, int row)
{
    struct json *j = event("thread_name", "M", row), *args = js_new_object();

    js_set(args, "name", js_new_string(p->title));
    js_set(j, "args", args);
    return j;
}

bool bench_trace(const struct plan_clock *clock, const char *path, struct error *err)
{
    struct json *events = js_new_array();
    plan_list rows = {0};
    char *text;
    bool ok;

    for (size_t i = 0; i < clock->spans.n; i++) {
        const struct plan_span *s = &clock->spans.at[i];

        js_push(events, span_event(s, row_of(&rows, s->plan), clock->spans.at[0].began_ns));
    }
    for (size_t i = 0; i < rows.n; i++)
        js_push(events, name_event(rows.at[i], (int)i));
    text = js_text(events, JS_COMPACT);
    ok = file_replace(path, text, strlen(text), 0644, err) || err_wrap(err, "--trace");
    free(text);
    js_free(events);
    vec_free(&rows);
    return ok;
}
