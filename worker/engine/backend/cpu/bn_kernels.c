#include "worker/engine/backend/cpu/bn_kernels.h"

#include <string.h>

#include "proto/base/clones.h"

/* All helpers with vectors in their signature are inlined: no call ever passes one. */
#pragma GCC diagnostic ignored "-Wpsabi"

/* Vectors of eight: the compiler lowers them to whatever the target of a clone has. */
typedef float v8f __attribute__((vector_size(32)));
typedef double v8d __attribute__((vector_size(64)));
typedef int32_t v8i __attribute__((vector_size(32)));
typedef int64_t v8l __attribute__((vector_size(64)));

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 2")

/* i: where the block of each pixel of each sample begins. */
#define FOR_PIXELS(im, n, i, halves)                                                      \
    for (int64_t i = (n) * (im)->stride, end_ = i + 8 * (halves) * (im)->plane; i < end_; \
         i += 8 * (halves))
#define FOR_BLOCKS(im, n, i, halves)            \
    for (int64_t n = 0; n < (im)->samples; n++) \
    FOR_PIXELS(im, n, i, halves)
/* Of what another pass has read before, the end is still in the cache. */
#define FOR_BLOCKS_BACKWARDS(im, n, i, halves) \
    for (int64_t n = (im)->samples; n-- > 0;)  \
    FOR_PIXELS(im, n, i, halves)

INLINE v8f load(const float *x)
{
    v8f v;

    memcpy(&v, x, sizeof(v));
    return v;
}

INLINE v8d wide(const float *x)
{
    return __builtin_convertvector(load(x), v8d);
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

/* Sum of a and of a b, of the channels of a block by halves. A product of two floats is exact in double, so it
 * makes no difference whether it is rounded before it is added. */
struct sums {
    v8d a[2], product[2];
};

INLINE void add(struct sums *s, int h, const v8f *a, const v8f *b)
{
    v8d x = __builtin_convertvector(*a, v8d);

    s->a[h] += x;
    s->product[h] += x * __builtin_convertvector(*b, v8d);
}

INLINE void put(const struct sums *s, double *sum, double *product, int halves)
{
    for (int h = 0; h < halves; h++) {
        memcpy(sum + 8 * h, &s->a[h], sizeof(s->a[h]));
        memcpy(product + 8 * h, &s->product[h], sizeof(s->product[h]));
    }
}

INLINE void sums(const struct bn_image *im, const float *x, double *sum, double *squares,
                 int halves)
{
    struct sums s = {0};

    FOR_BLOCKS(im, n, i, halves)
    UNROLL for (int h = 0; h < halves; h++)
    {
        const v8f v = load(x + i + 8 * h);

        add(&s, h, &v, &v);
    }
    put(&s, sum, squares, halves);
}

CLONES void bn_sums(const struct bn_image *im, const float *x, double *sum, double *squares)
{
    if (im->block == 16)
        sums(im, x, sum, squares, 2);
    else
        sums(im, x, sum, squares, 1);
}

INLINE void grad_sums(const struct bn_image *im, const float *x, const struct bn_back *back,
                      double *sum, double *dot, int halves, bool relu)
{
    struct sums s = {0};

    FOR_BLOCKS(im, n, i, halves)
    UNROLL for (int h = 0; h < halves; h++)
    {
        const int64_t at = i + 8 * h;
        const v8f here = load(x + at);
        v8f dy = load(back->dy + at);

        if (relu) {
            dy = (v8f)((v8i)dy & (load(back->y + at) > 0));
            memcpy(back->cut + at, &dy, sizeof(dy));
        }
        add(&s, h, &dy, &here);
    }
    put(&s, sum, dot, halves);
}

CLONES void bn_grad_sums(const struct bn_image *im, const float *x, const struct bn_back *back,
                         double *sum, double *dot)
{
    if (im->block == 16 && back->y)
        grad_sums(im, x, back, sum, dot, 2, true);
    else if (im->block == 16)
        grad_sums(im, x, back, sum, dot, 2, false);
    else
        grad_sums(im, x, back, sum, dot, 1, back->y != NULL);
}

INLINE void apply(const struct bn_image *im, const float *x, const struct bn_affine *a, float *y,
                  int halves, bool add, bool relu)
{
    v8d k[2], b[2];

    for (int h = 0; h < halves; h++) {
        k[h] = wide_double(a->scale + 8 * h);
        b[h] = wide_double(a->shift + 8 * h);
    }
    FOR_BLOCKS_BACKWARDS(im, n, i, halves)
    UNROLL for (int h = 0; h < halves; h++)
    {
        v8d v = wide(x + i + 8 * h) * k[h] + b[h];

        if (add)
            v += wide(a->residual + i + 8 * h);
        if (relu)
            v = (v8d)((v8l)v & (v > 0));
        narrow(y + i + 8 * h, v);
    }
}

INLINE void apply_as_asked(const struct bn_image *im, const float *x, const struct bn_affine *a,
                           float *y, int halves)
{
    if (a->residual)
        apply(im, x, a, y, halves, true, a->relu);
    else if (a->relu)
        apply(im, x, a, y, halves, false, true);
    else
        apply(im, x, a, y, halves, false, false);
}

CLONES void bn_apply(const struct bn_image *im, const float *x, const struct bn_affine *a, float *y)
{
    if (im->block == 16)
        apply_as_asked(im, x, a, y, 2);
    else
        apply_as_asked(im, x, a, y, 1);
}

INLINE void grad_apply(const struct bn_image *im, const float *x, const float *dy,
                       const double *scale, const double *slope, const double *offset, float *dx,
                       int halves)
{
    v8d k[2], a[2], b[2];

    for (int h = 0; h < halves; h++) {
        k[h] = wide_double(scale + 8 * h);
        a[h] = wide_double(slope + 8 * h);
        b[h] = wide_double(offset + 8 * h);
    }
    FOR_BLOCKS_BACKWARDS(im, n, i, halves)
    UNROLL for (int h = 0; h < halves; h++)
    {
        const int64_t at = i + 8 * h;

        narrow(dx + at, wide(dy + at) * k[h] + (wide(x + at) * a[h] + b[h]));
    }
}

CLONES void bn_grad_apply(const struct bn_image *im, const float *x, const float *dy,
                          const double *scale, const double *slope, const double *offset, float *dx)
{
    if (im->block == 16)
        grad_apply(im, x, dy, scale, slope, offset, dx, 2);
    else
        grad_apply(im, x, dy, scale, slope, offset, dx, 1);
}
