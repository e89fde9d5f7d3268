#include "worker/ckpt/pth.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"
#include "worker/ckpt/pickle.h"
#include "worker/ckpt/zip.h"

struct pth {
    struct zip zip;
    struct pickle *pickle;
    char *root; /* the folder of all members, with its slash */
    VEC(struct st_tensor) tensors;
    VEC(void *) copies; /* of tensors that do not lie in C order */
    size_t bytes, copied;
};

static const struct pickle_global allowed[] = {
    {"collections.OrderedDict", PICKLE_MAKES_DICT},
    {"torch._utils._rebuild_tensor_v2", PICKLE_CALLED},
    {"torch._utils._rebuild_parameter", PICKLE_CALLED},
    {"torch.DoubleStorage", PICKLE_NAMED},
    {"torch.FloatStorage", PICKLE_NAMED},
    {"torch.HalfStorage", PICKLE_NAMED},
    {"torch.BFloat16Storage", PICKLE_NAMED},
    {"torch.LongStorage", PICKLE_NAMED},
    {"torch.IntStorage", PICKLE_NAMED},
    {"torch.ByteStorage", PICKLE_NAMED},
    {"torch.BoolStorage", PICKLE_NAMED},
    /* How a score comes that was computed with numpy. */
    {"numpy.core.multiarray.scalar", PICKLE_CALLED},
    {"numpy._core.multiarray.scalar", PICKLE_CALLED},
    {"numpy.dtype", PICKLE_CALLED},
    {"_codecs.encode", PICKLE_CALLED},
};

static const struct {
    const char *storage;
    enum st_dtype dtype;
} types[] = {
    {"torch.DoubleStorage", ST_F64}, {"torch.FloatStorage", ST_F32},
    {"torch.HalfStorage", ST_F16},   {"torch.BFloat16Storage", ST_BF16},
    {"torch.LongStorage", ST_I64},   {"torch.IntStorage", ST_I32},
    {"torch.ByteStorage", ST_U8},    {"torch.BoolStorage", ST_U8},
};

static const struct zip_member *member(const struct pth *p, const char *name)
{
    size_t root = strlen(p->root);

    for (size_t i = 0; i < p->zip.members.n; i++) {
        const struct zip_member *m = &p->zip.members.at[i];

        if (strncmp(m->name, p->root, root) == 0 && strcmp(m->name + root, name) == 0)
            return m;
    }
    return NULL;
}

/* The arguments of a call of `name`; NULL when v is something else. */
static const struct pickle_value *arguments(const struct pickle_value *v, const char *name)
{
    return v && v->kind == PICKLE_CALL && strcmp(v->items.at[0]->text, name) == 0 ? v->items.at[1]
                                                                                  : NULL;
}

/* _rebuild_tensor_v2(storage, offset, shape, strides, ...), perhaps inside of
 * _rebuild_parameter(tensor, ...). NULL when v is no tensor. */
static const struct pickle_value *tensor_arguments(const struct pickle_value *v)
{
    const struct pickle_value *parameter = arguments(v, "torch._utils._rebuild_parameter");

    return arguments(parameter ? pickle_item(parameter, 0) : v, "torch._utils._rebuild_tensor_v2");
}

static bool whole_numbers(const struct pickle_value *v, int64_t out[ST_MAX_RANK], int *n,
                          struct error *err)
{
    if (!v || v->kind != PICKLE_TUPLE || v->items.n > ST_MAX_RANK)
        return err_set(err, ERR_DATA, "expected a shape of at most %d dimensions", ST_MAX_RANK);
    for (size_t i = 0; i < v->items.n; i++) {
        out[i] = v->items.at[i]->i;
        if (v->items.at[i]->kind != PICKLE_INT || out[i] < 0)
            return err_set(err, ERR_DATA, "dimension %zu is no number of 0 or more", i);
    }
    *n = (int)v->items.n;
    return true;
}

/* Where elements lie in their storage. */
struct view {
    const unsigned char *storage;
    int64_t elements, offset, stride[ST_MAX_RANK];
};

