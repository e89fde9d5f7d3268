#include "proto/base/json_split.h"

#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t skip_space(const char *text, size_t len, size_t at)
{
    while (at < len && is_space(text[at]))
        at++;
    return at;
}

/* Behind the string that begins at `at`. */
static size_t skip_string(const char *text, size_t len, size_t at)
{
    for (at++; at < len && text[at] != '"'; at++)
        at += text[at] == '\\';
    return at < len ? at + 1 : len;
}

/* Behind what stands at `at`, which is a string or one character; `depth` follows brackets of either kind. */
static size_t step(const char *text, size_t len, size_t at, size_t *depth)
{
    const char c = text[at];

    if (c == '"')
        return skip_string(text, len, at);
    *depth += c == '[' || c == '{';
    *depth -= c == ']' || c == '}';
    return at + 1;
}

/* Where the elements of the array begin; 0: nowhere. */
static size_t find(const char *text, size_t len, const char *key)
{
    const size_t n = strlen(key);
    size_t depth = 0, at = skip_space(text, len, 0), next;

    if (at == len || text[at] != '{')
        return 0;
    do {
        const bool is_key = depth == 1 && text[at] == '"' && len - at > n + 1 &&
                            memcmp(text + at + 1, key, n) == 0 && text[at + 1 + n] == '"';

        next = step(text, len, at, &depth);
        if (is_key && (at = skip_space(text, len, next)) < len && text[at] == ':' &&
            (at = skip_space(text, len, at + 1)) < len && text[at] == '[')
            return at + 1;
        at = next;
    } while (depth && at < len);
    return 0;
}

/* All up to the bracket that ends the array, whose place it returns; len: there is none, or there are more. */
static size_t cut(const char *text, size_t len, size_t from, size_t most, struct js_split *out)
{
    const size_t first = skip_space(text, len, from);
    const bool none = first < len && text[first] == ']';
    size_t depth = 1, next;

    for (size_t at = from; at < len; at = next) {
        const bool ends = depth == 1 && (text[at] == ',' || text[at] == ']');

        next = step(text, len, at, &depth);
        if (!ends)
            continue;
        if (!none && out->parts.n == most)
            return len;
        if (!none)
            vec_push(&out->parts, (struct js_part){text + from, at - from});
        if (!depth)
            return at;
        from = next;
    }
    return len;
}

bool js_split(const char *text, size_t len, const char *key, size_t most, struct js_split *out)
{
    size_t from, end;

    *out = (struct js_split){.rest = buf_new(0)};
    from = find(text, len, key);
    end = from ? cut(text, len, from, most, out) : len;
    if (end == len)
        return false;
    buf_add(&out->rest, text, from);
    buf_add(&out->rest, text + end, len - end);
    return true;
}

void js_split_free(struct js_split *s)
{
    vec_free(&s->parts);
    buf_free(&s->rest);
}

void js_squeeze(const char *text, size_t len, struct buf *out)
{
    size_t from = 0;

    buf_reserve(out, len);
    for (size_t at = 0; at < len;)
        if (is_space(text[at])) {
            buf_add(out, text + from, at - from);
            from = at = skip_space(text, len, at);
        } else {
            at = text[at] == '"' ? skip_string(text, len, at) : at + 1;
        }
    buf_add(out, text + from, len - from);
}
