#include "proto/base/json.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/base/vec.h"

/* struct json is jansson's json_t under another name, so that nobody else depends on jansson. */
static json_t *in(const struct json *j)
{
    return (json_t *)(uintptr_t)j;
}

static struct json *out(json_t *j)
{
    return (struct json *)j;
}

/* jansson recurses without a useful limit, so nesting is counted before it sees the text. */
static bool shallow(const char *text, size_t len)
{
    size_t depth = 0;
    bool quoted = false;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '[' || c == '{') && ++depth > JS_MAX_DEPTH)
            return false;
        else if (!quoted && (c == ']' || c == '}') && depth)
            depth--;
    }
    return true;
}

struct json *js_parse(const char *text, size_t len, struct error *err)
{
    json_error_t e;
    json_t *j;

    if (!shallow(text, len)) {
        err_set(err, ERR_INVALID, "JSON is nested deeper than %d levels", JS_MAX_DEPTH);
        return NULL;
    }
    j = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (!j)
        err_set(err, ERR_INVALID, "not valid JSON: line %d, column %d: %s", e.line, e.column,
                e.text);
    return out(j);
}

struct json *js_read_file(const char *path, size_t max, struct error *err)
{
    struct buf text = buf_new(max);
    struct json *j = NULL;

    if (file_read(path, &text, err)) {
        j = js_parse(buf_text(&text), text.len, err);
        if (!j)
            err_wrap(err, "%s", path);
    }
    buf_free(&text);
    return j;
}

void js_free(struct json *j)
{
    json_decref(in(j));
}

struct json *js_copy(const struct json *j)
{
    return out(json_deep_copy(in(j)));
}

enum js_kind js_kind(const struct json *j)
{
    static const enum js_kind kinds[] = {
        [JSON_OBJECT] = JS_OBJECT, [JSON_ARRAY] = JS_ARRAY, [JSON_STRING] = JS_STRING,
        [JSON_INTEGER] = JS_INT,   [JSON_REAL] = JS_REAL,   [JSON_TRUE] = JS_BOOL,
        [JSON_FALSE] = JS_BOOL,    [JSON_NULL] = JS_NULL,
    };

    return j ? kinds[json_typeof(in(j))] : JS_NULL;
}

const char *js_kind_name(enum js_kind kind)
{
    static const char *const names[] = {
        [JS_NULL] = "null",        [JS_BOOL] = "true or false", [JS_INT] = "an integer",
        [JS_REAL] = "a number",    [JS_STRING] = "a string",    [JS_ARRAY] = "an array",
        [JS_OBJECT] = "an object",
    };

    return names[kind];
}

const char *js_string(const struct json *j, const char *fallback)
{
    return json_is_string(in(j)) ? json_string_value(in(j)) : fallback;
}

int64_t js_int(const struct json *j, int64_t fallback)
{
    return json_is_integer(in(j)) ? (int64_t)json_integer_value(in(j)) : fallback;
}

double js_real(const struct json *j, double fallback)
{
    return json_is_number(in(j)) ? json_number_value(in(j)) : fallback;
}

bool js_bool(const struct json *j, bool fallback)
{
    return json_is_boolean(in(j)) ? json_is_true(in(j)) : fallback;
}

size_t js_len(const struct json *j)
{
    return json_is_array(in(j)) ? json_array_size(in(j)) : json_object_size(in(j));
}

struct json *js_at(const struct json *array, size_t i)
{
    return out(json_array_get(in(array), i));
}

struct json *js_get(const struct json *object, const char *key)
{
    return out(json_object_get(in(object), key));
}

struct json *js_path(const struct json *j, const char *path)
{
    const struct json *at = j;

    while (at && *path) {
        size_t n = strcspn(path, ".");
        char *part = str_ndup(path, n);
        int64_t i;

        if (js_kind(at) == JS_ARRAY)
            at = str_int(part, 0, INT32_MAX, &i) ? js_at(at, (size_t)i) : NULL;
        else
            at = js_get(at, part);
        free(part);
        path += n + (path[n] == '.');
    }
    return out(in(at));
}

void *js_first(const struct json *object)
{
    return json_object_iter(in(object));
}

void *js_next(const struct json *object, void *it)
{
    return json_object_iter_next(in(object), it);
}

