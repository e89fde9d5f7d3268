#include "proto/wire/pbjson.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/jw.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/base/suggest.h"

enum {
    USUAL_TEXT = 2000 /* bytes of a job */
};

/* Where field f of message m lives. protobuf-c lays a message out as a plain struct and gives the
 * offsets in the descriptor; these are the only places that compute addresses from them. */
static void *member(const ProtobufCMessage *m, unsigned offset)
{
    return (char *)(uintptr_t)m + offset;
}

static protobuf_c_boolean *has(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    return member(m, f->quantifier_offset);
}

static size_t *count(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    return member(m, f->quantifier_offset);
}

/* Where a value stands: a member, or an element, of what stands `in`; NULL is the whole. Told from the inside out, on
 * the stack, because nearly all values are right and nobody asks. */
struct place {
    const struct place *in;
    const char *key; /* NULL: element `index` */
    size_t index;
};

/* As a pointer (RFC 6901). */
static void write_place(const struct place *at, struct buf *out)
{
    if (!at) {
        buf_str(out, "#");
        return;
    }
    write_place(at->in, out);
    buf_str(out, "/");
    if (!at->key)
        buf_fmt(out, "%zu", at->index);
    for (const char *c = at->key; c && *c; c++)
        if (*c == '~' || *c == '/')
            buf_str(out, *c == '~' ? "~0" : "~1");
        else
            buf_add(out, c, 1);
}

static void problem_at(const struct place *at, struct problems *p, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void problem_at(const struct place *at, struct problems *p, const char *fmt, ...)
{
    struct buf pointer = buf_new(0), detail = buf_new(0);
    va_list ap;

    write_place(at, &pointer);
    va_start(ap, fmt);
    buf_vfmt(&detail, fmt, ap);
    va_end(ap);
    problems_add(p, buf_text(&pointer), "%s", buf_text(&detail));
    buf_free(&pointer);
    buf_free(&detail);
}

/* What pbjson knows of a field type: size in memory, and both directions for one element. */
struct type_row {
    size_t size;
    bool (*read)(const ProtobufCFieldDescriptor *f, const struct json *j, void *to,
                 const struct place *at, struct problems *p);
    void (*write)(const ProtobufCFieldDescriptor *f, const void *from, const char *key,
                  struct jw *w);
    double (*number)(const void *from); /* NULL: it is none */
};

static bool wrong_type(const struct place *at, const char *want, const struct json *j,
                       struct problems *p)
{
    char *got = js_text(j, JS_COMPACT);

    problem_at(at, p, "expected %s, got %.60s", want, got);
    free(got);
    return false;
}

static bool read_int(const struct json *j, int64_t lo, int64_t hi, int64_t *to,
                     const struct place *at, struct problems *p)
{
    if (js_kind(j) != JS_INT)
        return wrong_type(at, "an integer", j, p);
    *to = js_int(j, 0);
    if (*to >= lo && *to <= hi)
        return true;
    problem_at(at, p, "%" PRId64 " is out of range (%" PRId64 " to %" PRId64 ")", *to, lo, hi);
    return false;
}

#define INT_TYPE(name, ctype, lo, hi)                                                              \
    static bool read_##name(const ProtobufCFieldDescriptor *f, const struct json *j, void *to,     \
                            const struct place *at, struct problems *p)                            \
    {                                                                                              \
        int64_t v;                                                                                 \
                                                                                                   \
        (void)f;                                                                                   \
        if (!read_int(j, (lo), (hi), &v, at, p))                                                   \
            return false;                                                                          \
        *(ctype *)to = (ctype)v;                                                                   \
        return true;                                                                               \
    }                                                                                              \
    static void write_##name(const ProtobufCFieldDescriptor *f, const void *from, const char *key, \
                             struct jw *w)                                                         \
    {                                                                                              \
        (void)f;                                                                                   \
        jw_int(w, key, (int64_t) * (const ctype *)from);                                           \
    }                                                                                              \
    static double number_##name(const void *from)                                                  \
    {                                                                                              \
        return (double)*(const ctype *)from;                                                       \
    }

INT_TYPE(int32, int32_t, INT32_MIN, INT32_MAX)
INT_TYPE(int64, int64_t, INT64_MIN, INT64_MAX)
INT_TYPE(uint32, uint32_t, 0, UINT32_MAX)
INT_TYPE(uint64, uint64_t, 0, INT64_MAX)

