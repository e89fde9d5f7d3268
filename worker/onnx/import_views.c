/* Operators that compute nothing: values under another shape or in other places. The first dimension is the
 * batch, and stays. */
#include <inttypes.h>
#include <string.h>

#include "worker/engine/ops/ops.h"
#include "worker/onnx/replay.h"

/* An axis counted from the end is counted from the front; the batch, or none, is reported. */
static bool real_axis(struct replay *r, int64_t rank, int64_t *axis)
{
    int64_t at = *axis < 0 ? *axis + rank : *axis;

    if (at < 1 || at >= rank) {
        graph_fail(r->g, ERR_UNSUPPORTED,
                   "axis %" PRId64 " of %" PRId64 " is not known here (0 is the batch)", *axis,
                   rank);
        return false;
    }
    *axis = at;
    return true;
}

static void view(struct replay *r, const Onnx__Node *n, value_id x, struct shape s)
{
    const struct shape *from = graph_shape(r->g, x);

    if (shape_equal(from, &s))
        set_output(r, n, 0, x);
    else if (from->rank == 4 && s.rank == 2)
        set_output(r, n, 0, g_flatten(r->g, x));
    else
        set_output(r, n, 0, g_view(r->g, x, s));
}

static void flatten(struct replay *r, const Onnx__Node *n, const struct rule *rule)
{
    value_id x = input_value(r, n, 0);
    const struct shape *s;

    (void)rule;
    if (x == NO_VALUE || !attribute_is(r, n, "axis", 1, 1))
        return;
    s = graph_shape(r->g, x);
    view(r, n, x, shape2(s->dim[0], s->rank ? shape_count(s) / s->dim[0] : 1));
}

/* 0 keeps a dimension, -1 is what the others leave over. A batch that the file was written for is the
 * batch that is. */
static bool resolve(struct replay *r, const struct shape *x, const struct ints *to, struct shape *s)
{
    int64_t count = shape_count(x), known = 1;
    int open = -1;

    if (!to->known || to->n < 2 || to->n > SHAPE_MAX) {
        graph_fail(r->g, ERR_UNSUPPORTED, "its shape is not known, or not of 2 to %d dimensions",
                   SHAPE_MAX);
        return false;
    }
    *s = (struct shape){.rank = (int)to->n};
    for (int i = 0; i < s->rank; i++) {
        bool batch = i == 0 && r->file_batch && to->at[0] == r->file_batch;

        s->dim[i] = batch ? r->batch : to->at[i] == 0 && i < x->rank ? x->dim[i] : to->at[i];
        if (s->dim[i] == -1 && open < 0)
            open = i;
        else if (s->dim[i] < 1 || __builtin_mul_overflow(known, s->dim[i], &known))
            known = 0;
        if (!known)
            break;
    }
    if (known && open >= 0)
        s->dim[open] = count / known;
    if (known && s->dim[0] == r->batch && shape_count(s) == count)
        return true;
    graph_fail(r->g, ERR_UNSUPPORTED,
               "%" PRId64 " elements of %" PRId64 " images do not take that shape", count,
               r->batch);
    return false;
}

static void reshape(struct replay *r, const Onnx__Node *n, const struct rule *rule)
{
    value_id x = input_value(r, n, 0);
    struct ints to = input_ints(r, n, 1);
    struct shape s;

    (void)rule;
    if (x != NO_VALUE && attribute_is(r, n, "allowzero", 0, 0) &&
        resolve(r, graph_shape(r->g, x), &to, &s))
        view(r, n, x, s);
}

/* From an attribute, or since operator set 13 from an input. */
static struct ints numbers(struct replay *r, const Onnx__Node *n, const char *name, size_t input)
{
    const Onnx__Attribute *a = attribute(n, name);
    struct ints x = {.known = true};

    if (!a)
        return node_has(n, input) ? input_ints(r, n, input) : (struct ints){0};
    if (a->n_ints > MAX_INTS)
        return (struct ints){0};
    x.n = (int64_t)a->n_ints;
    if (x.n)
        memcpy(x.at, a->ints, a->n_ints * sizeof(*a->ints));
    return x;
}