const char *js_key(void *it)
{
    return json_object_iter_key(it);
}

struct json *js_value(void *it)
{
    return out(json_object_iter_value(it));
}

static struct json *made(json_t *j)
{
    ASSERT(j);
    return out(j);
}

struct json *js_new_object(void)
{
    return made(json_object());
}

struct json *js_new_array(void)
{
    return made(json_array());
}

struct json *js_new_null(void)
{
    return made(json_null());
}

struct json *js_new_bool(bool v)
{
    return made(json_boolean(v));
}

struct json *js_new_int(int64_t v)
{
    return made(json_integer(v));
}

struct json *js_new_real(double v)
{
    return made(isfinite(v) ? json_real(v) : json_null());
}

struct json *js_new_string(const char *s)
{
    json_t *j = json_string(s);
    char *clean;

    if (j)
        return out(j);
    clean = str_dup(s);
    for (char *p = clean; *p; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    j = json_string(clean);
    free(clean);
    return made(j);
}

void js_set(struct json *object, const char *key, struct json *take_value)
{
    ASSERT(json_object_set_new(in(object), key, in(take_value)) == 0);
}

void js_push(struct json *array, struct json *take_value)
{
    ASSERT(json_array_append_new(in(array), in(take_value)) == 0);
}

void js_delete(struct json *object, const char *key)
{
    json_object_del(in(object), key);
}

struct json *js_merged(const struct json *j, const struct json *patch)
{
    struct json *out;

