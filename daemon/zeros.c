#define _DEFAULT_SOURCE /* madvise */
#include "daemon/zeros.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static bool is_zero(const char *page, size_t size)
{
    return !*page && memcmp(page, page + 1, size - 1) == 0;
}

void zeros_give_back(const char *data, size_t len)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const char *at = data + (page - (uintptr_t)data % page) % page, *end = data + len;

    for (; at + page <= end; at += page)
        if (is_zero(at, page))
            (void)madvise((void *)(uintptr_t)at, page, MADV_DONTNEED);
}
