#include "worker/onnx/model.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/str.h"
#include "proto/base/vec.h"

enum {
    MAX_NODES = 10000,
    MAX_TENSORS = 10000,
    MIN_OPERATOR_SET = 11,
    MAX_OPERATOR_SET = 17
};

struct onnx_model {
    char *path;
    struct onnx_options options;
    char *features;
    Onnx__Model *file;
    VEC(struct onnx_value) values; /* by name */
    VEC(struct st_tensor) tensors; /* by name */
    struct onnx_ends ends;
    bool *needed; /* of each node */
    int *uses;    /* of each value */
};

/* Memory for messages, up to a limit: in a file of tiny messages each byte would ask for dozens. */
struct allowance {
    size_t left;
};

static void *allowed_alloc(void *arg, size_t size)
{
    struct allowance *a = arg;

    if (size > a->left)
        return NULL;
    a->left -= size;
    return mem_try_aligned(sizeof(max_align_t), size);
}

static void allowed_free(void *arg, void *p)
{
    (void)arg;
    free(p);
}

static bool unpack(struct onnx_model *m, const void *data, size_t len, struct error *err)
{
    struct allowance allowance = {3 * len + (16u << 20)};
    ProtobufCAllocator allocator = {allowed_alloc, allowed_free, &allowance};

    m->file = onnx__model__unpack(&allocator, len, data);
    return m->file ||
           err_set(err, ERR_DATA, "is not ONNX, is damaged, or would take %zu MB to read",
                   (3 * len + (16u << 20)) >> 20);
}

bool onnx_looks(const void *data, size_t len)
{
    const unsigned char *p = data;

    /* Field 1, the format's version; then field 2 to 8. */
    return len > 3 && p[0] == 0x08 && p[1] >= 3 && p[1] < 32 && p[2] >= 0x10 && p[2] < 0x48;
}

static bool check_version(const struct onnx_model *m, struct error *err)
{
    const Onnx__Model *f = m->file;
    int64_t version = 0;

    for (size_t i = 0; i < f->n_opset_import; i++)
        if (!f->opset_import[i]->domain || !*f->opset_import[i]->domain)
            version = f->opset_import[i]->version;
    if (!f->graph)
        return err_set(err, ERR_DATA, "has no graph");
    if (version < MIN_OPERATOR_SET || version > MAX_OPERATOR_SET)
        return err_set(err, ERR_UNSUPPORTED,
                       "is written in operator set %" PRId64 "; %d to %d are read", version,
                       MIN_OPERATOR_SET, MAX_OPERATOR_SET);
    if (f->graph->n_node > MAX_NODES || f->graph->n_initializer > MAX_TENSORS)
        return err_set(err, ERR_DATA, "has %zu nodes and %zu tensors; at most %d and %d are read",
                       f->graph->n_node, f->graph->n_initializer, MAX_NODES, MAX_TENSORS);
    return true;
}

/* Where a tensor's numbers are when they are not raw. */
struct listed {
    size_t n;
    const void *data;
};

static struct listed list_of(const Onnx__Tensor *t)
{
    switch (t->data_type) {
    case ONNX__ELEMENT_TYPE__FLOAT32: return (struct listed){t->n_float_data, t->float_data};
    case ONNX__ELEMENT_TYPE__DOUBLE: return (struct listed){t->n_double_data, t->double_data};
    case ONNX__ELEMENT_TYPE__INT64: return (struct listed){t->n_int64_data, t->int64_data};
    case ONNX__ELEMENT_TYPE__INT32: return (struct listed){t->n_int32_data, t->int32_data};
    default: return (struct listed){0};
    }
}

static bool read_type(const Onnx__Tensor *from, struct st_tensor *t, struct error *err)
{
    static const struct {
        Onnx__ElementType from;
        enum st_dtype to;
    } types[] = {
        {ONNX__ELEMENT_TYPE__FLOAT32, ST_F32}, {ONNX__ELEMENT_TYPE__DOUBLE, ST_F64},
        {ONNX__ELEMENT_TYPE__FLOAT16, ST_F16}, {ONNX__ELEMENT_TYPE__BFLOAT16, ST_BF16},
        {ONNX__ELEMENT_TYPE__INT64, ST_I64},   {ONNX__ELEMENT_TYPE__INT32, ST_I32},
        {ONNX__ELEMENT_TYPE__UINT8, ST_U8},    {ONNX__ELEMENT_TYPE__BOOL, ST_U8},
    };

    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (types[i].from == from->data_type) {
            t->dtype = types[i].to;
            return true;
        }
    return err_set(err, ERR_UNSUPPORTED, "has numbers of type %d, which is not known here",
                   (int)from->data_type);
}

