#include "worker/ckpt/pickle.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    MAX_BYTES = 64 << 20,
    MAX_VALUES = 1 << 20,
    MAX_MEMO = 1 << 20,
    MAX_PROTOCOL = 5
};

struct pickle {
    VEC(struct pickle_value *) values;
    const struct pickle_value *root;
};

struct machine {
    struct pickle *p;
    const unsigned char *start, *at, *end;
    const struct pickle_global *allowed;
    size_t n_allowed;
    VEC(struct pickle_value *) stack, memo;
    VEC(size_t) marks; /* heights of the stack */
    bool stopped;
};

const char *pickle_kind_name(enum pickle_kind kind)
{
    static const char *const names[PICKLE_KIND_COUNT] = {
        "None",   "a number", "a number",           "a text", "a tuple",
        "a list", "a dict",   "a name of Python's", "a call", "something outside"};

    return names[kind];
}

static bool take(struct machine *m, size_t n, const unsigned char **out, struct error *err)
{
    if (n > (size_t)(m->end - m->at))
        return err_set(err, ERR_DATA, "%zu bytes are needed, %td are left", n, m->end - m->at);
    *out = m->at;
    m->at += n;
    return true;
}

/* A little-endian number of n bytes. */
static bool take_number(struct machine *m, size_t n, uint64_t *out, struct error *err)
{
    const unsigned char *p = NULL;

    if (!take(m, n, &p, err))
        return false;
    *out = 0;
    for (size_t i = 0; i < n; i++)
        *out |= (uint64_t)p[i] << (8 * i);
    return true;
}

/* A new value on the stack; NULL when there are too many. */
static struct pickle_value *push_new(struct machine *m, enum pickle_kind kind, struct error *err)
{
    struct pickle_value *v;

    if (m->p->values.n >= MAX_VALUES) {
        err_set(err, ERR_DATA, "more than %d values", MAX_VALUES);
        return NULL;
    }
    v = NEW(struct pickle_value);
    v->kind = kind;
    vec_push(&m->p->values, v);
    vec_push(&m->stack, v);
    return v;
}

/* Values above the last mark. */
static size_t height(const struct machine *m)
{
    return m->stack.n - (m->marks.n ? m->marks.at[m->marks.n - 1] : 0);
}

static struct pickle_value *pop(struct machine *m, struct error *err)
{
    if (height(m))
        return m->stack.at[--m->stack.n];
    err_set(err, ERR_DATA, "the stack is empty");
    return NULL;
}

static struct pickle_value *top(struct machine *m, struct error *err)
{
    if (height(m))
        return m->stack.at[m->stack.n - 1];
    err_set(err, ERR_DATA, "the stack is empty");
    return NULL;
}

static bool wrong(const struct pickle_value *v, enum pickle_kind want, struct error *err)
{
    return err_set(err, ERR_DATA, "expected %s, got %s", pickle_kind_name(want),
                   pickle_kind_name(v->kind));
}

static bool push_int(struct machine *m, int64_t i, struct error *err)
{
    struct pickle_value *v = push_new(m, PICKLE_INT, err);

    if (v)
        v->i = i;
    return v;
}

static bool push_text(struct machine *m, const unsigned char *text, size_t n, struct error *err)
{
    struct pickle_value *v = push_new(m, PICKLE_TEXT, err);

    if (!v)
        return false;
    v->text = NEW_ARRAY(char, n + 1);
    if (n)
        memcpy(v->text, text, n);
    v->len = n;
    return true;
}

/* What follows a text's or number's opcode is told by `arg`: the bytes of the number that comes first. */
struct opcode {
    const char *name;
    bool (*run)(struct machine *m, int arg, struct error *err);
    int arg;
};

static bool op_protocol(struct machine *m, int arg, struct error *err)
{
    uint64_t version = 0;

    return take_number(m, (size_t)arg, &version, err) &&
           (version <= MAX_PROTOCOL ||
            err_set(err, ERR_DATA, "protocol %" PRIu64 " is not known here", version));
}