/* ("storage", type, key, device, elements): the member data/KEY. */
static bool read_storage(const struct pth *p, const struct pickle_value *v, struct st_tensor *t,
                         struct view *w, struct error *err)
{
    const struct pickle_value *id = v && v->kind == PICKLE_EXTERN ? v->items.at[0] : NULL;
    const struct pickle_value *type = pickle_item(id, 1), *key = pickle_item(id, 2);
    const struct pickle_value *elements = pickle_item(id, 4);
    const struct zip_member *m;
    char *name;
    size_t i = 0;

    if (!type || type->kind != PICKLE_GLOBAL || !pickle_is_text(key) || !elements ||
        elements->kind != PICKLE_INT)
        return err_set(err, ERR_DATA, "has no storage");
    while (i < ARRAY_LEN(types) && strcmp(types[i].storage, type->text) != 0)
        i++;
    if (i == ARRAY_LEN(types))
        return err_set(err, ERR_DATA, "%s is no storage", type->text);
    t->dtype = types[i].dtype;
    name = str_fmt("data/%s", key->text);
    m = member(p, name);
    free(name);
    if (!m || elements->i < 0 || (uint64_t)elements->i > m->len / st_dtype_size(t->dtype))
        return err_set(err, ERR_DATA, "%" PRId64 " elements in %zu bytes of data/%.100s",
                       elements->i, m ? m->len : 0, key->text);
    w->storage = m->data;
    w->elements = elements->i;
    return true;
}

/* Every element lies in the storage, and no two are the same one more often than there are elements. */
static bool check_view(const struct st_tensor *t, const struct view *w, int64_t *count,
                       struct error *err)
{
    int64_t last = w->offset, step;
    bool inside = true;

    *count = 1;
    for (int i = 0; i < t->rank; i++) {
        inside = inside && !__builtin_mul_overflow(*count, t->shape[i], count);
        inside = inside && (t->shape[i] == 0 ||
                            (!__builtin_mul_overflow(t->shape[i] - 1, w->stride[i], &step) &&
                             !__builtin_add_overflow(last, step, &last)));
    }
    if (inside && *count == 0)
        return true;
    return (inside && *count <= w->elements && last < w->elements) ||
           err_set(err, ERR_DATA, "reaches beyond the %" PRId64 " elements of its storage",
                   w->elements);
}

static bool in_c_order(const struct st_tensor *t, const struct view *w)
{
    int64_t step = 1;

    for (int i = t->rank - 1; i >= 0; i--) {
        if (t->shape[i] != 1 && w->stride[i] != step)
            return false;
        step *= t->shape[i];
    }
    return true;
}

/* A copy in C order. */
static void *copy_of(const struct st_tensor *t, const struct view *w, int64_t count)
{
    size_t size = st_dtype_size(t->dtype);
    unsigned char *copy = mem_calloc((size_t)count, size);
    int64_t index[ST_MAX_RANK] = {0};

    for (int64_t k = 0; k < count; k++) {
        int64_t at = w->offset;

        for (int i = 0; i < t->rank; i++)
            at += index[i] * w->stride[i];
        memcpy(copy + (size_t)k * size, w->storage + (size_t)at * size, size);
        for (int i = t->rank - 1; i >= 0 && ++index[i] == t->shape[i]; i--)
            index[i] = 0;
    }
    return copy;
}

static bool read_tensor(struct pth *p, const struct pickle_value *args, struct st_tensor *t,
                        struct error *err)
{
    const struct pickle_value *offset = pickle_item(args, 1);
    struct view w = {0};
    int64_t count;
    int rank;

    if (!read_storage(p, pickle_item(args, 0), t, &w, err) ||
        !whole_numbers(pickle_item(args, 2), t->shape, &t->rank, err) ||
        !whole_numbers(pickle_item(args, 3), w.stride, &rank, err))
        return false;
    if (rank != t->rank || !offset || offset->kind != PICKLE_INT || offset->i < 0)
        return err_set(err, ERR_DATA, "%d dimensions, %d strides, and no place to begin at",
                       t->rank, rank);
    w.offset = offset->i;
    if (!check_view(t, &w, &count, err))
        return false;
    t->bytes = (size_t)count * st_dtype_size(t->dtype);
    if (!count || in_c_order(t, &w)) {
        t->data = count ? w.storage + (size_t)w.offset * st_dtype_size(t->dtype) : w.storage;
        return true;
    }
    p->copied += t->bytes;
    if (p->copied > p->bytes)
        return err_set(err, ERR_DATA, "shares its storage with too many others");
    t->data = copy_of(t, &w, count);
    vec_push(&p->copies, (void *)(uintptr_t)t->data);
    return true;
}