static bool read_tensor(const Onnx__Tensor *from, const char *name, struct st_tensor *t,
                        struct error *err)
{
    struct listed list = list_of(from);
    int64_t bytes;

    *t = (struct st_tensor){.name = name};
    if (from->n_external_data)
        return err_set(err, ERR_UNSUPPORTED, "has its numbers in another file");
    if (!read_type(from, t, err))
        return false;
    if (from->n_dims > ST_MAX_RANK)
        return err_set(err, ERR_DATA, "has %zu dimensions", from->n_dims);
    t->rank = (int)from->n_dims;
    bytes = (int64_t)st_dtype_size(t->dtype);
    for (int i = 0; i < t->rank; i++) {
        t->shape[i] = from->dims[i];
        if (t->shape[i] < 0 || __builtin_mul_overflow(bytes, t->shape[i], &bytes))
            return err_set(err, ERR_DATA, "dimension %d is %" PRId64, i, t->shape[i]);
    }
    t->data = from->has_raw_data ? from->raw_data.data : list.data;
    t->bytes = from->has_raw_data ? from->raw_data.len : list.n * st_dtype_size(t->dtype);
    return t->bytes == (size_t)bytes ||
           err_set(err, ERR_DATA, "%zu bytes of numbers do not fit its shape, which takes %" PRId64,
                   t->bytes, bytes);
}

static bool add_tensor(struct onnx_model *m, const Onnx__Tensor *from, const char *name,
                       struct error *err)
{
    struct st_tensor t;

    if (!name || !*name)
        return err_set(err, ERR_DATA, "a tensor has no name");
    if (!read_tensor(from, name, &t, err))
        return err_wrap(err, "tensor \"%.200s\"", name);
    vec_push(&m->tensors, t);
    return true;
}

static bool is_op(const Onnx__Node *n, const char *op)
{
    return n->op_type && strcmp(n->op_type, op) == 0;
}

/* Initialisers, and what nodes called Constant hold. */
static bool read_tensors(struct onnx_model *m, struct error *err)
{
    const Onnx__Graph *g = m->file->graph;

    for (size_t i = 0; i < g->n_initializer; i++)
        if (!add_tensor(m, g->initializer[i], g->initializer[i]->name, err))
            return false;
    for (size_t i = 0; i < g->n_node; i++) {
        const Onnx__Node *n = g->node[i];

        for (size_t k = 0; is_op(n, "Constant") && n->n_output && k < n->n_attribute; k++)
            if (n->attribute[k]->t && !add_tensor(m, n->attribute[k]->t, n->output[0], err))
                return false;
    }
    return true;
}

static int tensor_by_name(const void *a, const void *b)
{
    return strcmp(((const struct st_tensor *)a)->name, ((const struct st_tensor *)b)->name);
}

static int value_by_name(const void *a, const void *b)
{
    return strcmp(((const struct onnx_value *)a)->name, ((const struct onnx_value *)b)->name);
}

static void sort_tensors(struct onnx_model *m)
{
    if (m->tensors.n)
        qsort(m->tensors.at, m->tensors.n, sizeof(*m->tensors.at), tensor_by_name);
}

static const struct st_tensor *find_tensor(const struct onnx_model *m, const char *name)
{
    const struct st_tensor key = {.name = name};

    return m->tensors.n ? bsearch(&key, m->tensors.at, m->tensors.n, sizeof(key), tensor_by_name)
                        : NULL;
}

static void insert_tensor(struct onnx_model *m, struct st_tensor t)
{
    size_t at = m->tensors.n;

    vec_push(&m->tensors, t);
    for (; at > 0 && tensor_by_name(&m->tensors.at[at - 1], &t) > 0; at--)
        m->tensors.at[at] = m->tensors.at[at - 1];
    m->tensors.at[at] = t;
}

/* A node that gives a tensor of the file again, under another name. */
static bool copies(const Onnx__Node *n, const struct st_tensor *from)
{
    if (is_op(n, "Identity"))
        return true;
    return is_op(n, "Cast") && from->dtype == ST_F32 && n->n_attribute == 1 &&
           n->attribute[0]->i == ONNX__ELEMENT_TYPE__FLOAT32;
}

/* Copies become tensors of their own, in the order of the nodes, so that copies of copies do too. */
static void copy_tensors(struct onnx_model *m)
{
    const Onnx__Graph *g = m->file->graph;

    for (size_t i = 0; i < g->n_node; i++) {
        const Onnx__Node *n = g->node[i];
        const struct st_tensor *from;
        struct st_tensor copy;

        if (n->n_input != 1 || n->n_output != 1 || !*n->output[0])
            continue;
        from = find_tensor(m, n->input[0]);
        if (!from || !copies(n, from))
            continue;
        copy = *from;
        copy.name = n->output[0];
        insert_tensor(m, copy);
    }
}

