/* A tile of a matrix product, held in registers while the sum over the inner dimension runs. */
#ifndef WORKER_ENGINE_BACKEND_CPU_GEMM_KERNELS_H
#define WORKER_ENGINE_BACKEND_CPU_GEMM_KERNELS_H

#include <stdint.h>

#include "worker/engine/backend/cpu/simd.h"

/* A panel of y, a few columns wide: y[i][j] = sum over k of a[i][k] b[k][j], or y[i][j] += that. The panel of
 * b is packed: `width` columns side by side, those that do not exist zero. */
struct gemm_panel {
    const float *a, *b;
    float *y;
    int64_t a_row, a_step, y_row; /* floats from one row of a, one k, one row of y to the next */
    int64_t rows, inner, columns; /* columns <= width */
    int add;
};

struct gemm_math {
    int width;
    void (*run)(const struct gemm_panel *p);
};

/* Never NULL. */
const struct gemm_math *gemm_math(enum simd simd);

#endif
