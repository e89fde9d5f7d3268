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

const struct winograd_math *winograd_math(enum simd simd, bool in_double)
{
    static const struct winograd_math *const all[][2] = {
        [SIMD_AVX2] = {&math_8f, &math_8d}, [SIMD_AVX512] = {&math_16f, &math_16d}};

    return all[simd][in_double];
}