static void add_value(struct onnx_model *m, const char *name, int node)
{
    if (name && *name)
        vec_push(&m->values, (struct onnx_value){name, node, NULL});
}

int onnx_find(const struct onnx_model *m, const char *name)
{
    const struct onnx_value key = {.name = name}, *v;

    v = m->values.n ? bsearch(&key, m->values.at, m->values.n, sizeof(key), value_by_name) : NULL;
    return v ? (int)(v - m->values.at) : -1;
}

/* Every name belongs to one input, tensor or output of a node. */
static bool index_values(struct onnx_model *m, struct error *err)
{
    const Onnx__Graph *g = m->file->graph;

    for (size_t i = 0; i < g->n_initializer; i++)
        add_value(m, g->initializer[i]->name, -1);
    for (size_t i = 0; i < g->n_input; i++)
        if (!g->input[i]->name || !find_tensor(m, g->input[i]->name))
            add_value(m, g->input[i]->name, -1);
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_output; k++)
            add_value(m, g->node[i]->output[k], (int)i);
    if (m->values.n)
        qsort(m->values.at, m->values.n, sizeof(*m->values.at), value_by_name);
    for (size_t i = 0; i < m->values.n; i++) {
        if (i && strcmp(m->values.at[i - 1].name, m->values.at[i].name) == 0)
            return err_set(err, ERR_DATA, "two values are called \"%.200s\"", m->values.at[i].name);
        m->values.at[i].tensor = find_tensor(m, m->values.at[i].name);
    }
    return true;
}

/* The first input that is no tensor. */
static bool find_image(struct onnx_model *m, struct error *err)
{
    const Onnx__Graph *g = m->file->graph;
    size_t i = 0;

    while (i < g->n_input && (!g->input[i]->name || find_tensor(m, g->input[i]->name)))
        i++;
    if (i == g->n_input)
        return err_set(err, ERR_DATA, "has no input");
    m->ends.image = onnx_find(m, g->input[i]->name);
    if (!g->input[i]->type || !g->input[i]->type->tensor_type ||
        !g->input[i]->type->tensor_type->shape || g->input[i]->type->tensor_type->shape->n_dim != 4)
        return err_set(err, ERR_UNSUPPORTED, "input \"%.200s\" is no batch of images [N,3,H,W]",
                       g->input[i]->name);
    for (size_t k = 0; k < 4; k++) {
        const Onnx__Dimension *d = g->input[i]->type->tensor_type->shape->dim[k];

        if (d->kind_case == ONNX__DIMENSION__KIND_DIM_VALUE && d->dim_value > 0)
            m->ends.dims[k] = d->dim_value;
    }
    return true;
}

static const Onnx__Node *maker(const struct onnx_model *m, int value)
{
    return value >= 0 && m->values.at[value].node >= 0
               ? m->file->graph->node[m->values.at[value].node]
               : NULL;
}

/* The output called "logits", else the first; before a softmax, if the file ends with one. */
static bool find_logits(struct onnx_model *m, struct error *err)
{
    const Onnx__Graph *g = m->file->graph;
    const char *name = NULL;
    const Onnx__Node *n;

    for (size_t i = g->n_output; i-- > 0;)
        if (g->output[i]->name && (i == 0 || strcmp(g->output[i]->name, "logits") == 0)) {
            name = g->output[i]->name;
            if (strcmp(name, "logits") == 0)
                break;
        }
    m->ends.logits = name ? onnx_find(m, name) : -1;
    if (m->ends.logits < 0)
        return err_set(err, ERR_DATA, "its output \"%.200s\" is made by no node", name ? name : "");
    while ((n = maker(m, m->ends.logits)) && n->n_input == 1 &&
           (is_op(n, "Softmax") || is_op(n, "LogSoftmax") || is_op(n, "Identity")) &&
           onnx_find(m, n->input[0]) >= 0 &&
           onnx_value_at(m, onnx_find(m, n->input[0]))->node < m->values.at[m->ends.logits].node)
        m->ends.logits = onnx_find(m, n->input[0]);
    return true;
}

/* Marks the node that makes a value. Inputs lie before it: one walk from the end marks all. */
static void need(struct onnx_model *m, int value)
{
    if (value >= 0 && m->values.at[value].node >= 0)
        m->needed[m->values.at[value].node] = true;
}

static void mark_needed(struct onnx_model *m)
{
    const Onnx__Graph *g = m->file->graph;

    for (size_t i = g->n_node; i-- > 0;)
        for (size_t k = 0; m->needed[i] && k < g->node[i]->n_input; k++)
            need(m, onnx_find(m, g->node[i]->input[k]));
}

