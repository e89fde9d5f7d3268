/* Memory that cannot fail: small allocations end the program when there is none left, because no
 * caller could do better. Sizes that come from outside are limited by whoever reads them; large
 * regions (plans, data sets) use mem_try_aligned and report an error. */
#ifndef PROTO_BASE_MEM_H
#define PROTO_BASE_MEM_H

#include <stddef.h>

enum {
    MEM_LARGE = 2 << 20 /* bytes of a block that mem_try_aligned gives large pages */
};

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Zeroed. A count times a size that overflows ends the program too. */
void *mem_calloc(size_t count, size_t size);
/* Grows or makes a block; new bytes are undefined. */
void *mem_realloc(void *old, size_t count, size_t size);
/* Zeroed and aligned, or NULL. Release with free(). */
void *mem_try_aligned(size_t align, size_t bytes);

/* From now on each block of MEM_LARGE bytes or more is a mapping of its own, whatever was freed before: the heap in
 * the narrow sense has the others, and mem_in_heap() tells how many bytes those take. A large block takes address
 * space for its alignment, which no memory ever stands behind; so it has to be counted by itself. */
void mem_large_apart(void);
size_t mem_in_heap(void);

#define NEW(type)          ((type *)mem_calloc(1, sizeof(type)))
#define NEW_ARRAY(type, n) ((type *)mem_calloc((n), sizeof(type)))

#endif
