#include "worker/onnx/import.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"
#include "worker/engine/ops/ops.h"
#include "worker/onnx/replay.h"

/* Elements of a single value: no file makes the engine count beyond. */
static const int64_t max_elements = INT64_C(1) << 31;

static struct item *item_of(const struct replay *r, const char *name)
{
    int v = onnx_find(r->m, name);

    return v < 0 ? NULL : &r->items[v];
}

bool node_has(const Onnx__Node *n, size_t i)
{
    return i < n->n_input && n->input[i][0];
}

value_id input_value(struct replay *r, const Onnx__Node *n, size_t i)
{
    const struct item *item = node_has(n, i) ? item_of(r, n->input[i]) : NULL;

    if (item && item->value != NO_VALUE)
        return item->value;
    return graph_fail(r->g, ERR_UNSUPPORTED, "input %zu (%.200s) is not computed from the image", i,
                      node_has(n, i) ? n->input[i] : "left out");
}

const struct st_tensor *input_tensor(const struct replay *r, const Onnx__Node *n, size_t i)
{
    int v = node_has(n, i) ? onnx_find(r->m, n->input[i]) : -1;

    return v < 0 ? NULL : onnx_value_at(r->m, v)->tensor;
}

static struct ints ints_of(const struct st_tensor *t)
{
    struct ints x = {0};

    if (!t || t->rank > 1 || st_count(t) > MAX_INTS || !st_to_int64(t, x.at))
        return (struct ints){0};
    x.known = true;
    x.n = st_count(t);
    return x;
}

struct ints input_ints(const struct replay *r, const Onnx__Node *n, size_t i)
{
    const struct item *item = node_has(n, i) ? item_of(r, n->input[i]) : NULL;

    return item && item->ints ? *item->ints : ints_of(input_tensor(r, n, i));
}

bool input_number(const struct replay *r, const Onnx__Node *n, size_t i, double *out)
{
    const struct st_tensor *t = input_tensor(r, n, i);

    return t && st_count(t) == 1 && st_to_double(t, out);
}

static bool shape_of(const struct st_tensor *t, struct shape *s)
{
    *s = (struct shape){.rank = t->rank};
    if (t->rank > SHAPE_MAX || t->dtype > ST_BF16 || st_count(t) < 1)
        return false;
    for (int i = 0; i < t->rank; i++)
        s->dim[i] = t->shape[i];
    return true;
}

/* What the graphs around a model (nets.h) call values of their own. */
static bool is_reserved(const char *name)
{
    static const char *const names[] = {"image",     "images",   "labels",    "mask",
                                        "logits",    "features", "projected", "directions",
                                        "direction", "partners", "share"};
    static const char *const prefixes[] = {"teacher_", "seed/", "loss/"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (str_starts(name, prefixes[i]))
            return true;
    return model_is_thrown_away(name);
}

value_id input_param(struct replay *r, const Onnx__Node *n, size_t i, enum param_role role)
{
    const struct st_tensor *t = input_tensor(r, n, i);
    struct item *item;
    struct shape s;

    if (!t || !shape_of(t, &s))
        return graph_fail(r->g, ERR_UNSUPPORTED,
                          "input %zu (%.200s) is no tensor of numbers that "
                          "stands in the file",
                          i, node_has(n, i) ? n->input[i] : "left out");
    if (is_reserved(t->name))
        return graph_fail(r->g, ERR_UNSUPPORTED, "a tensor cannot be called %.200s here", t->name);
    item = item_of(r, t->name);
    ASSERT(item);
    if (item->param != NO_VALUE) {
        if (r->g->values.at[item->param].role == role)
            return item->param;
        return graph_fail(r->g, ERR_UNSUPPORTED, "%.200s is used in two ways", t->name);
    }
    item->param = graph_param(r->g, t->name, role, s);
    if (r->net->training && r->g->values.at[item->param].kind == VALUE_PARAM)
        graph_want_grad(r->g, item->param);
    return item->param;
}

void set_output(struct replay *r, const Onnx__Node *n, size_t k, value_id v)
{
    struct item *item = k < n->n_output && n->output[k][0] ? item_of(r, n->output[k]) : NULL;

    if (item)
        item->value = v;
}

void set_ints(struct replay *r, const Onnx__Node *n, size_t k, const struct ints *x)
{
    struct item *item = k < n->n_output && n->output[k][0] ? item_of(r, n->output[k]) : NULL;

    if (!item)
        return;
    if (!item->ints)
        item->ints = NEW(struct ints);
    *item->ints = *x;
}

const Onnx__Attribute *attribute(const Onnx__Node *n, const char *name)
{
    for (size_t i = 0; i < n->n_attribute; i++)
        if (n->attribute[i]->name && strcmp(n->attribute[i]->name, name) == 0)
            return n->attribute[i];
    return NULL;
}

int64_t ints_within(int64_t at, int64_t n)
{
    at = at < 0 ? at + n : at;
    return at < 0 ? 0 : at > n ? n : at;
}

int64_t attribute_int(const Onnx__Node *n, const char *name, int64_t fallback)
{
    const Onnx__Attribute *a = attribute(n, name);

    return a && a->has_i ? a->i : fallback;
}

/* 1e-5 was written as the float next to it: the shortest decimal that gives this float is what was meant, and a
 * model that went out and comes back computes to the bit as before. */
static double as_meant(float x)
{
    char text[32];

    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x)
            return strtod(text, NULL);
    }
    return (double)x; /* no number */
}

