#include "proto/base/jw.h"

#include <string.h>

#include "proto/base/json.h"

struct jw jw_new(struct buf *out)
{
    return (struct jw){.out = out};
}

enum {
    KEY_MAX = 60 /* that are written in one piece; those of jobs are shorter */
};

static void begin_value(struct jw *w, const char *key)
{
    char text[KEY_MAX + 4];
    size_t n = 0, len = key ? strlen(key) : 0;

    if (w->more)
        text[n++] = ',';
    w->more = true;
    if (key)
        text[n++] = '"';
    if (len > KEY_MAX) {
        buf_add(w->out, text, n);
        buf_add(w->out, key, len);
        n = 0;
    } else if (key) {
        memcpy(text + n, key, len);
        n += len;
    }
    if (key) {
        text[n++] = '"';
        text[n++] = ':';
    }
    buf_add(w->out, text, n);
}

static void begin(struct jw *w, const char *key, const char *bracket)
{
    begin_value(w, key);
    buf_add(w->out, bracket, 1);
    w->more = false;
}

static void end(struct jw *w, const char *bracket)
{
    buf_add(w->out, bracket, 1);
    w->more = true;
}

void jw_begin_object(struct jw *w, const char *key)
{
    begin(w, key, "{");
}

void jw_end_object(struct jw *w)
{
    end(w, "}");
}

void jw_begin_array(struct jw *w, const char *key)
{
    begin(w, key, "[");
}

void jw_end_array(struct jw *w)
{
    end(w, "]");
}

void jw_member(struct jw *w, const char *key)
{
    jw_string(w, NULL, key);
    buf_add(w->out, ":", 1);
    w->more = false;
}

void jw_null(struct jw *w, const char *key)
{
    jw_json(w, key, NULL);
}

void jw_bool(struct jw *w, const char *key, bool v)
{
    jw_json(w, key, v ? "true" : "false");
}

void jw_int(struct jw *w, const char *key, int64_t v)
{
    begin_value(w, key);
    js_write_int(v, w->out);
}

void jw_real(struct jw *w, const char *key, double v)
{
    begin_value(w, key);
    js_write_real(v, w->out);
}

static bool is_ascii(const char *v)
{
    while (*v && !((unsigned char)*v & 0x80))
        v++;
    return !*v;
}

/* Whether more than ASCII is UTF-8 is the library's to judge. */
static void write_judged(const char *v, struct buf *out)
{
    struct json *j = js_new_string(v);

    js_write(j, JS_COMPACT, out);
    js_free(j);
}

void jw_string(struct jw *w, const char *key, const char *v)
{
    if (!v) {
        jw_json(w, key, NULL);
        return;
    }
    begin_value(w, key);
    if (is_ascii(v))
        js_write_string(v, w->out);
    else
        write_judged(v, w->out);
}

void jw_json(struct jw *w, const char *key, const char *json)
{
    begin_value(w, key);
    buf_str(w->out, json ? json : "null");
}