static bool read_double(const ProtobufCFieldDescriptor *f, const struct json *j, void *to,
                        const struct place *at, struct problems *p)
{
    (void)f;
    if (js_kind(j) != JS_REAL && js_kind(j) != JS_INT)
        return wrong_type(at, "a number", j, p);
    *(double *)to = js_real(j, 0);
    return true;
}

static void write_double(const ProtobufCFieldDescriptor *f, const void *from, const char *key,
                         struct jw *w)
{
    (void)f;
    jw_real(w, key, *(const double *)from);
}

static double number_double(const void *from)
{
    return *(const double *)from;
}

static bool read_bool(const ProtobufCFieldDescriptor *f, const struct json *j, void *to,
                      const struct place *at, struct problems *p)
{
    (void)f;
    if (js_kind(j) != JS_BOOL)
        return wrong_type(at, "true or false", j, p);
    *(protobuf_c_boolean *)to = js_bool(j, false);
    return true;
}

static void write_bool(const ProtobufCFieldDescriptor *f, const void *from, const char *key,
                       struct jw *w)
{
    (void)f;
    jw_bool(w, key, *(const protobuf_c_boolean *)from);
}

static bool read_string(const ProtobufCFieldDescriptor *f, const struct json *j, void *to,
                        const struct place *at, struct problems *p)
{
    (void)f;
    if (js_kind(j) != JS_STRING)
        return wrong_type(at, "a string", j, p);
    *(char **)to = str_dup(js_string(j, ""));
    return true;
}

static void write_string(const ProtobufCFieldDescriptor *f, const void *from, const char *key,
                         struct jw *w)
{
    (void)f;
    jw_string(w, key, *(char *const *)from);
}

static void lower(const char *from, char *to, size_t size)
{
    size_t i;

    for (i = 0; from[i] && i + 1 < size; i++)
        to[i] = (char)tolower((unsigned char)from[i]);
    to[i] = '\0';
}

static bool read_enum(const ProtobufCFieldDescriptor *f, const struct json *j, void *to,
                      const struct place *at, struct problems *p)
{
    const ProtobufCEnumDescriptor *e = f->descriptor;
    const char *got = js_string(j, NULL);
    struct buf known = buf_new(0);
    char name[64];

    if (!got)
        return wrong_type(at, "a string", j, p);
    for (unsigned i = 0; i < e->n_values; i++) {
        lower(e->values[i].name, name, sizeof(name));
        if (strcmp(name, got) == 0) {
            *(int *)to = e->values[i].value;
            buf_free(&known);
            return true;
        }
        buf_fmt(&known, "%s%s", i ? ", " : "", name);
    }
    problem_at(at, p, "expected one of %s, got \"%s\"", buf_text(&known), got);
    buf_free(&known);
    return false;
}

static void write_enum(const ProtobufCFieldDescriptor *f, const void *from, const char *key,
                       struct jw *w)
{
    const ProtobufCEnumValue *v =
        protobuf_c_enum_descriptor_get_value(f->descriptor, *(const int *)from);
    char name[64];

    if (v)
        lower(v->name, name, sizeof(name));
    jw_string(w, key, v ? name : NULL);
}

static ProtobufCMessage *read_message(const ProtobufCMessageDescriptor *d, const struct json *j,
                                      const struct place *at, struct problems *p);

static bool read_nested(const ProtobufCFieldDescriptor *f, const struct json *j, void *to,
                        const struct place *at, struct problems *p)
{
    *(ProtobufCMessage **)to = read_message(f->descriptor, j, at, p);
    return *(ProtobufCMessage **)to != NULL;
}

static void write_message(const ProtobufCMessage *m, const char *key, struct jw *w);

static void write_nested(const ProtobufCFieldDescriptor *f, const void *from, const char *key,
                         struct jw *w)
{
    (void)f;
    write_message(*(ProtobufCMessage *const *)from, key, w);
}

static const struct type_row types[] = {
    [PROTOBUF_C_TYPE_INT32] = {sizeof(int32_t), read_int32, write_int32, number_int32},
    [PROTOBUF_C_TYPE_INT64] = {sizeof(int64_t), read_int64, write_int64, number_int64},
    [PROTOBUF_C_TYPE_UINT32] = {sizeof(uint32_t), read_uint32, write_uint32, number_uint32},
    [PROTOBUF_C_TYPE_UINT64] = {sizeof(uint64_t), read_uint64, write_uint64, number_uint64},
    [PROTOBUF_C_TYPE_DOUBLE] = {sizeof(double), read_double, write_double, number_double},
    [PROTOBUF_C_TYPE_BOOL] = {sizeof(protobuf_c_boolean), read_bool, write_bool, NULL},
    [PROTOBUF_C_TYPE_STRING] = {sizeof(char *), read_string, write_string, NULL},
    [PROTOBUF_C_TYPE_ENUM] = {sizeof(int), read_enum, write_enum, NULL},
    [PROTOBUF_C_TYPE_MESSAGE] = {sizeof(void *), read_nested, write_nested, NULL},
};

