/* Growable arrays: VEC(int) v = {0}; vec_push(&v, 3); v.at[0]; v.n; vec_free(&v). */
#ifndef PROTO_BASE_VEC_H
#define PROTO_BASE_VEC_H

#include <stdlib.h>

#include "proto/base/mem.h"

#define VEC(type)      \
    struct {           \
        type *at;      \
        size_t n, cap; \
    }

#define vec_reserve(v, want)                                            \
    do {                                                                \
        size_t vec_want_ = (want);                                      \
        if (vec_want_ > (v)->cap) {                                     \
            (v)->cap = (v)->cap ? (v)->cap : 8;                         \
            while ((v)->cap < vec_want_)                                \
                (v)->cap *= 2;                                          \
            (v)->at = mem_realloc((v)->at, (v)->cap, sizeof(*(v)->at)); \
        }                                                               \
    } while (0)

#define vec_push(v, ...)                   \
    do {                                   \
        vec_reserve((v), (v)->n + 1);      \
        (v)->at[(v)->n++] = (__VA_ARGS__); \
    } while (0)

#define vec_free(v)            \
    do {                       \
        free((v)->at);         \
        (v)->at = NULL;        \
        (v)->n = (v)->cap = 0; \
    } while (0)

#endif
