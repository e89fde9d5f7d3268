#include "client/yaml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/base/vec.h"

enum {
    LONG_STRING = 32 /* so many bytes of a string count as a value of their own */
};

/* A value that aliases may repeat. */
struct anchor {
    char *name;
    struct json *value;
    size_t values; /* that it counts for */
    int height;
};

struct reader {
    yaml_parser_t parser;
    VEC(struct anchor) anchors;
    struct json *lines;
    struct buf pointer; /* of the value that is read */
    size_t values;      /* so far */
    int depth;
    struct error *err;
};

static struct json *fail(struct reader *r, yaml_mark_t at, const char *what)
{
    err_set(r->err, ERR_INVALID, "line %zu, column %zu: %s", at.line + 1, at.column + 1, what);
    return NULL;
}

static bool next(struct reader *r, yaml_event_t *e)
{
    const yaml_parser_t *p = &r->parser;

    if (yaml_parser_parse(&r->parser, e))
        return true;
    if (p->error == YAML_READER_ERROR)
        err_set(r->err, ERR_INVALID, "not valid YAML: byte %zu: %s", p->problem_offset, p->problem);
    else
        err_set(r->err, ERR_INVALID, "not valid YAML: line %zu, column %zu: %s%s%s",
                p->problem_mark.line + 1, p->problem_mark.column + 1, p->context ? p->context : "",
                p->context ? ": " : "", p->problem);
    return false;
}

/* -- Scalars -------------------------------------------------------------------------------------- */

static bool is_one_of(const char *text, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(text, names[i]) == 0)
            return true;
    return false;
}

static bool all_of(const char *text, const char *set)
{
    return *text && !text[strspn(text, set)];
}

/* [-+]? ( . digits | digits [. digits?] ) ( [eE] [-+]? digits )? */
static bool looks_real(const char *text)
{
    static const char digits[] = "0123456789";
    size_t whole, part = 0;

    text += *text == '-' || *text == '+';
    whole = strspn(text, digits);
    text += whole;
    if (*text == '.') {
        part = strspn(++text, digits);
        text += part;
    }
    if (!whole && !part)
        return false;
    if (*text != 'e' && *text != 'E')
        return !*text;
    text++;
    text += *text == '-' || *text == '+';
    return all_of(text, digits);
}

static struct json *integer(struct reader *r, yaml_mark_t at, const char *text, int base)
{
    long long v;

    errno = 0;
    v = strtoll(text, NULL, base);
    return errno ? fail(r, at, "the integer has more than 64 bits") : js_new_int(v);
}

static struct json *real(struct reader *r, yaml_mark_t at, const char *text)
{
    double v;

    text += *text == '+';
    return str_double(text, &v) ? js_new_real(v) : fail(r, at, "the number is not finite");
}

/* What a scalar without quotes means. */
static struct json *plain(struct reader *r, yaml_mark_t at, const char *text)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    static const char *const trues[] = {"true", "True", "TRUE"};
    static const char *const falses[] = {"false", "False", "FALSE"};
    static const char *const others[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"};
    const char *unsigned_text = text + (*text == '-' || *text == '+');

    if (is_one_of(text, nulls, ARRAY_LEN(nulls)))
        return js_new_null();
    if (is_one_of(text, trues, ARRAY_LEN(trues)))
        return js_new_bool(true);
    if (is_one_of(text, falses, ARRAY_LEN(falses)))
        return js_new_bool(false);
    if (is_one_of(unsigned_text, others, ARRAY_LEN(others)))
        return fail(r, at, "the number is not finite");
    if (all_of(unsigned_text, "0123456789"))
        return integer(r, at, text, 10);
    if (str_starts(text, "0o") && all_of(text + 2, "01234567"))
        return integer(r, at, text + 2, 8);
    if (str_starts(text, "0x") && all_of(text + 2, "0123456789abcdefABCDEF"))
        return integer(r, at, text + 2, 16);
    return looks_real(text) ? real(r, at, text) : js_new_string(text);
}

static struct json *scalar(struct reader *r, const yaml_event_t *e)
{
    const char *text = (const char *)e->data.scalar.value;

    if (strlen(text) != e->data.scalar.length)
        return fail(r, e->start_mark, "a string has a NUL character");
    r->values += e->data.scalar.length / LONG_STRING;
    return e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? plain(r, e->start_mark, text)
                                                           : js_new_string(text);
}

/* -- Collections ---------------------------------------------------------------------------------- */