/* Dimensions of 1 go, or come. */
static void squeeze(struct replay *r, const Onnx__Node *n, const struct rule *rule)
{
    bool adds = strcmp(rule->op, "Unsqueeze") == 0;
    value_id x = input_value(r, n, 0);
    struct ints axes = numbers(r, n, "axes", 1);
    struct shape s = {0}, from;
    unsigned listed = 0;
    int64_t rank;

    if (x == NO_VALUE)
        return;
    from = *graph_shape(r->g, x);
    rank = adds ? from.rank + axes.n : from.rank;
    if (!axes.known || rank > SHAPE_MAX) {
        graph_fail(r->g, ERR_UNSUPPORTED, "its axes are not known, or too many");
        return;
    }
    for (int64_t i = 0; i < axes.n; i++) {
        if (!real_axis(r, rank, &axes.at[i]))
            return;
        listed |= 1u << axes.at[i];
    }
    for (int64_t i = 0, k = 0; i < rank; i++)
        if (!(listed >> i & 1))
            s.dim[s.rank++] = from.dim[k++];
        else if (adds)
            s.dim[s.rank++] = 1;
        else if (from.dim[k++] != 1)
            graph_fail(r->g, ERR_DATA, "dimension %" PRId64 " is not 1", i);
    if (r->g->err.code == ERR_NONE)
        view(r, n, x, s);
}

static void transpose(struct replay *r, const Onnx__Node *n, const struct rule *rule)
{
    value_id x = input_value(r, n, 0);
    int64_t perm[SHAPE_MAX] = {0};
    int rank;

    (void)rule;
    if (x == NO_VALUE)
        return;
    rank = graph_shape(r->g, x)->rank;
    if (!attribute_ints(r, n, "perm", perm, (size_t)rank, -1, 0, rank - 1))
        return;
    if (perm[0] != 0)
        graph_fail(r->g, ERR_UNSUPPORTED, "moves the batch, which stays in front here");
    else
        set_output(r, n, 0, g_transpose(r->g, x, perm));
}

/* More values than a node takes are joined in several steps. */
static void concat(struct replay *r, const Onnx__Node *n, const struct rule *rule)
{
    value_id in[NODE_MAX_IN] = {input_value(r, n, 0)};
    int64_t axis = attribute_int(n, "axis", 1);
    int count = 1;

    (void)rule;
    if (in[0] == NO_VALUE || !real_axis(r, graph_shape(r->g, in[0])->rank, &axis))
        return;
    for (size_t i = 1; i < n->n_input && r->g->err.code == ERR_NONE; i++) {
        in[count++] = input_value(r, n, i);
        if (count == NODE_MAX_IN && r->g->err.code == ERR_NONE) {
            in[0] = g_concat(r->g, axis, in, count);
            count = 1;
        }
    }
    if (r->g->err.code == ERR_NONE)
        set_output(r, n, 0, count > 1 ? g_concat(r->g, axis, in, count) : in[0]);
}

static void split(struct replay *r, const Onnx__Node *n, const struct rule *rule)
{
    value_id x = input_value(r, n, 0);
    struct ints sizes = numbers(r, n, "split", 1);
    int64_t axis = attribute_int(n, "axis", 0), at = 0, whole;

    (void)rule;
    if (x == NO_VALUE || !real_axis(r, graph_shape(r->g, x)->rank, &axis))
        return;
    whole = graph_shape(r->g, x)->dim[axis];
    if (sizes.known ? sizes.n != (int64_t)n->n_output : whole % (int64_t)n->n_output) {
        graph_fail(r->g, ERR_DATA, "%" PRId64 " do not make %zu parts", whole, n->n_output);
        return;
    }
    for (size_t k = 0; k < n->n_output && r->g->err.code == ERR_NONE; k++) {
        int64_t size = sizes.known ? sizes.at[k] : whole / (int64_t)n->n_output;

        if (size < 1 || size > whole - at) {
            graph_fail(r->g, ERR_DATA, "part %zu of %" PRId64 " has %" PRId64, k, whole, size);
            return;
        }
        set_output(r, n, k, g_slice(r->g, x, axis, at, at + size));
        at += size;
    }
}

