#include "worker/engine/backend/cpu/gemm_kernels.h"

#include <string.h>

/* All helpers with vectors in their signature are inlined: no call ever passes one. */
#pragma GCC diagnostic ignored "-Wpsabi"

#define INLINE   static inline __attribute__((always_inline))
#define UNROLL   _Pragma("GCC unroll 16")

#define LANES    16
#define ROWS     12
#define TARGET   __attribute__((target("avx512f")))
#define FN(name) name##_16
#include "worker/engine/backend/cpu/gemm_kernels.inc"
#define LANES    8
#define ROWS     6
#define TARGET   __attribute__((target("avx2,fma")))
#define FN(name) name##_8
#include "worker/engine/backend/cpu/gemm_kernels.inc"
#define LANES 4
#define ROWS  6
#define TARGET
#define FN(name) name##_4
#include "worker/engine/backend/cpu/gemm_kernels.inc"

const struct gemm_math *gemm_math(enum simd simd)
{
    static const struct gemm_math *const all[] = {
        [SIMD_NONE] = &math_4, [SIMD_AVX2] = &math_8, [SIMD_AVX512] = &math_16};

    return all[simd];
}
