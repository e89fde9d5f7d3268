#include "client/problem.h"

#include <inttypes.h>

#include "client/out.h"
#include "proto/base/mem.h"

/* Statuses that mean one thing. What is not listed says that the server failed. */
static enum err_code code_of(long status)
{
    static const struct {
        long status;
        enum err_code code;
    } rows[] = {
        {400, ERR_INVALID},   {401, ERR_UNAUTHORIZED}, {403, ERR_FORBIDDEN},
        {404, ERR_NOT_FOUND}, {409, ERR_CONFLICT},     {410, ERR_GONE},
        {412, ERR_CONFLICT},  {413, ERR_TOO_LARGE},    {415, ERR_INVALID},
        {422, ERR_INVALID},   {429, ERR_UNREACHABLE},  {503, ERR_UNREACHABLE},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].status == status)
            return rows[i].code;
    return ERR_FAILED;
}

bool problem_error(long status, const struct json *problem, const char *from, struct error *err)
{
    const char *title = js_string(js_get(problem, "title"), "");
    const char *detail = js_string(js_get(problem, "detail"), "");
    struct buf text = buf_new(0);

    if (!*title && !*detail) {
        buf_fmt(&text, "%s answered with HTTP status %ld", from, status);
    } else {
        out_clean(&text, title);
        buf_str(&text, *title && *detail ? ": " : "");
        out_clean(&text, detail);
    }
    if (status == 401)
        buf_str(&text, " (the token is expected in --token-file FILE or --state DIR)");
    err_set(err, code_of(status), "%s", buf_text(&text));
    buf_free(&text);
    return false;
}

void problem_add_lines(struct json *errors, const struct json *lines)
{
    for (size_t i = 0; i < js_len(errors); i++) {
        struct json *e = js_at(errors, i);
        int64_t line = js_int(js_get(lines, js_string(js_get(e, "pointer"), "#")), 0);

        if (line && js_kind(e) == JS_OBJECT)
            js_set(e, "line", js_new_int(line));
    }
}

void problem_list(const struct json *errors, struct buf *out)
{
    for (size_t i = 0; i < js_len(errors); i++) {
        const struct json *e = js_at(errors, i);

        buf_str(out, "  ");
        out_clean(out, js_string(js_get(e, "pointer"), "#"));
        if (js_int(js_get(e, "line"), 0))
            buf_fmt(out, " (line %" PRId64 ")", js_int(js_get(e, "line"), 0));
        buf_str(out, ": ");
        out_clean(out, js_string(js_get(e, "detail"), "not valid"));
        buf_str(out, "\n");
    }
}