static const struct type_row *row_of(const ProtobufCFieldDescriptor *f)
{
    ASSERT(f->type < ARRAY_LEN(types) && types[f->type].size);
    return &types[f->type];
}

/* protoc turns map<string, string> into repeated messages with `key` and `value`. */
static bool is_map(const ProtobufCFieldDescriptor *f)
{
    const ProtobufCMessageDescriptor *d = f->descriptor;

    return f->label == PROTOBUF_C_LABEL_REPEATED && f->type == PROTOBUF_C_TYPE_MESSAGE &&
           str_ends(d->short_name, "Entry") && d->n_fields == 2 &&
           strcmp(d->fields[0].name, "key") == 0 && strcmp(d->fields[1].name, "value") == 0;
}

/* A message that stands for any JSON value, whose text is its only field. */
static bool is_json(const ProtobufCMessageDescriptor *d)
{
    return strcmp(d->name, "distilld.Json") == 0;
}

/* A message of two numbers, which stands for one where they are the same. */
static bool is_range(const ProtobufCMessageDescriptor *d)
{
    return strcmp(d->name, "distilld.Range") == 0;
}

static char **text_of(const ProtobufCMessage *m)
{
    return member(m, m->descriptor->fields[0].offset);
}

/* A new, zeroed element at the end of a repeated field, which has room for a power of two of them. */
static void *append(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    void **list = member(m, f->offset);
    size_t size = row_of(f)->size, n = (*count(m, f))++;

    if ((n & (n - 1)) == 0)
        *list = mem_realloc(*list, n ? 2 * n : 1, size);
    memset((char *)*list + n * size, 0, size);
    return (char *)*list + n * size;
}

/* Takes back an element that is not whole. free_unpacked does not look at a list without elements. */
static void drop_last(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    void **list = member(m, f->offset);

    if (--*count(m, f))
        return;
    free(*list);
    *list = NULL;
}

static bool read_single(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                        const struct json *j, const struct place *at, struct problems *p)
{
    char value[sizeof(int64_t)] = {0};

    if (!row_of(f)->read(f, j, value, at, p))
        return false;
    memcpy(member(m, f->offset), value, row_of(f)->size);
    if (f->quantifier_offset)
        *has(m, f) = 1;
    return true;
}

static bool read_entry(ProtobufCMessage **to, const ProtobufCFieldDescriptor *f, void *it,
                       const struct place *at, struct problems *p)
{
    const struct place entry = {.in = at, .key = js_key(it)};
    struct json *key = js_new_object();
    bool ok;

    js_set(key, "key", js_new_string(js_key(it)));
    ok = read_nested(f, key, to, at, p) &&
         read_single(*to, &(*to)->descriptor->fields[1], js_value(it), &entry, p);
    if (!ok && *to)
        protobuf_c_message_free_unpacked(*to, NULL);
    js_free(key);
    return ok;
}

static bool read_map(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, const struct json *j,
                     const struct place *at, struct problems *p)
{
    if (js_kind(j) != JS_OBJECT)
        return wrong_type(at, "an object", j, p);
    for (void *it = js_first(j); it; it = js_next(j, it))
        if (js_kind(js_value(it)) != JS_NULL && !read_entry(append(m, f), f, it, at, p))
            drop_last(m, f);
    return true;
}

/* "3..7" as an inclusive range. */
static bool parse_range(const char *text, int64_t *lo, int64_t *hi)
{
    const char *dots = text ? strstr(text, "..") : NULL;
    char *left;
    bool ok;

    if (!dots)
        return false;
    left = str_ndup(text, (size_t)(dots - text));
    ok = str_int(left, 0, INT32_MAX, lo) && str_int(dots + 2, 0, INT32_MAX, hi) && *lo <= *hi;
    free(left);
    return ok;
}

