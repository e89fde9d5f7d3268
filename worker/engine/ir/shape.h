/* Shapes of values: images as N, C, H, W; more dimensions on the way through a Transpose. */
#ifndef WORKER_ENGINE_IR_SHAPE_H
#define WORKER_ENGINE_IR_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SHAPE_MAX = 6,
    SHAPE_TEXT = 144
};

struct shape {
    int rank; /* 0: a scalar */
    int64_t dim[SHAPE_MAX];
};

static inline struct shape shape1(int64_t a)
{
    return (struct shape){1, {a}};
}

static inline struct shape shape2(int64_t a, int64_t b)
{
    return (struct shape){2, {a, b}};
}

static inline struct shape shape4(int64_t n, int64_t c, int64_t h, int64_t w)
{
    return (struct shape){4, {n, c, h, w}};
}

/* Elements of the dimensions from..to-1. */
int64_t shape_span(const struct shape *s, int from, int to);
int64_t shape_count(const struct shape *s); /* elements; 1 for a scalar */
bool shape_equal(const struct shape *a, const struct shape *b);
/* "[5,16,32,32]", written to out, which is returned. */
const char *shape_text(const struct shape *s, char out[SHAPE_TEXT]);

#endif
