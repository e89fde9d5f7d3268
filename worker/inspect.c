#include "worker/inspect.h"

#include <inttypes.h>

struct totals {
    size_t in, out;
    double flops;
};

static struct totals totals_of(const struct step *s)
{
    struct totals t = {.flops = s->flops};

    for (int k = 0; k < s->n_in; k++)
        t.in += s->values[k].bytes;
    for (int k = s->n_in; k < s->n_in + s->n_out; k++)
        t.out += s->values[k].bytes;
    return t;
}

static struct totals sum_of_steps(const struct plan *p)
{
    struct totals sum = {0};

    for (size_t i = 0; i < p->steps.n; i++) {
        struct totals t = totals_of(&p->steps.at[i]);

        sum.in += t.in;
        sum.out += t.out;
        sum.flops += t.flops;
    }
    return sum;
}

static size_t io_bytes(const struct plan *p)
{
    size_t sum = 0;

    for (size_t i = 0; i < p->io.n; i++)
        sum += p->io.at[i].bytes;
    return sum;
}

static const char *layout_name(const struct plan *p, const struct step_value *v)
{
    return p->backend->def->layout_name(p->backend, v->layout);
}

static double mega(size_t n)
{
    return (double)n / 1e6;
}

static void values_text(const struct plan *p, const struct step_value *v, int n, struct buf *out)
{
    for (int k = 0; k < n; k++) {
        char text[SHAPE_TEXT];

        buf_fmt(out, "%s%s", k ? ", " : "", shape_text(&v[k].shape, text));
        if (v[k].dtype == DT_U8 || v[k].dtype == DT_S8)
            buf_fmt(out, " %s", dtype_name(v[k].dtype));
        if (v[k].layout != LAYOUT_PLAIN)
            buf_fmt(out, " %s", layout_name(p, &v[k]));
    }
}

static void steps_text(const struct plan *p, const char *title, const struct step *steps, size_t n,
                       struct buf *out)
{
    if (!n)
        return;
    buf_fmt(out, "%s\n%6s %9s %9s %9s %9s  %-24s %s\n", title, "step", "alive MB", "in MB",
            "out MB", "MFLOP", "kernel", "operator layer: inputs -> outputs");
    for (size_t i = 0; i < n; i++) {
        const struct step *s = &steps[i];
        struct totals t = totals_of(s);

        buf_fmt(out, "%6zu %9.3f %9.3f %9.3f %9.2f  %-24s %s%s%s: ", i, mega(s->live_bytes),
                mega(t.in), mega(t.out), t.flops / 1e6, s->kernel->impl, s->op,
                s->layer[0] ? " " : "", s->layer);
        values_text(p, s->values, s->n_in, out);
        buf_str(out, " -> ");
        values_text(p, s->values + s->n_in, s->n_out, out);
        buf_str(out, "\n");
    }
}

static void memory_text(const struct plan *p, struct buf *out)
{
    struct totals t = sum_of_steps(p);

    buf_fmt(out, "total: %zu steps read %.3f MB, write %.3f MB, %.2f MFLOP\n", p->steps.n,
            mega(t.in), mega(t.out), t.flops / 1e6);
    buf_fmt(out,
            "memory: arena %.3f MB (without sharing %.3f MB), constants and prepared weights %.3f "
            "MB, inputs and outputs %.3f MB\n",
            mega(p->arena_bytes), mega(p->arena_sum), mega(p->fixed_bytes), mega(io_bytes(p)));
    if (!p->steps.n)
        return;
    buf_fmt(out, "peak: %.3f MB at step %d: %s\n", mega(p->peak_bytes), p->peak_step,
            p->steps.at[p->peak_step].text);
    for (size_t i = 0; i < p->alive.n; i++)
        buf_fmt(out, "%9.3f MB  %s\n", mega(p->alive.at[i].bytes), p->alive.at[i].text);
}