static bool read_element(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                         const struct json *j, const struct place *at, struct problems *p)
{
    int64_t lo = 0, hi = 0;
    bool range = f->type == PROTOBUF_C_TYPE_INT32 && parse_range(js_string(j, NULL), &lo, &hi);

    if (hi - lo >= PBJSON_MAX_LIST - (int64_t)*count(m, f)) {
        problem_at(at, p, "with this the list has more than %d elements", PBJSON_MAX_LIST);
        return false;
    }
    if (range) {
        for (int64_t v = lo; v <= hi; v++)
            *(int32_t *)append(m, f) = (int32_t)v;
        return true;
    }
    if (row_of(f)->read(f, j, append(m, f), at, p))
        return true;
    drop_last(m, f);
    return false;
}

static bool read_list(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, const struct json *j,
                      const struct place *at, struct problems *p)
{
    bool ok = true;

    if (f->type == PROTOBUF_C_TYPE_INT32 && js_kind(j) == JS_STRING)
        return read_element(m, f, j, at, p);
    if (js_kind(j) != JS_ARRAY)
        return wrong_type(at, "an array", j, p);
    for (size_t i = 0; i < js_len(j); i++) {
        const struct place element = {.in = at, .index = i};

        ok &= read_element(m, f, js_at(j, i), &element, p);
    }
    return ok;
}

static void unknown_member(const ProtobufCMessageDescriptor *d, const char *key,
                           const struct place *at, struct problems *p)
{
    const char **names = NEW_ARRAY(const char *, d->n_fields);
    const struct place unknown = {.in = at, .key = key};
    const char *near;

    for (unsigned i = 0; i < d->n_fields; i++)
        names[i] = d->fields[i].name;
    near = suggest(key, names, d->n_fields);
    problem_at(&unknown, p, "unknown field%s%s%s", near ? "; did you mean \"" : "",
               near ? near : "", near ? "\"?" : "");
    free(names);
}

static ProtobufCMessage *new_message(const ProtobufCMessageDescriptor *d)
{
    ProtobufCMessage *m = mem_calloc(1, d->sizeof_message);

    protobuf_c_message_init(d, m);
    return m;
}

/* From one number to the same. */
static ProtobufCMessage *read_range(const ProtobufCMessageDescriptor *d, const struct json *j,
                                    const struct place *at, struct problems *p)
{
    ProtobufCMessage *m = new_message(d);

    if (read_single(m, &d->fields[0], j, at, p) && read_single(m, &d->fields[1], j, at, p))
        return m;
    protobuf_c_message_free_unpacked(m, NULL);
    return NULL;
}

static ProtobufCMessage *read_message(const ProtobufCMessageDescriptor *d, const struct json *j,
                                      const struct place *at, struct problems *p)
{
    ProtobufCMessage *m;

    if (is_range(d) && js_kind(j) == JS_INT)
        return read_range(d, j, at, p);
    if (js_kind(j) != JS_OBJECT && !is_json(d)) {
        wrong_type(at, is_range(d) ? "an integer, or an object of min and max" : "an object", j, p);
        return NULL;
    }
    m = new_message(d);
    if (is_json(d)) {
        *text_of(m) = js_text(j, JS_COMPACT);
        return m;
    }
    for (void *it = js_first(j); it; it = js_next(j, it)) {
        const ProtobufCFieldDescriptor *f =
            protobuf_c_message_descriptor_get_field_by_name(d, js_key(it));
        const struct json *v = js_value(it);
        struct place place = {.in = at};

        if (!f) {
            unknown_member(d, js_key(it), at, p);
            continue;
        }
        if (js_kind(v) == JS_NULL)
            continue;
        place.key = f->name;
        if (is_map(f))
            read_map(m, f, v, &place, p);
        else if (f->label == PROTOBUF_C_LABEL_REPEATED)
            read_list(m, f, v, &place, p);
        else
            read_single(m, f, v, &place, p);
    }
    return m;
}

ProtobufCMessage *pbjson_read(const ProtobufCMessageDescriptor *d, const struct json *j,
                              struct problems *p)
{
    return read_message(d, j, NULL, p);
}

static bool is_pointer(const ProtobufCFieldDescriptor *f)
{
    return f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE;
}

static bool present(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    if (is_pointer(f)) {
        const void *v = *(void *const *)member(m, f->offset);

        return v && v != f->default_value;
    }
    return *has(m, f);
}

