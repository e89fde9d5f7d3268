#include "worker/engine/backend/cpu/depthwise_kernels.h"

#include <string.h>

/* All helpers with vectors in their signature are inlined: no call ever passes one. */
#pragma GCC diagnostic ignored "-Wpsabi"

#define INLINE   static inline __attribute__((always_inline))
#define UNROLL   _Pragma("GCC unroll 16")

#define BLOCK    16
#define TARGET   __attribute__((target("avx512f")))
#define FN(name) name##_16
#include "worker/engine/backend/cpu/depthwise_kernels.inc"
#define BLOCK    8
#define TARGET   __attribute__((target("avx2,fma")))
#define FN(name) name##_8
#include "worker/engine/backend/cpu/depthwise_kernels.inc"
#define BLOCK 8
#define TARGET
#define FN(name) name##_any
#include "worker/engine/backend/cpu/depthwise_kernels.inc"

const struct depthwise_math *depthwise_math(enum simd simd)
{
    static const struct depthwise_math *const all[] = {
        [SIMD_NONE] = &math_any, [SIMD_AVX2] = &math_8, [SIMD_AVX512] = &math_16};

    return all[simd];
}
