/* Batch norm on one block of channels of a blocked image: 8 or 16 channels side by side, `plane` pixels
 * a sample, samples `stride` floats apart. Everything between loads and stores is double: memory is the
 * limit here, so it costs little, and rounding that hits a whole channel alike is what makes float
 * training drift from exact arithmetic first. */
#ifndef WORKER_ENGINE_BACKEND_CPU_BN_KERNELS_H
#define WORKER_ENGINE_BACKEND_CPU_BN_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    BN_MAX_BLOCK = 16
};

struct bn_image {
    int64_t samples, stride, plane;
    int block; /* 8 or 16 */
};

/* Per channel: sum of x and of x^2. */
void bn_sums(const struct bn_image *im, const float *x, double *sum, double *squares);
/* What comes back: dy, of which only that counts which belongs to positive y where there is y. That is
 * written to cut, which may be dy. */
struct bn_back {
    const float *dy, *y; /* y NULL: no ReLU follows, cut is not used */
    float *cut;
};
/* Per channel: sum of dy and of dy x. */
void bn_grad_sums(const struct bn_image *im, const float *x, const struct bn_back *back,
                  double *sum, double *dot);
/* y = scale x + shift [+ residual], negative ones cut off where `relu` says so */
struct bn_affine {
    const double *scale, *shift; /* of each channel of the block */
    const float *residual;       /* like x; NULL: none */
    bool relu;
};
void bn_apply(const struct bn_image *im, const float *x, const struct bn_affine *a, float *y);
/* dx = scale dy + slope x + offset */
void bn_grad_apply(const struct bn_image *im, const float *x, const float *dy, const double *scale,
                   const double *slope, const double *offset, float *dx);

#endif