double attribute_real(const Onnx__Node *n, const char *name, double fallback)
{
    const Onnx__Attribute *a = attribute(n, name);

    return a && a->has_f ? as_meant(a->f) : fallback;
}

bool attribute_ints(struct replay *r, const Onnx__Node *n, const char *name, int64_t *out,
                    size_t count, int64_t fallback, int64_t lo, int64_t hi)
{
    const Onnx__Attribute *a = attribute(n, name);

    if (a && a->n_ints != count) {
        graph_fail(r->g, ERR_UNSUPPORTED, "%s has %zu numbers, expected %zu", name, a->n_ints,
                   count);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        out[i] = a ? a->ints[i] : fallback;
        if (out[i] < lo || out[i] > hi) {
            graph_fail(r->g, ERR_UNSUPPORTED,
                       "%s has %" PRId64 ", expected %" PRId64 " to %" PRId64, name, out[i], lo,
                       hi);
            return false;
        }
    }
    return true;
}

bool attribute_is(struct replay *r, const Onnx__Node *n, const char *name, int64_t fallback,
                  int64_t only)
{
    int64_t got = attribute_int(n, name, fallback);

    if (got == only)
        return true;
    graph_fail(r->g, ERR_UNSUPPORTED, "%s is %" PRId64 "; only %" PRId64 " is known here", name,
               got, only);
    return false;
}

static bool known_attribute(const struct rule *rule, const char *name)
{
    for (int i = 0; i < MAX_ATTRIBUTES && rule->attributes[i]; i++)
        if (name && strcmp(rule->attributes[i], name) == 0)
            return true;
    return false;
}

static bool fits(struct replay *r, const Onnx__Node *n, const struct rule *rule)
{
    if (n->n_input < (size_t)rule->min_in || n->n_input > (size_t)rule->max_in || !n->n_output) {
        graph_fail(r->g, ERR_UNSUPPORTED, "%zu inputs and %zu outputs are not known here",
                   n->n_input, n->n_output);
        return false;
    }
    for (size_t i = 0; i < n->n_attribute; i++)
        if (!known_attribute(rule, n->attribute[i]->name)) {
            graph_fail(r->g, ERR_UNSUPPORTED, "attribute %.100s is not known here",
                       n->attribute[i]->name ? n->attribute[i]->name : "without a name");
            return false;
        }
    return true;
}

static bool sane_shapes(struct graph *g, size_t first)
{
    for (size_t i = first; i < g->values.n; i++) {
        const struct shape *s = &g->values.at[i].shape;
        int64_t count = 1;

        for (int k = 0; k < s->rank; k++)
            if (s->dim[k] < 1 || __builtin_mul_overflow(count, s->dim[k], &count) ||
                count > max_elements) {
                graph_fail(g, ERR_DATA, "makes a value of more than %" PRId64 " elements",
                           max_elements);
                return false;
            }
    }
    return true;
}

static void name_nodes(struct graph *g, size_t first, const Onnx__Node *n)
{
    graph_name_layer(g, first, n->name && *n->name ? n->name : n->output[0]);
}

static const struct rule *find_rule(const char *op)
{
    for (size_t i = 0; i < n_import_rules; i++)
        if (strcmp(import_rules[i].op, op) == 0)
            return &import_rules[i];
    for (size_t i = 0; i < n_import_view_rules; i++)
        if (strcmp(import_view_rules[i].op, op) == 0)
            return &import_view_rules[i];
    return NULL;
}

static void replay_node(struct replay *r, const Onnx__Node *n)
{
    const struct rule *rule = n->op_type ? find_rule(n->op_type) : NULL;
    size_t first_node = r->g->nodes.n, first_value = r->g->values.n;

    if (fold(r, n))
        return;
    if (n->domain && *n->domain)
        graph_fail(r->g, ERR_UNSUPPORTED, "operators of %.100s are not known here", n->domain);
    else if (!rule)
        graph_fail(r->g, ERR_UNSUPPORTED, "this operator is not known here");
    else if (fits(r, n, rule))
        rule->apply(r, n, rule);
    if (r->g->err.code == ERR_NONE && sane_shapes(r->g, first_value))
        name_nodes(r->g, first_node, n);
}