void inspect_text(const struct plan *p, struct buf *out)
{
    buf_fmt(out, "== %s\n", p->title);
    steps_text(p, "when parameters change", p->prepare.at, p->prepare.n, out);
    steps_text(p, "each run", p->steps.at, p->steps.n, out);
    for (size_t i = 0; i < p->io.n; i++) {
        char text[SHAPE_TEXT];

        buf_fmt(out, "%6s %s %s\n", p->io.at[i].is_output ? "output" : "input", p->io.at[i].name,
                shape_text(&p->io.at[i].shape, text));
    }
    memory_text(p, out);
}

static struct json *size_json(size_t n)
{
    return js_new_int((int64_t)n);
}

static struct json *shape_json(const struct shape *s)
{
    struct json *j = js_new_array();

    for (int i = 0; i < s->rank; i++)
        js_push(j, js_new_int(s->dim[i]));
    return j;
}

static struct json *values_json(const struct plan *p, const struct step_value *v, int n)
{
    struct json *list = js_new_array();

    for (int k = 0; k < n; k++) {
        struct json *j = js_new_object();

        js_set(j, "shape", shape_json(&v[k].shape));
        js_set(j, "type", js_new_string(dtype_name(v[k].dtype)));
        js_set(j, "layout", js_new_string(layout_name(p, &v[k])));
        js_set(j, "bytes", size_json(v[k].bytes));
        js_push(list, j);
    }
    return list;
}

static void set_totals(struct json *j, struct totals t)
{
    js_set(j, "bytes_in", size_json(t.in));
    js_set(j, "bytes_out", size_json(t.out));
    js_set(j, "flops", js_new_real(t.flops));
}

static struct json *steps_json(const struct plan *p, const struct step *steps, size_t n)
{
    struct json *list = js_new_array();

    for (size_t i = 0; i < n; i++) {
        const struct step *s = &steps[i];
        struct json *j = js_new_object();

        js_set(j, "op", js_new_string(s->op));
        js_set(j, "layer", js_new_string(s->layer));
        js_set(j, "kernel", js_new_string(s->kernel->impl));
        js_set(j, "node", js_new_string(s->text));
        js_set(j, "inputs", values_json(p, s->values, s->n_in));
        js_set(j, "outputs", values_json(p, s->values + s->n_in, s->n_out));
        set_totals(j, totals_of(s));
        js_set(j, "alive_bytes", size_json(s->live_bytes));
        js_push(list, j);
    }
    return list;
}

static struct json *io_json(const struct plan *p)
{
    struct json *list = js_new_array();

    for (size_t i = 0; i < p->io.n; i++) {
        const struct plan_io *io = &p->io.at[i];
        struct json *j = js_new_object();

        js_set(j, "name", js_new_string(io->name));
        js_set(j, "output", js_new_bool(io->is_output));
        js_set(j, "shape", shape_json(&io->shape));
        js_set(j, "bytes", size_json(io->bytes));
        js_push(list, j);
    }
    return list;
}

static struct json *peak_json(const struct plan *p)
{
    struct json *j = js_new_object(), *alive = js_new_array();

    js_set(j, "bytes", size_json(p->peak_bytes));
    js_set(j, "step", js_new_int(p->peak_step));
    for (size_t i = 0; i < p->alive.n; i++) {
        struct json *a = js_new_object();

        js_set(a, "node", js_new_string(p->alive.at[i].text));
        js_set(a, "bytes", size_json(p->alive.at[i].bytes));
        js_push(alive, a);
    }
    js_set(j, "alive", alive);
    return j;
}

struct json *inspect_json(const struct plan *p)
{
    struct json *j = js_new_object(), *memory = js_new_object();

    js_set(j, "title", js_new_string(p->title));
    js_set(j, "prepare", steps_json(p, p->prepare.at, p->prepare.n));
    js_set(j, "steps", steps_json(p, p->steps.at, p->steps.n));
    js_set(j, "io", io_json(p));
    set_totals(j, sum_of_steps(p));
    js_set(memory, "arena", size_json(p->arena_bytes));
    js_set(memory, "without_sharing", size_json(p->arena_sum));
    js_set(memory, "fixed", size_json(p->fixed_bytes));
    js_set(memory, "io", size_json(io_bytes(p)));
    js_set(j, "memory", memory);
    js_set(j, "peak", peak_json(p));
    return j;
}
