#include "client/sse.h"

#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"

void sse_init(struct sse *s)
{
    *s = (struct sse){.line = buf_new(SSE_MAX_BYTES),
                      .kind = buf_new(256),
                      .data = buf_new(SSE_MAX_BYTES),
                      .id = buf_new(256),
                      .retry_ms = -1};
}

void sse_free(struct sse *s)
{
    buf_free(&s->line);
    buf_free(&s->kind);
    buf_free(&s->data);
    buf_free(&s->id);
}

static void forget_event(struct sse *s)
{
    buf_reset(&s->kind);
    buf_reset(&s->data);
    s->has_data = false;
}

void sse_restart(struct sse *s)
{
    forget_event(s);
    buf_reset(&s->line);
    s->after_cr = s->started = false;
}

static bool set_kind(struct sse *s, const char *value)
{
    buf_reset(&s->kind);
    return buf_str(&s->kind, value);
}

static bool add_data(struct sse *s, const char *value)
{
    bool fits = (!s->has_data || buf_str(&s->data, "\n")) && buf_str(&s->data, value);

    s->has_data = true;
    return fits;
}

static bool set_id(struct sse *s, const char *value)
{
    buf_reset(&s->id);
    return buf_str(&s->id, value);
}

static bool set_retry(struct sse *s, const char *value)
{
    int64_t ms;

    if (str_int(value, 0, INT32_MAX, &ms))
        s->retry_ms = ms;
    return true;
}

static const struct {
    const char *name;
    bool (*take)(struct sse *s, const char *value);
} fields[] = {
    {"event", set_kind},
    {"data", add_data},
    {"id", set_id},
    {"retry", set_retry},
};

static bool dispatch(struct sse *s, sse_fn fn, void *arg, struct error *err)
{
    struct sse_event e = {s->kind.len ? buf_text(&s->kind) : "message", buf_text(&s->data),
                          s->data.len, buf_text(&s->id)};
    bool go_on = !s->has_data || fn(&e, arg, err);

    forget_event(s);
    return go_on;
}

static bool take_line(struct sse *s, sse_fn fn, void *arg, struct error *err)
{
    char *line = s->line.data;
    size_t name;

    if (!s->line.len)
        return dispatch(s, fn, arg, err);
    name = strcspn(line, ":");
    /* Comments, unknown fields and what has a NUL inside are to be ignored. */
    if (strlen(line) == s->line.len && name) {
        const char *value = line + name + (line[name] == ':');

        line[name] = '\0';
        value += *value == ' ' && value > line + name;
        for (size_t i = 0; i < ARRAY_LEN(fields); i++)
            if (strcmp(line, fields[i].name) == 0 && !fields[i].take(s, value))
                return err_set(err, ERR_TOO_LARGE, "an event of the server is too large (%s)",
                               line);
    }
    buf_reset(&s->line);
    return true;
}

/* A byte order mark may stand in front of everything. */
static void drop_mark(struct sse *s)
{
    if (!s->started && s->line.len >= 3 && memcmp(s->line.data, "\xef\xbb\xbf", 3) == 0)
        buf_consume(&s->line, 3);
    s->started = true;
}

bool sse_feed(struct sse *s, const char *bytes, size_t len, sse_fn fn, void *arg, struct error *err)
{
    while (len) {
        size_t n = 0;

        if (s->after_cr && *bytes == '\n') {
            bytes++;
            len--;
            s->after_cr = false;
            continue;
        }
        s->after_cr = false;
        while (n < len && bytes[n] != '\n' && bytes[n] != '\r')
            n++;
        if (!buf_add(&s->line, bytes, n))
            return err_set(err, ERR_TOO_LARGE, "a line of the event stream is too long");
        if (n == len)
            return true;
        s->after_cr = bytes[n] == '\r';
        drop_mark(s);
        if (!take_line(s, fn, arg, err))
            return false;
        bytes += n + 1;
        len -= n + 1;
    }
    return true;
}
