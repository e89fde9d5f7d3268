#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "worker/conformance/conformance.h"

const struct st_tensor *cf_tensor(const struct cf_case *c, const char *name, struct error *err)
{
    const struct st_tensor *t = st_find(c->st, name);

    if (!t)
        err_set(err, ERR_DATA, "no tensor %s", name);
    return t;
}

float *cf_floats(const struct cf_case *c, const char *name, struct error *err)
{
    const struct st_tensor *t = cf_tensor(c, name, err);
    float *out;

    if (!t)
        return NULL;
    out = NEW_ARRAY(float, (size_t)st_count(t));
    if (st_to_float(t, out))
        return out;
    err_set(err, ERR_DATA, "%s holds no real numbers", name);
    free(out);
    return NULL;
}

int32_t *cf_labels(const struct cf_case *c, const char *name, struct error *err)
{
    const struct st_tensor *t = cf_tensor(c, name, err);
    size_t n;
    int64_t *wide;
    int32_t *out = NULL;

    if (!t)
        return NULL;
    n = (size_t)st_count(t);
    wide = NEW_ARRAY(int64_t, n);
    if (st_to_int64(t, wide)) {
        out = NEW_ARRAY(int32_t, n);
        for (size_t i = 0; i < n; i++)
            out[i] = (int32_t)wide[i];
    } else {
        err_set(err, ERR_DATA, "%s holds no whole numbers", name);
    }
    free(wide);
    return out;
}

const char *cf_meta(const struct cf_case *c, const char *key)
{
    const char *text = st_meta(c->st, key);

    return text ? text : "";
}

struct json *cf_meta_json(const struct cf_case *c, const char *key)
{
    const char *text = st_meta(c->st, key);

    return text ? js_parse(text, strlen(text), NULL) : NULL;
}