static void write_map(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, struct jw *w)
{
    ProtobufCMessage *const *entries = *(ProtobufCMessage *const *const *)member(m, f->offset);

    jw_begin_object(w, f->name);
    for (size_t i = 0; i < *count(m, f); i++) {
        const ProtobufCFieldDescriptor *kv = entries[i]->descriptor->fields;

        jw_member(w, *(char *const *)member(entries[i], kv[0].offset));
        jw_string(w, NULL, *(char *const *)member(entries[i], kv[1].offset));
    }
    jw_end_object(w);
}

static void write_list(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, struct jw *w)
{
    const char *list = *(char *const *)member(m, f->offset);

    jw_begin_array(w, f->name);
    for (size_t i = 0; i < *count(m, f); i++)
        row_of(f)->write(f, list + i * row_of(f)->size, NULL, w);
    jw_end_array(w);
}

static bool is_number(const ProtobufCMessage *m)
{
    const ProtobufCFieldDescriptor *f = m->descriptor->fields;

    return is_range(m->descriptor) && *has(m, &f[0]) && *has(m, &f[1]) &&
           memcmp(member(m, f[0].offset), member(m, f[1].offset), row_of(f)->size) == 0;
}

static void write_message(const ProtobufCMessage *m, const char *key, struct jw *w)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;

    if (is_json(d)) {
        jw_json(w, key, *text_of(m));
        return;
    }
    if (is_number(m)) {
        row_of(d->fields)->write(d->fields, member(m, d->fields[0].offset), key, w);
        return;
    }
    jw_begin_object(w, key);
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];

        if (f->label != PROTOBUF_C_LABEL_REPEATED && present(m, f))
            row_of(f)->write(f, member(m, f->offset), f->name, w);
        else if (f->label == PROTOBUF_C_LABEL_REPEATED && *count(m, f))
            (is_map(f) ? write_map : write_list)(m, f, w);
    }
    jw_end_object(w);
}

char *pbjson_text(const ProtobufCMessage *m)
{
    struct buf b = buf_new(0);
    struct jw w = jw_new(&b);

    buf_reserve(&b, USUAL_TEXT);
    write_message(m, NULL, &w);
    return buf_take(&b);
}

struct json *pbjson_write(const ProtobufCMessage *m)
{
    char *text = pbjson_text(m);
    struct json *j = js_parse(text, strlen(text), NULL);

    free(text);
    return j;
}

bool pbjson_find(const ProtobufCMessageDescriptor *d, const char *path, struct pbjson_path *out)
{
    *out = (struct pbjson_path){0};
    while (d && *path && out->n < PBJSON_MAX_STEPS) {
        size_t len = strcspn(path, ".");
        char *name = str_ndup(path, len);
        const ProtobufCFieldDescriptor *f =
            protobuf_c_message_descriptor_get_field_by_name(d, name);

        free(name);
        if (!f)
            return false;
        out->steps[out->n++] = f;
        path += len + (path[len] == '.');
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            out->element = strtoul(path, NULL, 10);
            return row_of(f)->number;
        }
        d = f->type == PROTOBUF_C_TYPE_MESSAGE ? f->descriptor : NULL;
    }
    return !d && !*path;
}

bool pbjson_number(const ProtobufCMessage *m, const struct pbjson_path *path, double *out)
{
    const ProtobufCFieldDescriptor *f = path->steps[0];
    const char *at;

    for (size_t i = 0; i + 1 < path->n; f = path->steps[++i]) {
        if (!present(m, f))
            return false;
        m = *(ProtobufCMessage *const *)member(m, f->offset);
    }
    at = member(m, f->offset);
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        if (path->element >= *count(m, f))
            return false;
        at = *(const char *const *)(const void *)at + path->element * row_of(f)->size;
    } else if (!present(m, f)) {
        return false;
    }
    if (!row_of(f)->number)
        return false;
    *out = row_of(f)->number(at);
    return true;
}

void pbjson_fill_defaults(ProtobufCMessage *m)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;

    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        void **at = member(m, f->offset);

        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            if (f->type == PROTOBUF_C_TYPE_MESSAGE)
                for (size_t k = 0; k < *count(m, f); k++)
                    pbjson_fill_defaults(((ProtobufCMessage **)*at)[k]);
        } else if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
            if (*at)
                pbjson_fill_defaults(*at);
        } else if (f->type == PROTOBUF_C_TYPE_STRING) {
            if (*at && *at == f->default_value)
                *at = str_dup(f->default_value);
        } else if (f->default_value) {
            *has(m, f) = 1; /* the value itself is there since init */
        }
    }
}
