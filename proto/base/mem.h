/* Memory that cannot fail: small allocations end the program when there is none left, because no
 * caller could do better. Sizes that come from outside are limited by whoever reads them; large
 * regions (plans, data sets) use mem_try_aligned and report an error. */
#ifndef PROTO_BASE_MEM_H
#define PROTO_BASE_MEM_H

#include <stddef.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Zeroed. A count times a size that overflows ends the program too. */
void *mem_calloc(size_t count, size_t size);
/* Grows or makes a block; new bytes are undefined. */
void *mem_realloc(void *old, size_t count, size_t size);
/* Zeroed and aligned, or NULL. Release with free(). */
void *mem_try_aligned(size_t align, size_t bytes);

#define NEW(type)          ((type *)mem_calloc(1, sizeof(type)))
#define NEW_ARRAY(type, n) ((type *)mem_calloc((n), sizeof(type)))

#endif