static bool op_skip(struct machine *m, int arg, struct error *err)
{
    const unsigned char *unused = NULL;

    return take(m, (size_t)arg, &unused, err);
}

static bool op_stop(struct machine *m, int arg, struct error *err)
{
    (void)arg;
    m->p->root = pop(m, err);
    m->stopped = true;
    return m->p->root;
}

static bool op_mark(struct machine *m, int arg, struct error *err)
{
    (void)arg;
    (void)err;
    vec_push(&m->marks, m->stack.n);
    return true;
}

static bool op_pop(struct machine *m, int arg, struct error *err)
{
    (void)arg;
    return pop(m, err);
}

static bool op_none(struct machine *m, int arg, struct error *err)
{
    (void)arg;
    return push_new(m, PICKLE_NONE, err);
}

static bool op_bool(struct machine *m, int arg, struct error *err)
{
    return push_int(m, arg, err);
}

static bool op_unsigned(struct machine *m, int arg, struct error *err)
{
    uint64_t v = 0;

    return take_number(m, (size_t)arg, &v, err) && push_int(m, (int64_t)v, err);
}

static bool op_int32(struct machine *m, int arg, struct error *err)
{
    uint64_t v = 0;

    return take_number(m, (size_t)arg, &v, err) && push_int(m, (int32_t)(uint32_t)v, err);
}

/* A signed number of as many bytes as the first says. */
static bool op_long(struct machine *m, int arg, struct error *err)
{
    uint64_t n = 0, v = 0;

    if (!take_number(m, (size_t)arg, &n, err))
        return false;
    if (n > sizeof(v))
        return err_set(err, ERR_DATA, "a number of %" PRIu64 " bytes", n);
    if (!take_number(m, (size_t)n, &v, err))
        return false;
    if (n && n < sizeof(v) && v >> (8 * n - 1))
        v |= UINT64_MAX << 8 * n;
    return push_int(m, (int64_t)v, err);
}

/* Big endian, unlike all the others. */
static bool op_real(struct machine *m, int arg, struct error *err)
{
    struct pickle_value *v;
    const unsigned char *p = NULL;
    uint64_t bits = 0;

    if (!take(m, (size_t)arg, &p, err) || !(v = push_new(m, PICKLE_REAL, err)))
        return false;
    for (int i = 0; i < arg; i++)
        bits = bits << 8 | p[i];
    memcpy(&v->real, &bits, sizeof(v->real));
    return true;
}

static bool op_text(struct machine *m, int arg, struct error *err)
{
    const unsigned char *text = NULL;
    uint64_t n = 0;

    return take_number(m, (size_t)arg, &n, err) && take(m, (size_t)n, &text, err) &&
           push_text(m, text, (size_t)n, err);
}

static bool op_empty(struct machine *m, int arg, struct error *err)
{
    return push_new(m, (enum pickle_kind)arg, err);
}

/* The last n values become a tuple. */
static bool gather_tuple(struct machine *m, size_t n, struct error *err)
{
    struct pickle_value **from, *tuple;

    if (n > height(m))
        return err_set(err, ERR_DATA, "a tuple of %zu, with %zu values on the stack", n, height(m));
    tuple = push_new(m, PICKLE_TUPLE, err);
    if (!tuple)
        return false;
    from = m->stack.at + m->stack.n - 1 - n;
    for (size_t i = 0; i < n; i++)
        vec_push(&tuple->items, from[i]);
    m->stack.n -= n;
    m->stack.at[m->stack.n - 1] = tuple;
    return true;
}

static bool op_tuple_of(struct machine *m, int arg, struct error *err)
{
    return gather_tuple(m, (size_t)arg, err);
}

