/* out := a + b, each element rounded once; out may be a or b. Sixteen at a time in so many words, because
 * compilers leave such loops as they are below -O3. */
#ifndef WORKER_COLLECTIVE_ADD_H
#define WORKER_COLLECTIVE_ADD_H

#include <stddef.h>
#include <string.h>

typedef float floats16 __attribute__((vector_size(64)));

static inline void add_floats(float *out, const float *a, const float *b, size_t n)
{
    size_t i = 0;

    for (; i + 16 <= n; i += 16) {
        floats16 x, y;

        memcpy(&x, a + i, sizeof(x));
        memcpy(&y, b + i, sizeof(y));
        x += y;
        memcpy(out + i, &x, sizeof(x));
    }
    for (; i < n; i++)
        out[i] = a[i] + b[i];
}

#endif
