/* Arithmetic with shapes: exporters write "flatten" or "chunk" as a computation of the new shape. With the
 * shapes at hand all of it is known, and none of it becomes a node. */
#include <stdlib.h>
#include <string.h>

#include "worker/onnx/replay.h"

/* The operands of a node; unknown ones make it none of ours. */
enum {
    MAX_OPERANDS = 5
};
struct operands {
    struct ints in[MAX_OPERANDS];
    int n;
};

static bool all_known(const struct operands *o)
{
    for (int i = 0; i < o->n; i++)
        if (!o->in[i].known)
            return false;
    return o->n > 0;
}

static bool fold_copy(const Onnx__Node *n, const struct operands *o, struct ints *out)
{
    (void)n;
    *out = o->in[0];
    return true;
}

static bool fold_gather(const Onnx__Node *n, const struct operands *o, struct ints *out)
{
    if (o->n != 2 || attribute_int(n, "axis", 0) != 0)
        return false;
    *out = (struct ints){.known = true, .n = o->in[1].n};
    for (int64_t i = 0; i < out->n; i++) {
        int64_t at = o->in[1].at[i] < 0 ? o->in[1].at[i] + o->in[0].n : o->in[1].at[i];

        if (at < 0 || at >= o->in[0].n)
            return false;
        out->at[i] = o->in[0].at[at];
    }
    return true;
}

/* All rows, from the last to the first. */
static bool reverse(const struct operands *o, struct ints *out)
{
    int64_t columns = o->in[0].columns ? o->in[0].columns : 1, rows = o->in[0].n / columns;

    if (o->in[1].at[0] != -1 || o->in[2].at[0] >= -rows || o->in[3].at[0] != 0)
        return false;
    *out = o->in[0];
    for (int64_t i = 0; i < rows; i++)
        memcpy(out->at + i * columns, o->in[0].at + (rows - 1 - i) * columns,
               (size_t)columns * sizeof(*out->at));
    return true;
}

static bool fold_slice(const Onnx__Node *n, const struct operands *o, struct ints *out)
{
    int64_t from, to;

    (void)n;
    for (int i = 1; i < o->n; i++)
        if (o->in[i].n != 1)
            return false;
    if (o->n == 5 && o->in[4].at[0] == -1)
        return reverse(o, out);
    if (o->n < 3 || o->in[0].columns || (o->n == 5 && o->in[4].at[0] != 1))
        return false;
    from = ints_within(o->in[1].at[0], o->in[0].n);
    to = ints_within(o->in[2].at[0], o->in[0].n);
    *out = (struct ints){.known = true, .n = to > from ? to - from : 0};
    for (int64_t i = 0; i < out->n; i++)
        out->at[i] = o->in[0].at[from + i];
    return true;
}

/* Into rows, or one after the other. */
static bool fold_reshape(const Onnx__Node *n, const struct operands *o, struct ints *out)
{
    const struct ints *to = &o->in[1];

    (void)n;
    *out = o->in[0];
    out->columns = to->n == 2 ? to->at[1] : 0;
    return o->n == 2 && (to->n == 1 || to->n == 2) && to->at[0] == -1 &&
           (to->n == 1 || (to->at[1] > 0 && out->n % to->at[1] == 0));
}

static bool fold_transpose(const Onnx__Node *n, const struct operands *o, struct ints *out)
{
    int64_t columns = o->in[0].columns, rows;

    (void)n;
    if (!columns)
        return false;
    rows = o->in[0].n / columns;
    *out = o->in[0];
    out->columns = rows;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < columns; k++)
            out->at[k * rows + i] = o->in[0].at[i * columns + k];
    return true;
}

/* So many of one number. */
static bool fold_fill(const Onnx__Node *n, const struct operands *o, struct ints *out)
{
    const Onnx__Attribute *value = attribute(n, "value");
    int64_t x;

    *out = (struct ints){.known = true, .n = o->in[0].at[0]};
    if (o->in[0].n != 1 || out->n < 0 || out->n > MAX_INTS || !value || !value->t ||
        value->t->data_type != ONNX__ELEMENT_TYPE__INT64 || value->t->raw_data.len != sizeof(x))
        return false;
    memcpy(&x, value->t->raw_data.data, sizeof(x));
    for (int64_t i = 0; i < out->n; i++)
        out->at[i] = x;
    return true;
}

static bool fold_arithmetic(const Onnx__Node *n, const struct operands *o, struct ints *out)
{
    if (o->n != 2 || (o->in[0].n != o->in[1].n && o->in[0].n != 1 && o->in[1].n != 1))
        return false;
    *out = (struct ints){.known = true, .n = o->in[0].n > o->in[1].n ? o->in[0].n : o->in[1].n};
    for (int64_t i = 0; i < out->n; i++) {
        int64_t a = o->in[0].at[o->in[0].n == 1 ? 0 : i], b = o->in[1].at[o->in[1].n == 1 ? 0 : i];
        bool over = false;

        switch (n->op_type[0]) {
        case 'A': over = __builtin_add_overflow(a, b, &out->at[i]); break;
        case 'S': over = __builtin_sub_overflow(a, b, &out->at[i]); break;
        case 'M': over = __builtin_mul_overflow(a, b, &out->at[i]); break;
        case 'E': out->at[i] = a == b; break;
        default: over = b == 0 || (b == -1 && a == INT64_MIN); out->at[i] = over ? 0 : a / b;
        }
        if (over)
            return false;
    }
    return true;
}