static bool pop_mark(struct machine *m, size_t *n, struct error *err)
{
    if (!m->marks.n)
        return err_set(err, ERR_DATA, "there is no mark");
    *n = height(m);
    m->marks.n--;
    return true;
}

static bool op_tuple(struct machine *m, int arg, struct error *err)
{
    size_t n = 0;

    (void)arg;
    return pop_mark(m, &n, err) && gather_tuple(m, n, err);
}

/* Appends the last n values to the list or dict below them. */
static bool extend(struct machine *m, size_t n, enum pickle_kind kind, struct error *err)
{
    struct pickle_value *to;

    if (height(m) < n + 1)
        return err_set(err, ERR_DATA, "the stack is empty");
    to = m->stack.at[m->stack.n - 1 - n];
    if (to->kind != kind)
        return wrong(to, kind, err);
    if (kind == PICKLE_DICT && n % 2)
        return err_set(err, ERR_DATA, "a key without a value");
    for (size_t i = m->stack.n - n; i < m->stack.n; i++)
        vec_push(&to->items, m->stack.at[i]);
    m->stack.n -= n;
    return true;
}

static bool op_append(struct machine *m, int arg, struct error *err)
{
    (void)arg;
    return extend(m, 1, PICKLE_LIST, err);
}

static bool op_set_item(struct machine *m, int arg, struct error *err)
{
    (void)arg;
    return extend(m, 2, PICKLE_DICT, err);
}

static bool op_extend(struct machine *m, int arg, struct error *err)
{
    size_t n = 0;

    return pop_mark(m, &n, err) && extend(m, n, (enum pickle_kind)arg, err);
}

static bool remember(struct machine *m, uint64_t place, struct error *err)
{
    struct pickle_value *v = top(m, err);

    if (!v)
        return false;
    if (place >= MAX_MEMO)
        return err_set(err, ERR_DATA, "place %" PRIu64 " of the memo, of at most %d", place,
                       MAX_MEMO);
    while (m->memo.n <= place)
        vec_push(&m->memo, NULL);
    m->memo.at[place] = v;
    return true;
}

static bool op_put(struct machine *m, int arg, struct error *err)
{
    uint64_t place = 0;

    return take_number(m, (size_t)arg, &place, err) && remember(m, place, err);
}

static bool op_memoize(struct machine *m, int arg, struct error *err)
{
    (void)arg;
    return remember(m, m->memo.n, err);
}

static bool op_get(struct machine *m, int arg, struct error *err)
{
    uint64_t place = 0;

    if (!take_number(m, (size_t)arg, &place, err))
        return false;
    if (place >= m->memo.n || !m->memo.at[place])
        return err_set(err, ERR_DATA, "place %" PRIu64 " of the memo is empty", place);
    vec_push(&m->stack, m->memo.at[place]);
    return true;
}

static bool push_global(struct machine *m, const char *module, int module_len, const char *name,
                        int name_len, struct error *err)
{
    struct pickle_value *v = push_new(m, PICKLE_GLOBAL, err);

    if (!v)
        return false;
    v->text = str_fmt("%.*s.%.*s", module_len, module, name_len, name);
    v->len = strlen(v->text);
    for (size_t i = 0; i < m->n_allowed; i++)
        if (strcmp(m->allowed[i].name, v->text) == 0)
            v->global = &m->allowed[i];
    return v->global ||
           err_set(err, ERR_DATA, "uses %.200s, which is not allowed here; only tensors are read",
                   v->text);
}

static bool take_line(struct machine *m, const char **text, int *n, struct error *err)
{
    const unsigned char *end = memchr(m->at, '\n', (size_t)(m->end - m->at));

    if (!end || end - m->at > 1000)
        return err_set(err, ERR_DATA, "a name without an end");
    *text = (const char *)m->at;
    *n = (int)(end - m->at);
    m->at = end + 1;
    return true;
}

