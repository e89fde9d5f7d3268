#define _DEFAULT_SOURCE /* madvise */
#include "proto/base/mem.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    LARGE_PAGE = MEM_LARGE,
    SEVERAL_PAGES = 64 << 10
};

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

/* Touching a large region for the first time costs a fault for each of its pages: with small ones that was a
 * third of the time of a run of one step. Only whole large pages are asked for, so that none is larger than
 * what is used. */
static void ask_for_large_pages(void *p, size_t bytes)
{
    (void)madvise(p, bytes / LARGE_PAGE * LARGE_PAGE, MADV_HUGEPAGE);
}

/* The pages under p at once, rather than by a fault for each when it is first used; what was planned is there
 * from the start. Where the kernel cannot, they come one by one. */
static void ask_for_pages(char *p, size_t bytes)
{
#ifdef MADV_POPULATE_WRITE
    size_t page = (size_t)sysconf(_SC_PAGESIZE), before = (uintptr_t)p % page;

    (void)madvise(p - before, before + bytes, MADV_POPULATE_WRITE);
#else
    (void)p;
    (void)bytes;
#endif
}

/* Whole pages are given back to the kernel, which puts zeros in their place: to write zeros over these would
 * be another pass over all of it. */
static void zero_large(char *p, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), skip = (page - (uintptr_t)p % page) % page;
    size_t whole = (bytes - skip) / page * page;

    if (madvise(p + skip, whole, MADV_DONTNEED) != 0) { /* locked, for one */
        memset(p, 0, bytes);
        return;
    }
    memset(p, 0, skip);
    memset(p + skip + whole, 0, bytes - skip - whole);
    ask_for_pages(p, bytes);
}

void *mem_try_aligned(size_t align, size_t bytes)
{
    bool large = bytes >= LARGE_PAGE;
    void *p = NULL;

    if (posix_memalign(&p, large && align < LARGE_PAGE ? LARGE_PAGE : align,
                       bytes ? bytes : align) != 0)
        return NULL;
    if (large) {
        ask_for_large_pages(p, bytes);
        zero_large(p, bytes);
        return p;
    }
    if (bytes >= SEVERAL_PAGES)
        ask_for_pages(p, bytes);
    memset(p, 0, bytes);
    return p;
}

void mem_large_apart(void)
{
    mallopt(M_MMAP_THRESHOLD, MEM_LARGE);
}

size_t mem_in_heap(void)
{
    return mallinfo2().uordblks;
}