static void count_uses(struct onnx_model *m)
{
    const Onnx__Graph *g = m->file->graph;

    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; m->needed[i] && k < g->node[i]->n_input; k++) {
            int v = onnx_find(m, g->node[i]->input[k]);

            if (v >= 0)
                m->uses[v]++;
        }
}

/* A product with weights that are in the file. */
static bool is_linear(const struct onnx_model *m, const Onnx__Node *n)
{
    return (is_op(n, "Gemm") || is_op(n, "MatMul")) && n->n_input >= 2 &&
           find_tensor(m, n->input[1]);
}

static bool find_features(struct onnx_model *m, struct error *err)
{
    const Onnx__Graph *g = m->file->graph;
    const char *name = m->features;

    for (size_t i = g->n_node; !name && i-- > 0;)
        if (m->needed[i] && is_linear(m, g->node[i]))
            name = g->node[i]->input[0];
    if (!name)
        return err_set(err, ERR_UNSUPPORTED,
                       "has no Gemm or MatMul whose input could be the features; name the value");
    m->ends.features = onnx_find(m, name);
    if (m->ends.features < 0 || m->values.at[m->ends.features].tensor)
        return err_set(err, m->features ? ERR_INVALID : ERR_DATA,
                       "has no value \"%.200s\" for the features", name);
    if (m->ends.features == m->ends.logits)
        return err_set(err, ERR_INVALID, "\"%.200s\" is the logits, not the features", name);
    return true;
}

static bool read_all(struct onnx_model *m, const void *data, size_t len, struct error *err)
{
    if (!unpack(m, data, len, err) || !check_version(m, err) || !read_tensors(m, err))
        return false;
    sort_tensors(m);
    copy_tensors(m);
    if (!index_values(m, err) || !find_image(m, err) || !find_logits(m, err))
        return false;
    m->needed = NEW_ARRAY(bool, m->file->graph->n_node + 1);
    m->uses = NEW_ARRAY(int, m->values.n + 1);
    need(m, m->ends.logits);
    mark_needed(m);
    if (!find_features(m, err))
        return false;
    need(m, m->ends.features);
    mark_needed(m);
    count_uses(m);
    return true;
}

struct onnx_model *onnx_open_memory(const void *data, size_t len, const char *name,
                                    const struct onnx_options *options, struct error *err)
{
    struct onnx_model *m = NEW(struct onnx_model);

    m->path = str_dup(name);
    m->options = *options;
    m->features = options->features ? str_dup(options->features) : NULL;
    if (read_all(m, data, len, err))
        return m;
    err_wrap(err, "%s", name);
    onnx_close(m);
    return NULL;
}

struct onnx_model *onnx_open(const char *path, const struct onnx_options *options,
                             struct error *err)
{
    struct onnx_model *m;
    struct file_map file;

    if (!file_map(&file, path, err)) {
        if (err->code == ERR_NOT_FOUND)
            err->code = ERR_DATA;
        return NULL;
    }
    m = onnx_open_memory(file.data, file.len, path, options, err);
    file_unmap(&file);
    return m;
}

void onnx_close(struct onnx_model *m)
{
    if (!m)
        return;
    if (m->file)
        onnx__model__free_unpacked(m->file, NULL);
    vec_free(&m->values);
    vec_free(&m->tensors);
    free(m->needed);
    free(m->uses);
    free(m->features);
    free(m->path);
    free(m);
}

const char *onnx_path(const struct onnx_model *m)
{
    return m->path;
}

bool onnx_as_written(const struct onnx_model *m)
{
    return m->options.as_written;
}

const struct st_tensor *onnx_tensors(const struct onnx_model *m, size_t *n)
{
    *n = m->tensors.n;
    return m->tensors.at;
}

const char *onnx_property(const struct onnx_model *m, const char *key)
{
    for (size_t i = 0; i < m->file->n_metadata_props; i++) {
        const Onnx__Property *p = m->file->metadata_props[i];

        if (p->key && p->value && strcmp(p->key, key) == 0)
            return p->value;
    }
    return NULL;
}

size_t onnx_nodes(const struct onnx_model *m)
{
    return m->file->graph->n_node;
}

const Onnx__Node *onnx_node(const struct onnx_model *m, size_t i)
{
    return m->file->graph->node[i];
}

bool onnx_needed(const struct onnx_model *m, size_t i)
{
    return m->needed[i];
}

size_t onnx_values(const struct onnx_model *m)
{
    return m->values.n;
}

const struct onnx_value *onnx_value_at(const struct onnx_model *m, int v)
{
    return &m->values.at[v];
}

int onnx_uses(const struct onnx_model *m, int v)
{
    return m->uses[v];
}

const struct onnx_ends *onnx_ends_of(const struct onnx_model *m)
{
    return &m->ends;
}
