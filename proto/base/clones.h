/* A function that is compiled for several processors, of which the best is taken at start. Compiled once,
 * for all, where that fails: clang 14 makes clones that no other file can call, and under the thread
 * sanitizer what chooses runs before the sanitizer does, and crashes. */
#ifndef PROTO_BASE_CLONES_H
#define PROTO_BASE_CLONES_H

#if defined(__clang__) || defined(__SANITIZE_THREAD__)
#    define CLONES
#else
#    define CLONES __attribute__((target_clones("avx512f", "avx2,fma", "default")))
#endif

#endif
