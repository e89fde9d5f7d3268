#include "proto/base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void out_of_memory(size_t count, size_t size)
{
    fprintf(stderr, "out of memory: %zu x %zu bytes\n", count, size);
    abort();
}

void *mem_calloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);

    if (!p)
        out_of_memory(count, size);
    return p;
}

void *mem_realloc(void *old, size_t count, size_t size)
{
    void *p;

    if (size && count > SIZE_MAX / size)
        out_of_memory(count, size);
    p = realloc(old, count && size ? count * size : 1);
    if (!p)
        out_of_memory(count, size);
    return p;
}

void *mem_try_aligned(size_t align, size_t bytes)
{
    void *p = NULL;

    if (posix_memalign(&p, align, bytes ? bytes : align) != 0)
        return NULL;
    memset(p, 0, bytes);
    return p;
}