static bool op_global(struct machine *m, int arg, struct error *err)
{
    const char *module = "", *name = "";
    int module_len = 0, name_len = 0;

    (void)arg;
    return take_line(m, &module, &module_len, err) && take_line(m, &name, &name_len, err) &&
           push_global(m, module, module_len, name, name_len, err);
}

static bool op_stack_global(struct machine *m, int arg, struct error *err)
{
    const struct pickle_value *name = pop(m, err), *module = name ? pop(m, err) : NULL;

    (void)arg;
    if (!module)
        return false;
    if (!pickle_is_text(name) || !pickle_is_text(module) || name->len + module->len > 2000)
        return err_set(err, ERR_DATA, "expected a module and a name");
    return push_global(m, module->text, (int)module->len, name->text, (int)name->len, err);
}

static bool op_reduce(struct machine *m, int arg, struct error *err)
{
    const struct pickle_value *args = pop(m, err), *f = args ? pop(m, err) : NULL;
    struct pickle_value *v;

    (void)arg;
    if (!f)
        return false;
    if (f->kind != PICKLE_GLOBAL)
        return wrong(f, PICKLE_GLOBAL, err);
    if (args->kind != PICKLE_TUPLE)
        return wrong(args, PICKLE_TUPLE, err);
    if (f->global->use == PICKLE_NAMED || (f->global->use == PICKLE_MAKES_DICT && args->items.n))
        return err_set(err, ERR_DATA, "calls %s with %zu arguments", f->text, args->items.n);
    v = push_new(m, f->global->use == PICKLE_CALLED ? PICKLE_CALL : PICKLE_DICT, err);
    if (v && v->kind == PICKLE_CALL) {
        vec_push(&v->items, f);
        vec_push(&v->items, args);
    }
    return v;
}

/* Attributes of a dict, such as the versions that PyTorch notes, or of what was called: nothing that is read
 * here. */
static bool op_build(struct machine *m, int arg, struct error *err)
{
    const struct pickle_value *attributes = pop(m, err), *v = attributes ? top(m, err) : NULL;

    (void)arg;
    return v && (v->kind == PICKLE_DICT || v->kind == PICKLE_CALL || wrong(v, PICKLE_DICT, err));
}

static bool op_extern(struct machine *m, int arg, struct error *err)
{
    const struct pickle_value *id = pop(m, err);
    struct pickle_value *v = id ? push_new(m, PICKLE_EXTERN, err) : NULL;

    (void)arg;
    if (v)
        vec_push(&v->items, id);
    return v;
}

/* Codes of Python's pickletools, protocols 2 to 5; those that build objects or read text forms are not
 * among them. */
static const struct opcode opcodes[256] = {
    [0x80] = {"PROTO", op_protocol, 1},
    [0x95] = {"FRAME", op_skip, 8},
    ['.'] = {"STOP", op_stop, 0},
    ['('] = {"MARK", op_mark, 0},
    ['0'] = {"POP", op_pop, 0},
    ['N'] = {"NONE", op_none, 0},
    [0x88] = {"NEWTRUE", op_bool, 1},
    [0x89] = {"NEWFALSE", op_bool, 0},
    ['J'] = {"BININT", op_int32, 4},
    ['K'] = {"BININT1", op_unsigned, 1},
    ['M'] = {"BININT2", op_unsigned, 2},
    [0x8a] = {"LONG1", op_long, 1},
    ['G'] = {"BINFLOAT", op_real, 8},
    ['X'] = {"BINUNICODE", op_text, 4},
    [0x8c] = {"SHORT_BINUNICODE", op_text, 1},
    ['T'] = {"BINSTRING", op_text, 4},
    ['U'] = {"SHORT_BINSTRING", op_text, 1},
    ['B'] = {"BINBYTES", op_text, 4},
    ['C'] = {"SHORT_BINBYTES", op_text, 1},
    [')'] = {"EMPTY_TUPLE", op_empty, PICKLE_TUPLE},
    [']'] = {"EMPTY_LIST", op_empty, PICKLE_LIST},
    ['}'] = {"EMPTY_DICT", op_empty, PICKLE_DICT},
    [0x85] = {"TUPLE1", op_tuple_of, 1},
    [0x86] = {"TUPLE2", op_tuple_of, 2},
    [0x87] = {"TUPLE3", op_tuple_of, 3},
    ['t'] = {"TUPLE", op_tuple, 0},
    ['a'] = {"APPEND", op_append, 0},
    ['e'] = {"APPENDS", op_extend, PICKLE_LIST},
    ['s'] = {"SETITEM", op_set_item, 0},
    ['u'] = {"SETITEMS", op_extend, PICKLE_DICT},
    ['q'] = {"BINPUT", op_put, 1},
    ['r'] = {"LONG_BINPUT", op_put, 4},
    [0x94] = {"MEMOIZE", op_memoize, 0},
    ['h'] = {"BINGET", op_get, 1},
    ['j'] = {"LONG_BINGET", op_get, 4},
    ['c'] = {"GLOBAL", op_global, 0},
    [0x93] = {"STACK_GLOBAL", op_stack_global, 0},
    ['R'] = {"REDUCE", op_reduce, 0},
    ['b'] = {"BUILD", op_build, 0},
    ['Q'] = {"BINPERSID", op_extern, 0},
};

