#include "worker/engine/ir/attr.h"

#include <inttypes.h>
#include <stdbool.h>

static int64_t *ints(const struct attr_spec *s, const void *attr)
{
    return (int64_t *)(void *)((char *)(uintptr_t)attr + s->offset);
}

static double *real(const struct attr_spec *s, const void *attr)
{
    return (double *)(void *)((char *)(uintptr_t)attr + s->offset);
}

void attr_defaults(const struct attr_spec *specs, void *attr)
{
    for (const struct attr_spec *s = specs; s && s->name; s++) {
        if (s->kind == ATTR_FLOAT)
            *real(s, attr) = s->fallback;
        else
            for (int i = 0; i < s->count; i++)
                ints(s, attr)[i] = (int64_t)s->fallback;
    }
}

static bool is_default(const struct attr_spec *s, const void *attr)
{
    if (s->kind == ATTR_FLOAT)
        return *real(s, attr) == s->fallback;
    for (int i = 0; i < s->count; i++)
        if (ints(s, attr)[i] != (int64_t)s->fallback)
            return false;
    return true;
}

static void dump_one(const struct attr_spec *s, const void *attr, struct buf *out)
{
    if (s->kind == ATTR_FLOAT) {
        buf_fmt(out, "%s=%.9g", s->name, *real(s, attr));
    } else if (s->kind == ATTR_INT) {
        buf_fmt(out, "%s=%" PRId64, s->name, *ints(s, attr));
    } else {
        buf_fmt(out, "%s=[", s->name);
        for (int i = 0; i < s->count; i++)
            buf_fmt(out, "%s%" PRId64, i ? "," : "", ints(s, attr)[i]);
        buf_str(out, "]");
    }
}

void attr_dump(const struct attr_spec *specs, const void *attr, struct buf *out)
{
    bool any = false;

    for (const struct attr_spec *s = specs; s && s->name; s++) {
        if (is_default(s, attr))
            continue;
        buf_str(out, any ? " " : " {");
        dump_one(s, attr, out);
        any = true;
    }
    buf_str(out, any ? "}" : "");
}
