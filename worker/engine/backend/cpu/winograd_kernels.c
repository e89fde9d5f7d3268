#include "worker/engine/backend/cpu/winograd_kernels.h"

#include <immintrin.h>
#include <string.h>

/* All helpers with vectors in their signature are inlined: no call ever passes one. */
#pragma GCC diagnostic ignored "-Wpsabi"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

/* Conversions are intrinsics: of one for 8 numbers gcc 12 makes two and a shuffle. */

#define BLOCK        16
#define REAL         float
#define LANES        16
#define TILES        16
#define GROUP        16
#define VECTOR_BYTES 64
#define TARGET       "avx512f"
#define WIDEN(v)     (v)
#define NARROW(v)    (v)
#define FN(name)     name##_16f
#include "worker/engine/backend/cpu/winograd_kernels.inc"
#define BLOCK        16
#define REAL         double
#define LANES        8
#define TILES        8
#define GROUP        8
#define VECTOR_BYTES 64
#define TARGET       "avx512f"
#define WIDEN(v)     _mm512_cvtps_pd((__m256)(v))
#define NARROW(v)    _mm512_cvtpd_ps((__m512d)(v))
#define FN(name)     name##_16d
#include "worker/engine/backend/cpu/winograd_kernels.inc"
#define BLOCK        8
#define REAL         float
#define LANES        8
#define TILES        8
#define GROUP        8
#define VECTOR_BYTES 32
#define TARGET       "avx2,fma"
#define WIDEN(v)     (v)
#define NARROW(v)    (v)
#define FN(name)     name##_8f
#include "worker/engine/backend/cpu/winograd_kernels.inc"
#define BLOCK        8
#define REAL         double
#define LANES        4
#define TILES        4
#define GROUP        4
#define VECTOR_BYTES 32
#define TARGET       "avx2,fma"
#define WIDEN(v)     _mm256_cvtps_pd((__m128)(v))
#define NARROW(v)    _mm256_cvtpd_ps((__m256d)(v))
#define FN(name)     name##_8d
#include "worker/engine/backend/cpu/winograd_kernels.inc"

const struct winograd_math *winograd_math(int block, bool in_double)
{
    if (block == 16 && __builtin_cpu_supports("avx512f"))
        return in_double ? &math_16d : &math_16f;
    if (block == 8 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return in_double ? &math_8d : &math_8f;
    return NULL;
}
