#include "worker/engine/backend/cpu/conv_kernels.h"

#include <immintrin.h>
#include <stddef.h>
#include <string.h>

#include "proto/base/clones.h"

/* All helpers with vectors in their signature are inlined: no call ever passes one. */
#pragma GCC diagnostic ignored "-Wpsabi"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

/* gcc 12 makes two conversions and a shuffle of one for 8 numbers, hence the intrinsics. */
#define BLOCK     16
#define TILE      8
#define TARGET    "avx512f"
#define WIDEN(v)  _mm512_cvtps_pd((__m256)(v))
#define NARROW(v) _mm512_cvtpd_ps((__m512d)(v))
#define FN(name)  name##_16
#include "worker/engine/backend/cpu/conv_kernels.inc"
#undef BLOCK
#undef TILE
#undef TARGET
#undef WIDEN
#undef NARROW
#undef FN
#define BLOCK     8
#define TILE      6
#define TARGET    "avx2,fma"
#define WIDEN(v)  _mm256_cvtps_pd((__m128)(v))
#define NARROW(v) _mm256_cvtpd_ps((__m256d)(v))
#define FN(name)  name##_8
#include "worker/engine/backend/cpu/conv_kernels.inc"
#undef BLOCK
#undef TILE
#undef TARGET
#undef WIDEN
#undef NARROW
#undef FN

conv_fn conv_kernel(enum simd simd)
{
    static const conv_fn all[] = {[SIMD_AVX2] = sample_8, [SIMD_AVX512] = sample_16};

    return all[simd];
}

typedef float eight __attribute__((vector_size(32)));
typedef double eight_wide __attribute__((vector_size(64)));

CLONES void conv_widen(const float *x, int64_t n, double *out)
{
    int64_t i = 0;

    for (; i + 8 <= n; i += 8) {
        eight v;
        eight_wide w;

        memcpy(&v, x + i, sizeof(v));
        w = __builtin_convertvector(v, eight_wide);
        memcpy(out + i, &w, sizeof(w));
    }
    for (; i < n; i++)
        out[i] = (double)x[i];
}

int64_t conv_tile(int block)
{
    return block == 16 ? 8 : 6;
}