static bool run(struct machine *m, struct error *err)
{
    while (!m->stopped) {
        size_t at = (size_t)(m->at - m->start);
        const struct opcode *op;

        if (m->at == m->end)
            return err_set(err, ERR_DATA, "it ends at byte %zu, without STOP", at);
        op = &opcodes[*m->at++];
        if (!op->run)
            return err_set(err, ERR_DATA, "byte %zu: opcode 0x%02x is not allowed here", at,
                           m->start[at]);
        if (!op->run(m, op->arg, err))
            return err_wrap(err, "byte %zu: %s", at, op->name);
    }
    return true;
}

struct pickle *pickle_read(const void *data, size_t len, const struct pickle_global *allowed,
                           size_t n_allowed, struct error *err)
{
    struct machine m = {.p = NEW(struct pickle),
                        .start = data,
                        .at = data,
                        .end = (const unsigned char *)data + len,
                        .allowed = allowed,
                        .n_allowed = n_allowed};
    bool ok = len <= MAX_BYTES
                  ? run(&m, err)
                  : err_set(err, ERR_DATA, "%zu bytes; at most %d are read", len, MAX_BYTES);

    vec_free(&m.stack);
    vec_free(&m.memo);
    vec_free(&m.marks);
    if (ok)
        return m.p;
    pickle_free(m.p);
    err_wrap(err, "pickle");
    return NULL;
}

void pickle_free(struct pickle *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->values.n; i++) {
        free(p->values.at[i]->text);
        vec_free(&p->values.at[i]->items);
        free(p->values.at[i]);
    }
    vec_free(&p->values);
    free(p);
}

const struct pickle_value *pickle_root(const struct pickle *p)
{
    return p->root;
}

bool pickle_is_text(const struct pickle_value *v)
{
    return v && v->kind == PICKLE_TEXT && strlen(v->text) == v->len;
}

const struct pickle_value *pickle_get(const struct pickle_value *v, const char *key)
{
    const struct pickle_value *found = NULL;

    if (!v || v->kind != PICKLE_DICT)
        return NULL;
    for (size_t i = 0; i < v->items.n; i += 2)
        if (pickle_is_text(v->items.at[i]) && strcmp(v->items.at[i]->text, key) == 0)
            found = v->items.at[i + 1];
    return found;
}

const struct pickle_value *pickle_item(const struct pickle_value *v, size_t i)
{
    bool row = v && (v->kind == PICKLE_TUPLE || v->kind == PICKLE_LIST);

    return row && i < v->items.n ? v->items.at[i] : NULL;
}
