#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"
#include "worker/conformance/conformance.h"

bool cf_state_open(struct cf_state *s, const struct cf_case *c, const char *rows_key,
                   const char *prefix_key, struct error *err)
{
    *s = (struct cf_state){.rows = cf_meta_json(c, rows_key), .salt = cf_meta(c, "salt")};
    if (js_kind(s->rows) != JS_ARRAY)
        return err_set(err, ERR_DATA, "metadata has no %s", rows_key);
    s->prefix = str_dup(cf_meta(c, prefix_key));
    return true;
}

void cf_state_close(struct cf_state *s)
{
    js_free(s->rows);
    free(s->prefix);
    *s = (struct cf_state){0};
}

static void fill(float *out, size_t n, float value)
{
    for (size_t i = 0; i < n; i++)
        out[i] = value;
}

bool cf_state_fill(const struct cf_state *s, const char *key, size_t n, float *out,
                   struct error *err)
{
    for (size_t i = 0; i < js_len(s->rows); i++) {
        const struct json *row = js_at(s->rows, i), *shape = js_at(row, 4);
        const char *role = js_string(js_at(row, 1), "");
        int64_t count = 1;
        char *stream;

        if (strcmp(js_string(js_at(row, 0), ""), key) != 0)
            continue;
        for (size_t k = 0; k < js_len(shape); k++)
            count *= js_int(js_at(shape, k), 0);
        if (count != (int64_t)n)
            return err_set(err, ERR_DATA, "state %s has %lld elements; the model has %zu", key,
                           (long long)count, n);
        if (s->fresh_norms && str_starts(role, "bn.")) {
            fill(out, n, str_ends(role, ".gamma") || str_ends(role, ".var") ? 1 : 0);
            return true;
        }
        stream = str_fmt("%s%s", s->prefix, key);
        cf_uniform(s->salt, stream, js_real(js_at(row, 2), 0), js_real(js_at(row, 3), 0), n, out);
        free(stream);
        return true;
    }
    return err_set(err, ERR_DATA, "the case's state has no %s", key);
}
