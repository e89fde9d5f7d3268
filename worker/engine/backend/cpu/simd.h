/* Which vector instructions our own kernels may use: those of the instruction set that oneDNN was found to use, so that
 * one name of it (backend_isa) stands for all bits, and ONEDNN_MAX_CPU_ISA limits both. */
#ifndef WORKER_ENGINE_BACKEND_CPU_SIMD_H
#define WORKER_ENGINE_BACKEND_CPU_SIMD_H

enum simd {
    SIMD_NONE,  /* what every processor of the architecture has */
    SIMD_AVX2,  /* AVX2 and FMA: blocks of 8 channels */
    SIMD_AVX512 /* blocks of 16 */
};

#endif