/* The second where the first is not 0, else the third. */
static bool fold_where(const Onnx__Node *n, const struct operands *o, struct ints *out)
{
    (void)n;
    if (o->n != 3 || o->in[1].n != o->in[0].n || o->in[2].n != o->in[0].n)
        return false;
    *out = o->in[1];
    for (int64_t i = 0; i < out->n; i++)
        out->at[i] = o->in[o->in[0].at[i] ? 1 : 2].at[i];
    return true;
}

static const struct {
    const char *op;
    bool (*fold)(const Onnx__Node *n, const struct operands *o, struct ints *out);
    bool rows; /* knows rows */
} folds[] = {
    {"Add", fold_arithmetic, false},       {"Cast", fold_copy, true},
    {"ConstantOfShape", fold_fill, false}, {"Div", fold_arithmetic, false},
    {"Equal", fold_arithmetic, false},     {"Gather", fold_gather, false},
    {"Identity", fold_copy, true},         {"Mul", fold_arithmetic, false},
    {"Reshape", fold_reshape, true},       {"Slice", fold_slice, true},
    {"Squeeze", fold_copy, false},         {"Sub", fold_arithmetic, false},
    {"Transpose", fold_transpose, true},   {"Unsqueeze", fold_copy, false},
    {"Where", fold_where, false},
};

/* Numbers in a row, from any number of inputs. */
static bool fold_concat(struct replay *r, const Onnx__Node *n, struct ints *out)
{
    *out = (struct ints){.known = true};
    for (size_t i = 0; i < n->n_input; i++) {
        struct ints x = input_ints(r, n, i);

        if (!x.known || x.n > MAX_INTS - out->n)
            return false;
        memcpy(out->at + out->n, x.at, (size_t)x.n * sizeof(*x.at));
        out->n += x.n;
    }
    return n->n_input > 0;
}

/* The dimensions of a value, a tensor, or a list. */
static const int64_t *dims_of(struct replay *r, const Onnx__Node *n, int64_t *rank)
{
    int v = node_has(n, 0) ? onnx_find(r->m, n->input[0]) : -1;
    const struct st_tensor *t = input_tensor(r, n, 0);

    if (v >= 0 && r->items[v].ints && !r->items[v].ints->columns) {
        *rank = 1;
        return &r->items[v].ints->n;
    }
    if (t) {
        *rank = t->rank;
        return t->shape;
    }
    if (v < 0 || r->items[v].value == NO_VALUE)
        return NULL;
    *rank = graph_shape(r->g, r->items[v].value)->rank;
    return graph_shape(r->g, r->items[v].value)->dim;
}

static bool fold_shape(struct replay *r, const Onnx__Node *n, struct ints *out)
{
    int64_t from, to, rank = 0;
    const int64_t *dims = dims_of(r, n, &rank);

    if (!dims)
        return false;
    from = ints_within(attribute_int(n, "start", 0), rank);
    to = ints_within(attribute_int(n, "end", rank), rank);
    *out = (struct ints){.known = true, .n = to > from ? to - from : 0};
    for (int64_t i = 0; i < out->n; i++)
        out->at[i] = dims[from + i];
    return true;
}

static bool has_rows(const struct operands *o)
{
    for (int i = 0; i < o->n; i++)
        if (o->in[i].columns)
            return true;
    return false;
}

static bool compute(struct replay *r, const Onnx__Node *n, struct ints *out)
{
    struct operands o = {.n = (int)n->n_input};

    if (strcmp(n->op_type, "Shape") == 0)
        return fold_shape(r, n, out);
    if (strcmp(n->op_type, "Concat") == 0)
        return fold_concat(r, n, out);
    if (n->n_input > MAX_OPERANDS)
        return false;
    for (int i = 0; i < o.n; i++)
        o.in[i] = input_ints(r, n, (size_t)i);
    if (strcmp(n->op_type, "Unsqueeze") == 0 || strcmp(n->op_type, "Squeeze") == 0)
        o.n = o.n ? 1 : 0; /* lists have one dimension here, numbers none */
    for (size_t i = 0; all_known(&o) && i < sizeof(folds) / sizeof(folds[0]); i++)
        if (strcmp(folds[i].op, n->op_type) == 0 && (folds[i].rows || !has_rows(&o)))
            return folds[i].fold(n, &o, out);
    return false;
}

bool fold(struct replay *r, const Onnx__Node *n)
{
    struct ints out;

    if (!n->op_type || !n->n_output)
        return false;
    /* A tensor of the file under this name: a constant, or a copy of a tensor. */
    if (onnx_find(r->m, n->output[0]) >= 0 &&
        onnx_value_at(r->m, onnx_find(r->m, n->output[0]))->tensor)
        return true;
    if (!compute(r, n, &out))
        return false;
    set_ints(r, n, 0, &out);
    return true;
}

void fold_free(struct replay *r)
{
    for (size_t i = 0; i < onnx_values(r->m); i++)
        free(r->items[i].ints);
}
