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

const struct depthwise_math *depthwise_math(int block)
{
    if (block == 16)
        return &math_16; /* the block's size says that the processor has them */
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &math_8 : &math_any;
}
