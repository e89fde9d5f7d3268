#include "proto/base/pool.h"

#include <stdalign.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK = 256 /* objects */
};

/* So that any type may lie there, and the list of those that came back. */
static size_t room_of(size_t size)
{
    const size_t align = alignof(max_align_t);

    return (size + align - 1) / align * align;
}

#ifdef __has_feature
#    if __has_feature(address_sanitizer)
#        define __SANITIZE_ADDRESS__
#    endif
#endif

#ifdef __SANITIZE_ADDRESS__

/* A block each, or the sanitizer would not see that one is used after it was given back. */
void *pool_take(struct pool *p, size_t size)
{
    (void)p;
    return mem_calloc(1, room_of(size));
}

void pool_give(struct pool *p, void *object)
{
    (void)p;
    free(object);
}

#else

void *pool_take(struct pool *p, size_t size)
{
    void *object = p->returned;

    if (object) {
        memcpy(&p->returned, object, sizeof(p->returned));
        return memset(object, 0, size);
    }
    if (!p->left) {
        vec_push(&p->chunks, mem_calloc(CHUNK, room_of(size)));
        p->left = CHUNK;
    }
    return p->chunks.at[p->chunks.n - 1] + (CHUNK - p->left--) * room_of(size);
}

void pool_give(struct pool *p, void *object)
{
    memcpy(object, &p->returned, sizeof(p->returned));
    p->returned = object;
}

#endif

void pool_free(struct pool *p)
{
    for (size_t i = 0; i < p->chunks.n; i++)
        free(p->chunks.at[i]);
    vec_free(&p->chunks);
    *p = (struct pool){.returned = NULL};
}