static struct json *value(struct reader *r, yaml_event_t *e);

static void note_line(struct reader *r, yaml_mark_t at)
{
    js_set(r->lines, buf_text(&r->pointer), js_new_int((int64_t)at.line + 1));
}

/* Reads the value of event e, which lies at `part` of the present one, and which line `at` is to be
 * named for. Takes the event. */
static struct json *inner(struct reader *r, const char *part, yaml_mark_t at, yaml_event_t *e)
{
    size_t outer = r->pointer.len;
    struct json *v;

    buf_fmt(&r->pointer, "/%s", part);
    note_line(r, at);
    v = value(r, e);
    r->pointer.len = outer;
    r->pointer.data[outer] = '\0';
    return v;
}

static bool add_element(struct reader *r, struct json *list, yaml_event_t *e)
{
    char part[24];
    struct json *v;

    snprintf(part, sizeof(part), "%zu", js_len(list));
    v = inner(r, part, e->start_mark, e);
    if (v)
        js_push(list, v);
    return v;
}

static bool good_key(struct reader *r, const struct json *object, const yaml_event_t *e)
{
    const char *key = (const char *)e->data.scalar.value;
    char *twice;

    if (e->type != YAML_SCALAR_EVENT)
        return fail(r, e->start_mark, "a key must be a string");
    if (e->data.scalar.tag)
        return fail(r, e->start_mark, "tags are not supported");
    if (e->data.scalar.anchor)
        return fail(r, e->start_mark, "a key cannot have an anchor");
    if (strlen(key) != e->data.scalar.length)
        return fail(r, e->start_mark, "a key has a NUL character");
    if (!js_get(object, key))
        return true;
    twice = str_fmt("the key \"%s\" stands there twice", key);
    fail(r, e->start_mark, twice);
    free(twice);
    return false;
}

/* e is the key; the value is read from the parser. */
static bool add_member(struct reader *r, struct json *object, yaml_event_t *e)
{
    bool ok = good_key(r, object, e);
    char *key = ok ? str_dup((const char *)e->data.scalar.value) : NULL;
    yaml_mark_t at = e->start_mark;
    struct json *v = NULL;

    yaml_event_delete(e);
    if (ok && next(r, e) && (v = inner(r, key, at, e)))
        js_set(object, key, v);
    free(key);
    return v;
}

static struct json *too_deep(struct reader *r, yaml_mark_t at)
{
    return fail(r, at, "nested too deep");
}

/* Takes values up to the event that ends the collection. */
static struct json *collection(struct reader *r, yaml_mark_t at, struct json *to,
                               yaml_event_type_t end,
                               bool (*add)(struct reader *, struct json *, yaml_event_t *))
{
    yaml_event_t e;
    bool ok;

    if (r->depth == JS_MAX_DEPTH) {
        js_free(to);
        return too_deep(r, at);
    }
    r->depth++;
    while ((ok = next(r, &e)) && e.type != end && (ok = add(r, to, &e)))
        ;
    r->depth--;
    if (ok) {
        yaml_event_delete(&e);
        return to;
    }
    js_free(to);
    return NULL;
}

/* -- Values --------------------------------------------------------------------------------------- */

static struct json *too_many(struct reader *r, yaml_mark_t at)
{
    char text[80];

    snprintf(text, sizeof(text), "more than %d values, aliases resolved", YAML_MAX_VALUES);
    return fail(r, at, text);
}

static struct json *repeat(struct reader *r, const yaml_event_t *e)
{
    const char *name = (const char *)e->data.alias.anchor;

    for (size_t i = r->anchors.n; i-- > 0;) {
        const struct anchor *a = &r->anchors.at[i];

        if (strcmp(a->name, name) != 0)
            continue;
        if (r->depth + a->height > JS_MAX_DEPTH)
            return too_deep(r, e->start_mark);
        r->values += a->values;
        return r->values > YAML_MAX_VALUES ? too_many(r, e->start_mark) : js_copy(a->value);
    }
    return fail(r, e->start_mark, "the alias has no anchor before it");
}

/* What the events that begin a value have in common: anchor and tag. */
static const char *anchor_of(const yaml_event_t *e)
{
    const yaml_char_t *name = e->type == YAML_SCALAR_EVENT           ? e->data.scalar.anchor
                              : e->type == YAML_SEQUENCE_START_EVENT ? e->data.sequence_start.anchor
                              : e->type == YAML_MAPPING_START_EVENT  ? e->data.mapping_start.anchor
                                                                     : NULL;

    return (const char *)name;
}