    if (js_kind(patch) != JS_OBJECT)
        return js_copy(patch);
    out = js_kind(j) == JS_OBJECT ? js_copy(j) : js_new_object();
    for (void *it = js_first(patch); it; it = js_next(patch, it))
        if (js_kind(js_value(it)) == JS_NULL)
            js_delete(out, js_key(it));
        else
            js_set(out, js_key(it), js_merged(js_get(out, js_key(it)), js_value(it)));
    return out;
}

/* A byte that cannot stand in a string as it is. */
static void write_escaped(unsigned char c, struct buf *b)
{
    if (c == '"' || c == '\\')
        buf_fmt(b, "\\%c", c);
    else if (c == '\n')
        buf_str(b, "\\n");
    else if (c == '\t')
        buf_str(b, "\\t");
    else
        buf_fmt(b, "\\u%04x", c);
}

void js_write_string(const char *s, struct buf *b)
{
    buf_add(b, "\"", 1);
    while (*s) {
        size_t n = 0;

        while ((unsigned char)s[n] >= 0x20 && s[n] != '"' && s[n] != '\\')
            n++;
        buf_add(b, s, n);
        s += n;
        if (*s)
            write_escaped((unsigned char)*s++, b);
    }
    buf_add(b, "\"", 1);
}

/* Decimal digits, and a sign; by hand, because printf takes ten times as long and there are many of them. */
static size_t int_text(int64_t v, char text[24])
{
    char digits[20];
    uint64_t left = v < 0 ? -(uint64_t)v : (uint64_t)v;
    size_t n = 0, len = 0;

    do {
        digits[n++] = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (v < 0)
        text[len++] = '-';
    while (n)
        text[len++] = digits[--n];
    text[len] = '\0';
    return len;
}

void js_write_int(int64_t v, struct buf *b)
{
    char text[24];
    const size_t n = int_text(v, text);

    buf_add(b, text, n);
}

enum {
    FIRST_POWER = 5
};

/* `v` is the double nearest to n / 10^k: both are exact up to 2^53 and 10^22, and a division is rounded correctly. */
static bool is_quotient(double v, int k, int64_t *n)
{
    static const double powers[] = {1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

    *n = (int64_t)(v * powers[k - FIRST_POWER] + 0.5);
    return (double)*n / powers[k - FIRST_POWER] == v;
}

/* One with up to six decimals, as people write them. */
static bool decimal_text(double of, char *text)
{
    int64_t millionths, part;
    size_t len;

    if (!is_quotient(of, 6, &millionths))
        return false;
    part = millionths % 1000000;
    len = int_text(millionths / 1000000, text);
    text[len++] = '.';
    for (int64_t unit = 100000; part || unit == 100000; unit /= 10) {
        text[len++] = (char)('0' + part / unit);
        part %= unit;
    }
    text[len] = '\0';
    return true;
}

/* A digit and an exponent, 1e-08, as people write tolerances. */
static bool power_text(double of, char *text)
{
    int64_t digit;

    for (int k = FIRST_POWER; k <= 15; k++)
        if (is_quotient(of, k, &digit) && digit >= 1 && digit <= 9) {
            memcpy(text, "0e-00", 6);
            text[0] = (char)('0' + digit);
            text[3] = (char)('0' + k / 10);
            text[4] = (char)('0' + k % 10);
            return true;
        }
    return false;
}

/* What is short, as printf would write it, which takes ten times as long. False for others. */
static bool short_text(double v, char text[40])
{
    const double of = fabs(v);

    if (v < 0)
        *text++ = '-';
    return of >= 1e-4 ? of < 1e9 && decimal_text(of, text) : power_text(of, text);
}

/* The fewest digits that read back. Whole numbers, which are many, need no search. */
static void real_text(double v, char text[40])
{
    if (fabs(v) < 1e15 && v == trunc(v) && !(v == 0 && signbit(v))) {
        memcpy(text + int_text((int64_t)v, text), ".0", 3);
        return;
    }
    if (short_text(v, text))
        return;
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, 40, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            return;
    }
}

void js_write_real(double v, struct buf *b)
{
    char text[40];

    if (!isfinite(v)) {
        buf_str(b, "null");
        return;
    }
    real_text(v, text);
    buf_str(b, text);
    if (!strpbrk(text, ".e"))
        buf_str(b, ".0"); /* stays a real when it is read again */
}

static int by_key(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void new_line(struct buf *b, int flags, int depth)
{
    if (flags & JS_INDENT)
        buf_fmt(b, "\n%*s", 2 * depth, "");
}

static void write_value(const struct json *j, int flags, int depth, struct buf *b);

static void write_object(const struct json *j, int flags, int depth, struct buf *b)
{
    VEC(const char *) keys = {0};

    for (void *it = js_first(j); it; it = js_next(j, it))
        vec_push(&keys, js_key(it));
    if (keys.n && (flags & JS_SORTED))
        qsort(keys.at, keys.n, sizeof(*keys.at), by_key);
    buf_str(b, "{");
    for (size_t i = 0; i < keys.n; i++) {
        buf_str(b, i ? "," : "");
        new_line(b, flags, depth + 1);
        js_write_string(keys.at[i], b);
        buf_str(b, flags & JS_INDENT ? ": " : ":");
        write_value(js_get(j, keys.at[i]), flags, depth + 1, b);
    }
    if (keys.n)
        new_line(b, flags, depth);
    buf_str(b, "}");
    vec_free(&keys);
}

/* Arrays of plain values stay on one line. */
static void write_array(const struct json *j, int flags, int depth, struct buf *b)
{
    size_t n = js_len(j);
    bool nested = n && js_kind(js_at(j, 0)) >= JS_ARRAY;

    buf_str(b, "[");
    for (size_t i = 0; i < n; i++) {
        buf_str(b, i ? (nested || !(flags & JS_INDENT) ? "," : ", ") : "");
        if (nested)
            new_line(b, flags, depth + 1);
        write_value(js_at(j, i), flags, depth + 1, b);
    }
    if (nested)
        new_line(b, flags, depth);
    buf_str(b, "]");
}

static void write_value(const struct json *j, int flags, int depth, struct buf *b)
{
    switch (js_kind(j)) {
    case JS_NULL: buf_str(b, "null"); break;
    case JS_BOOL: buf_str(b, js_bool(j, false) ? "true" : "false"); break;
    case JS_INT: js_write_int(js_int(j, 0), b); break;
    case JS_REAL: js_write_real(js_real(j, 0), b); break;
    case JS_STRING: js_write_string(js_string(j, ""), b); break;
    case JS_ARRAY: write_array(j, flags, depth, b); break;
    case JS_OBJECT: write_object(j, flags, depth, b); break;
    }
}

void js_write(const struct json *j, int flags, struct buf *b)
{
    write_value(j, flags, 0, b);
}

char *js_text(const struct json *j, int flags)
{
    struct buf b = buf_new(0);

    js_write(j, flags, &b);
    return buf_take(&b);
}