static void blame(struct replay *r, const Onnx__Node *n)
{
    if (r->g->err.code == ERR_INVALID)
        r->g->err.code = ERR_DATA;
    err_wrap(&r->g->err, "%s: node \"%.200s\" (%.100s)", onnx_path(r->m),
             n->name && *n->name ? n->name
             : n->n_output       ? n->output[0]
                                 : "",
             n->op_type ? n->op_type : "no operator");
}

static void replay_nodes(struct replay *r)
{
    for (size_t i = 0; i < onnx_nodes(r->m) && r->g->err.code == ERR_NONE; i++) {
        if (!onnx_needed(r->m, i))
            continue;
        replay_node(r, onnx_node(r->m, i));
        if (r->g->err.code != ERR_NONE)
            blame(r, onnx_node(r->m, i));
    }
}

static void check_image(struct replay *r, value_id image)
{
    const struct shape *got = graph_shape(r->g, image);
    const int64_t *want = onnx_ends_of(r->m)->dims;
    char text[SHAPE_TEXT];

    for (int i = 1; i < 4; i++)
        if (want[i] && want[i] != got->dim[i]) {
            graph_fail(r->g, ERR_DATA,
                       "%s takes images of [%" PRId64 ",%" PRId64 ",%" PRId64 "], here they are %s",
                       onnx_path(r->m), want[1], want[2], want[3], shape_text(got, text));
            return;
        }
}

/* Features as [B,D], also where the file has [B,D,1,1]. */
static value_id as_rows(struct replay *r, value_id v)
{
    const struct shape *s = graph_shape(r->g, v);
    char text[SHAPE_TEXT];

    if (s->rank == 2)
        return v;
    if (s->rank == 4 && s->dim[2] == 1 && s->dim[3] == 1)
        return g_flatten(r->g, v);
    return graph_fail(r->g, ERR_UNSUPPORTED, "has the shape %s, expected [batch,width]",
                      shape_text(s, text));
}

static value_id end_of(struct replay *r, int v, const char *what)
{
    value_id end = r->items[v].value == NO_VALUE
                       ? graph_fail(r->g, ERR_DATA, "is not computed from the image")
                       : as_rows(r, r->items[v].value);

    if (end != NO_VALUE && graph_shape(r->g, end)->dim[0] != r->batch)
        end = graph_fail(r->g, ERR_UNSUPPORTED, "has no row for each image");
    if (end == NO_VALUE)
        err_wrap(&r->g->err, "%s: %s (%.200s)", onnx_path(r->m), what,
                 onnx_value_at(r->m, v)->name);
    return end;
}

static void check_classes(struct replay *r, value_id logits, int64_t classes)
{
    int64_t got = graph_shape(r->g, logits)->dim[1];

    if (got != classes)
        graph_fail(r->g, ERR_DATA, "%s tells %" PRId64 " classes apart, the data have %" PRId64,
                   onnx_path(r->m), got, classes);
}

static void find_outputs(struct replay *r, int64_t classes, struct model_outputs *out)
{
    const struct onnx_ends *ends = onnx_ends_of(r->m);
    value_id logits, features;

    if (r->g->err.code != ERR_NONE)
        return;
    logits = end_of(r, ends->logits, "logits");
    features = logits == NO_VALUE ? NO_VALUE : end_of(r, ends->features, "features");
    if (features == NO_VALUE)
        return;
    check_classes(r, logits, classes);
    if (r->g->err.code != ERR_NONE)
        return;
    out->logits = logits;
    out->features = features;
}

void onnx_build(const struct onnx_model *m, const struct net *n, value_id image, int64_t classes,
                struct model_outputs *out)
{
    struct replay r = {.m = m, .net = n, .g = n->g, .file_batch = onnx_ends_of(m)->dims[0]};

    *out = (struct model_outputs){.logits = NO_VALUE, .features = NO_VALUE};
    if (image == NO_VALUE)
        return;
    r.items = NEW_ARRAY(struct item, onnx_values(m));
    r.batch = graph_shape(n->g, image)->dim[0];
    for (size_t i = 0; i < onnx_values(m); i++)
        r.items[i] = (struct item){NO_VALUE, NO_VALUE, NULL};
    r.items[onnx_ends_of(m)->image].value = image;
    check_image(&r, image);
    replay_nodes(&r);
    find_outputs(&r, classes, out);
    fold_free(&r);
    free(r.items);
}