static bool has_tag(const yaml_event_t *e)
{
    return (e->type == YAML_SCALAR_EVENT && e->data.scalar.tag) ||
           (e->type == YAML_SEQUENCE_START_EVENT && e->data.sequence_start.tag) ||
           (e->type == YAML_MAPPING_START_EVENT && e->data.mapping_start.tag);
}

static struct json *by_type(struct reader *r, const yaml_event_t *e)
{
    switch ((int)e->type) {
    case YAML_SCALAR_EVENT: return scalar(r, e);
    case YAML_ALIAS_EVENT: return repeat(r, e);
    case YAML_SEQUENCE_START_EVENT:
        return collection(r, e->start_mark, js_new_array(), YAML_SEQUENCE_END_EVENT, add_element);
    case YAML_MAPPING_START_EVENT:
        return collection(r, e->start_mark, js_new_object(), YAML_MAPPING_END_EVENT, add_member);
    default: return fail(r, e->start_mark, "expected a value");
    }
}

/* Collections inside each other; no more than JS_MAX_DEPTH. */
static int height_of(const struct json *v)
{
    int most = 0;

    for (size_t i = 0; js_kind(v) == JS_ARRAY && i < js_len(v); i++) {
        int inside = height_of(js_at(v, i));

        most = inside > most ? inside : most;
    }
    for (void *it = js_kind(v) == JS_OBJECT ? js_first(v) : NULL; it; it = js_next(v, it)) {
        int inside = height_of(js_value(it));

        most = inside > most ? inside : most;
    }
    return most + (js_kind(v) == JS_ARRAY || js_kind(v) == JS_OBJECT);
}

/* What is kept counts like what is repeated. */
static void keep_anchor(struct reader *r, const char *name, const struct json *v, size_t values)
{
    vec_push(&r->anchors, (struct anchor){str_dup(name), js_copy(v), values, height_of(v)});
    r->values += values;
}

/* The value that the event begins. Takes the event. */
static struct json *value(struct reader *r, yaml_event_t *e)
{
    size_t before = r->values++;
    struct json *v;

    if (has_tag(e))
        v = fail(r, e->start_mark, "tags are not supported");
    else if (r->values > YAML_MAX_VALUES)
        v = too_many(r, e->start_mark);
    else
        v = by_type(r, e);
    if (v && anchor_of(e))
        keep_anchor(r, anchor_of(e), v, r->values - before);
    yaml_event_delete(e);
    return v;
}

/* -- The document --------------------------------------------------------------------------------- */

static bool skip(struct reader *r, yaml_event_type_t type, const char *otherwise)
{
    yaml_event_t e;
    bool ok;

    if (!next(r, &e))
        return false;
    ok = e.type == type || fail(r, e.start_mark, otherwise);
    yaml_event_delete(&e);
    return ok;
}

static struct json *document(struct reader *r)
{
    struct json *v = NULL;
    yaml_event_t e;

    if (skip(r, YAML_STREAM_START_EVENT, "expected a stream") &&
        skip(r, YAML_DOCUMENT_START_EVENT, "there is nothing in it") && next(r, &e))
        v = value(r, &e);
    if (v && skip(r, YAML_DOCUMENT_END_EVENT, "expected the end") &&
        skip(r, YAML_STREAM_END_EVENT, "a second document begins here"))
        return v;
    js_free(v);
    return NULL;
}

/* libyaml counts a byte order mark as a column, by which the first key stands further right than the
 * second. */
static size_t mark_length(const char *text, size_t len)
{
    static const char mark[] = "\xef\xbb\xbf";

    return len >= strlen(mark) && memcmp(text, mark, strlen(mark)) == 0 ? strlen(mark) : 0;
}

struct json *yaml_parse(const char *text, size_t len, struct json *lines, struct error *err)
{
    size_t mark = mark_length(text, len);
    struct reader r = {.lines = lines, .pointer = buf_new(0), .err = err};
    struct json *j;

    ASSERT(yaml_parser_initialize(&r.parser));
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text + mark, len - mark);
    buf_str(&r.pointer, "#");
    j = document(&r);
    for (size_t i = 0; i < r.anchors.n; i++) {
        free(r.anchors.at[i].name);
        js_free(r.anchors.at[i].value);
    }
    vec_free(&r.anchors);
    buf_free(&r.pointer);
    yaml_parser_delete(&r.parser);
    return j;
}