static bool has_tensors(const struct pickle_value *v)
{
    for (size_t i = 0; v && v->kind == PICKLE_DICT && i < v->items.n; i += 2)
        if (tensor_arguments(v->items.at[i + 1]))
            return true;
    return false;
}

static const struct pickle_value *find_state(const struct pickle_value *root, struct error *err)
{
    static const char *const keys[] = {"model", "state_dict", "model_state_dict"};

    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (has_tensors(pickle_get(root, keys[i])))
            return pickle_get(root, keys[i]);
    if (has_tensors(root))
        return root;
    err_set(err, ERR_DATA,
            "there is no state_dict: expected a dict of tensors, or one under \"model\", "
            "\"state_dict\" or \"model_state_dict\"; the file holds %s",
            pickle_kind_name(root->kind));
    return NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct st_tensor *)a)->name, ((const struct st_tensor *)b)->name);
}

static bool read_state(struct pth *p, const struct pickle_value *state, struct error *err)
{
    for (size_t i = 0; i < state->items.n; i += 2) {
        const struct pickle_value *name = state->items.at[i];
        const struct pickle_value *args = tensor_arguments(state->items.at[i + 1]);
        struct st_tensor t = {.name = name->text};

        if (!args)
            continue;
        if (!pickle_is_text(name))
            return err_set(err, ERR_DATA, "tensor %zu has no name", i / 2);
        if (!read_tensor(p, args, &t, err))
            return err_wrap(err, "tensor \"%.200s\"", name->text);
        vec_push(&p->tensors, t);
    }
    qsort(p->tensors.at, p->tensors.n, sizeof(*p->tensors.at), by_name);
    for (size_t i = 1; i < p->tensors.n; i++)
        if (by_name(&p->tensors.at[i - 1], &p->tensors.at[i]) == 0)
            return err_set(err, ERR_DATA, "two tensors are called %.200s", p->tensors.at[i].name);
    return true;
}

/* FOLDER/data.pkl gives the folder. */
static bool find_root(struct pth *p, struct error *err)
{
    static const char pickle[] = "data.pkl";

    for (size_t i = 0; !p->root && i < p->zip.members.n; i++) {
        const char *name = p->zip.members.at[i].name, *slash = strchr(name, '/');

        if (slash && strcmp(slash + 1, pickle) == 0)
            p->root = str_ndup(name, (size_t)(slash + 1 - name));
    }
    return p->root ||
           err_set(err, ERR_DATA, "the archive has no %s: torch.save did not write it", pickle);
}

static bool read_all(struct pth *p, const void *data, size_t len, struct error *err)
{
    const struct zip_member *m, *order;
    const struct pickle_value *state;

    if (!zip_open(&p->zip, data, len, err) || !find_root(p, err))
        return false;
    order = member(p, "byteorder");
    if (order && (order->len < 6 || memcmp(order->data, "little", 6) != 0))
        return err_set(err, ERR_DATA, "its numbers are not little endian");
    m = member(p, "data.pkl");
    p->pickle = pickle_read(m->data, m->len, allowed, ARRAY_LEN(allowed), err);
    state = p->pickle ? find_state(pickle_root(p->pickle), err) : NULL;
    return state && read_state(p, state, err);
}

struct pth *pth_open_memory(const void *data, size_t len, const char *name, struct error *err)
{
    struct pth *p = NEW(struct pth);

    p->bytes = len;
    if (read_all(p, data, len, err))
        return p;
    err_wrap(err, "%s", name);
    pth_close(p);
    return NULL;
}

void pth_close(struct pth *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->copies.n; i++)
        free(p->copies.at[i]);
    vec_free(&p->copies);
    vec_free(&p->tensors);
    pickle_free(p->pickle);
    zip_close(&p->zip);
    free(p->root);
    free(p);
}

const struct st_tensor *pth_tensors(const struct pth *p, size_t *n)
{
    *n = p->tensors.n;
    return p->tensors.at;
}
