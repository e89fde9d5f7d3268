/* The description of the API as JSON, and the schema of a job out of it, as C string literals: for the build. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/yaml.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    MAX_BYTES = 16 << 20,
    LINE = 100
};

static const char components[] = "#/components/schemas/", defs[] = "#/$defs/";

/* -- Schemas ------------------------------------------------------------------------------------------- */

struct schemas {
    const struct json *all; /* by name */
    struct json *used;      /* those that the job needs, likewise */
};

static struct json *moved(struct schemas *s, const struct json *j);

/* "#/$defs/X" for "#/components/schemas/X", and X with what it needs. */
static struct json *moved_ref(struct schemas *s, const char *ref)
{
    const char *name = ref + strlen(components);
    char *text;
    struct json *j;

    if (!str_starts(ref, components))
        return js_new_string(ref);
    if (!js_get(s->used, name)) {
        js_set(s->used, name, js_new_null()); /* one that refers to itself is not looked at again */
        js_set(s->used, name, moved(s, js_get(s->all, name)));
    }
    text = str_fmt("%s%s", defs, name);
    j = js_new_string(text);
    free(text);
    return j;
}

static struct json *moved(struct schemas *s, const struct json *j)
{
    struct json *out;

    if (js_kind(j) == JS_ARRAY) {
        out = js_new_array();
        for (size_t i = 0; i < js_len(j); i++)
            js_push(out, moved(s, js_at(j, i)));
        return out;
    }
    if (js_kind(j) != JS_OBJECT)
        return js_copy(j);
    out = js_new_object();
    for (void *it = js_first(j); it; it = js_next(j, it)) {
        bool is_ref = strcmp(js_key(it), "$ref") == 0 && js_kind(js_value(it)) == JS_STRING;

        js_set(out, js_key(it),
               is_ref ? moved_ref(s, js_string(js_value(it), "")) : moved(s, js_value(it)));
    }
    return out;
}

static struct json *job_schema(const struct json *api)
{
    struct schemas s = {.all = js_path(api, "components.schemas"), .used = js_new_object()};
    struct json *out = js_new_object(), *job = moved(&s, js_get(s.all, "JobSpec"));

    js_set(out, "$schema", js_new_string("https://json-schema.org/draft/2020-12/schema"));
    js_set(out, "$id", js_new_string("/api/v1/schema/job.json"));
    js_set(out, "title", js_new_string("A job of distilld"));
    for (void *it = js_first(job); it; it = js_next(job, it))
        js_set(out, js_key(it), js_copy(js_value(it)));
    js_set(out, "$defs", s.used);
    js_free(job);
    return out;
}

/* -- The program --------------------------------------------------------------------------------------- */

/* "..." in lines; a question mark could be part of a trigraph. */
static void print_literal(const struct json *j)
{
    char *text = js_text(j, JS_COMPACT);

    for (size_t i = 0; text[i]; i++) {
        if (i % LINE == 0)
            fputs(i ? "\"\n\"" : "\"", stdout);
        if (strchr("\"\\?", text[i]))
            putchar('\\');
        putchar(text[i]);
    }
    fputs("\"\n", stdout);
    free(text);
}

static struct json *read_api(const char *path, struct error *err)
{
    struct buf text = buf_new(MAX_BYTES);
    struct json *lines = js_new_object();
    struct json *api =
        file_read(path, &text, err) ? yaml_parse(buf_text(&text), text.len, lines, err) : NULL;

    js_free(lines);
    buf_free(&text);
    return api;
}

int main(int argc, char **argv)
{
    struct error err;
    struct json *api = argc == 3 ? read_api(argv[2], &err) : NULL, *out = NULL;

    if (api && strcmp(argv[1], "api") == 0)
        out = js_copy(api);
    else if (api && strcmp(argv[1], "job") == 0)
        out = job_schema(api);
    if (out)
        print_literal(out);
    else
        fprintf(stderr, "%s: %s\n", argv[0],
                argc == 3 && !api ? err.msg : "usage: openapi_json api|job openapi.yaml");
    js_free(out);
    js_free(api);
    return out && fflush(stdout) == 0 ? 0 : 1;
}
