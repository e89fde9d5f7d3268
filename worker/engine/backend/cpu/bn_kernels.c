#include "worker/engine/backend/cpu/bn_kernels.h"

#include <string.h>

#include "worker/engine/backend/cpu/clones.h"

/* All helpers with vectors in their signature are inlined: no call ever passes one. */
#pragma GCC diagnostic ignored "-Wpsabi"

/* Vectors of eight: the compiler lowers them to whatever the target of a clone has. */
typedef float v8f __attribute__((vector_size(32)));
typedef double v8d __attribute__((vector_size(64)));
typedef int64_t v8i __attribute__((vector_size(64)));

#define INLINE static inline __attribute__((always_inline))

INLINE v8d wide(const float *x)
{
    v8f v;

    memcpy(&v, x, sizeof(v));
    return __builtin_convertvector(v, v8d);
}

INLINE v8d wide_double(const double *x)
{
    v8d v;

    memcpy(&v, x, sizeof(v));
    return v;
}

INLINE void narrow(float *x, v8d v)
{
    v8f f = __builtin_convertvector(v, v8f);

    memcpy(x, &f, sizeof(f));
}

/* Both sums of one pixel's eight channels. */
INLINE void add(v8d *sum, v8d *product, const float *a, const float *b)
{
    v8d x = wide(a);

    *sum += x;
    *product += x * wide(b);
}

/* sum of a, sum of a b; two halves of a block at a time where it has sixteen channels. */
INLINE void sums(const struct bn_image *im, const float *a, const float *b, double *sum,
                 double *product, int block)
{
    v8d s0 = {0}, s1 = {0}, p0 = {0}, p1 = {0};

    for (int64_t n = 0; n < im->samples; n++, a += im->stride, b += im->stride)
        for (int64_t i = 0; i < im->plane * block; i += block) {
            add(&s0, &p0, a + i, b + i);
            if (block == 16)
                add(&s1, &p1, a + i + 8, b + i + 8);
        }
    memcpy(sum, &s0, sizeof(s0));
    memcpy(product, &p0, sizeof(p0));
    if (block == 16) {
        memcpy(sum + 8, &s1, sizeof(s1));
        memcpy(product + 8, &p1, sizeof(p1));
    }
}

CLONES void bn_sums(const struct bn_image *im, const float *x, double *sum, double *squares)
{
    if (im->block == 16)
        sums(im, x, x, sum, squares, 16);
    else
        sums(im, x, x, sum, squares, 8);
}

CLONES void bn_grad_sums(const struct bn_image *im, const float *x, const float *dy, double *sum,
                         double *dot)
{
    if (im->block == 16)
        sums(im, dy, x, sum, dot, 16);
    else
        sums(im, dy, x, sum, dot, 8);
}

/* Half a block, which has 8 channels. */
INLINE void apply(const struct bn_image *im, const float *x, const struct bn_affine *a, float *y,
                  int half, bool add, bool relu)
{
    v8d k = wide_double(a->scale + half), b = wide_double(a->shift + half);

    for (int64_t n = 0; n < im->samples; n++)
        for (int64_t i = n * im->stride + half, end = i + im->plane * im->block; i < end;
             i += im->block) {
            v8d v = wide(x + i) * k + b;

            if (add)
                v += wide(a->residual + i);
            if (relu)
                v = (v8d)((v8i)v & (v > 0));
            narrow(y + i, v);
        }
}

CLONES void bn_apply(const struct bn_image *im, const float *x, const struct bn_affine *a, float *y)
{
    for (int half = 0; half < im->block; half += 8) {
        if (a->residual)
            apply(im, x, a, y, half, true, a->relu);
        else if (a->relu)
            apply(im, x, a, y, half, false, true);
        else
            apply(im, x, a, y, half, false, false);
    }
}

CLONES void bn_grad_apply(const struct bn_image *im, const float *x, const float *dy,
                          const double *scale, const double *slope, const double *offset, float *dx)
{
    for (int half = 0; half < im->block; half += 8) {
        v8d k = wide_double(scale + half), a = wide_double(slope + half);
        v8d b = wide_double(offset + half);

        for (int64_t n = 0; n < im->samples; n++)
            for (int64_t i = n * im->stride + half, end = i + im->plane * im->block; i < end;
                 i += im->block)
                narrow(dx + i, wide(dy + i) * k + (wide(x + i) * a + b));
    }
}