static void slice(struct replay *r, const Onnx__Node *n, const struct rule *rule)
{
    value_id x = input_value(r, n, 0);
    struct ints from = input_ints(r, n, 1), to = input_ints(r, n, 2), axes = input_ints(r, n, 3);
    struct ints steps = input_ints(r, n, 4);
    bool ok = from.known && to.known && from.n == to.n && axes.known && axes.n == from.n &&
              (!node_has(n, 4) || steps.n == from.n);

    (void)rule;
    for (int64_t i = 0; ok && i < from.n && x != NO_VALUE; i++) {
        const struct shape *s = graph_shape(r->g, x);
        int64_t axis = axes.at[i], whole, lo, hi;

        if (axis == 0 && from.at[i] == 0 && to.at[i] >= s->dim[0])
            continue;
        ok = !node_has(n, 4) || steps.at[i] == 1;
        if (!ok || !real_axis(r, s->rank, &axis))
            break;
        whole = s->dim[axis];
        lo = ints_within(from.at[i], whole);
        hi = ints_within(to.at[i], whole);
        if (lo > 0 || hi < whole)
            x = g_slice(r->g, x, axis, lo, hi);
    }
    if (!ok)
        graph_fail(r->g, ERR_UNSUPPORTED, "only known slices in steps of 1 are known here");
    else
        set_output(r, n, 0, x);
}

static bool pads_with_zeros(struct replay *r, const Onnx__Node *n)
{
    const Onnx__Attribute *mode = attribute(n, "mode");
    double value = 0;

    if ((!mode || (mode->s.len == 8 && memcmp(mode->s.data, "constant", 8) == 0)) &&
        (!node_has(n, 2) || (input_number(r, n, 2, &value) && value == 0)))
        return true;
    graph_fail(r->g, ERR_UNSUPPORTED, "only padding with zeros is known here");
    return false;
}

static void pad(struct replay *r, const Onnx__Node *n, const struct rule *rule)
{
    value_id x = input_value(r, n, 0);
    struct ints pads = input_ints(r, n, 1);
    int rank;

    (void)rule;
    if (x == NO_VALUE || !pads_with_zeros(r, n))
        return;
    rank = graph_shape(r->g, x)->rank;
    if (!pads.known || pads.n != 2 * rank || pads.at[0] || pads.at[rank]) {
        graph_fail(r->g, ERR_UNSUPPORTED, "its pads are not known, or pad the batch");
        return;
    }
    for (int i = 1; i < rank && x != NO_VALUE; i++) {
        if (pads.at[i] > 4096 || pads.at[rank + i] > 4096)
            x = graph_fail(r->g, ERR_UNSUPPORTED, "pads of more than 4096");
        else if (pads.at[i] || pads.at[rank + i])
            x = g_pad_axis(r->g, x, i, pads.at[i], pads.at[rank + i]);
    }
    set_output(r, n, 0, x);
}

/* Dimensions of 1 are repeated; a 1 in the new shape leaves what is there. */
static void expand(struct replay *r, const Onnx__Node *n, const struct rule *rule)
{
    value_id x = input_value(r, n, 0);
    struct ints to = input_ints(r, n, 1);
    struct shape s;

    (void)rule;
    if (x == NO_VALUE)
        return;
    s = *graph_shape(r->g, x);
    if (to.known && to.n && r->file_batch && to.at[0] == r->file_batch)
        to.at[0] = r->batch;
    if (!to.known || to.n != s.rank || (to.at[0] != 1 && to.at[0] != s.dim[0])) {
        graph_fail(r->g, ERR_UNSUPPORTED, "its shape is not known, or not one of %d dimensions",
                   s.rank);
        return;
    }
    for (int i = 0; i < s.rank; i++)
        s.dim[i] = s.dim[i] == 1 ? to.at[i] : s.dim[i];
    set_output(r, n, 0, g_broadcast(r->g, x, s));
}

const struct rule import_view_rules[] = {
    {"Concat", 1, 1024, concat, NULL, {"axis"}},     {"Expand", 2, 2, expand, NULL, {NULL}},
    {"Flatten", 1, 1, flatten, NULL, {"axis"}},      {"Pad", 2, 3, pad, NULL, {"mode"}},
    {"Reshape", 2, 2, reshape, NULL, {"allowzero"}}, {"Slice", 4, 5, slice, NULL, {NULL}},
    {"Split", 1, 2, split, NULL, {"axis", "split"}}, {"Squeeze", 1, 2, squeeze, NULL, {"axes"}},
    {"Transpose", 1, 1, transpose, NULL, {"perm"}},  {"Unsqueeze", 1, 2, squeeze, NULL, {"axes"}},
};

const size_t n_import_view_rules = ARRAY_LEN(import_view_rules);
