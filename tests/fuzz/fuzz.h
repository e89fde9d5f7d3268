/* A fuzz target is one file with this one function, in libFuzzer's form. It feeds a parser and checks
 * what the parser promises; a promise that is broken aborts.
 *
 * Ordinary builds link it with replay.c, which runs the committed inputs (tests/fuzz/corpus/NAME) and
 * mutations of them; `./configure --enable-fuzz CC=clang` links it with libFuzzer (tests/fuzz/run). */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stays in every build, whatever NDEBUG says. */
#define PROMISE(condition)                                                          \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

#endif
