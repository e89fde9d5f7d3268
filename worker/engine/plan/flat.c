#include "worker/engine/plan/flat.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"

void flat_free(struct flat *f)
{
    for (size_t i = 0; i < f->params.n; i++)
        free(f->params.at[i].name);
    for (size_t i = 0; i < f->buffers.n; i++)
        free(f->buffers.at[i].name);
    vec_free(&f->params);
    vec_free(&f->buffers);
    *f = (struct flat){0};
}

const struct flat_entry *flat_find(const struct flat *f, const char *name)
{
    for (size_t i = 0; i < f->params.n; i++)
        if (strcmp(f->params.at[i].name, name) == 0)
            return &f->params.at[i];
    for (size_t i = 0; i < f->buffers.n; i++)
        if (strcmp(f->buffers.at[i].name, name) == 0)
            return &f->buffers.at[i];
    return NULL;
}

const struct flat_entry *flat_place(struct flat *f, const struct value *v)
{
    bool buffer = v->kind == VALUE_BUFFER;
    size_t *total = buffer ? &f->buffer_count : &f->param_count;
    const struct flat_entry *known = flat_find(f, v->name);
    struct flat_entry e = {
        .role = v->role, .shape = v->shape, .count = (size_t)shape_count(&v->shape)};

    if (known) {
        ASSERT(shape_equal(&known->shape, &v->shape));
        return known;
    }
    e.name = str_dup(v->name);
    e.offset = *total;
    *total += (e.count + FLAT_ALIGN - 1) / FLAT_ALIGN * FLAT_ALIGN;
    if (buffer) {
        vec_push(&f->buffers, e);
        return &f->buffers.at[f->buffers.n - 1];
    }
    vec_push(&f->params, e);
    return &f->params.at[f->params.n - 1];
}

size_t flat_grad_count(const struct flat *f)
{
    return f->param_count + f->buffer_count;
}

size_t flat_grad_offset(const struct flat *f, const struct value *like)
{
    const struct flat_entry *e = flat_find(f, like->name);

    ASSERT(e);
    return e->offset + (like->kind == VALUE_BUFFER ? f->param_count : 0);
}
