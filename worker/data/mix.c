#include "worker/data/mix.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "proto/base/rng.h"

/* Places in the stream of a batch. */
enum {
    DRAW_WHETHER,
    DRAW_WHICH,
    DRAW_ROW,
    DRAW_COLUMN,
    DRAW_SHARE /* part of a key */
};

/* [*from, *from + *length): the part inside of the image of a side around `centre`. */
static void clip(int centre, int side, int size, int *from, int *length)
{
    int to = centre + side / 2 < size ? centre + side / 2 : size;

    *from = centre > side / 2 ? centre - side / 2 : 0;
    *length = to - *from;
}

/* A box of the area that the partner is to have, where it lies inside of the image. The share follows the
 * box. */
static void draw_box(struct mixture *x, int size, uint64_t key)
{
    int side = (int)(size * sqrt(1 - x->share));

    clip((int)rng_below(key, DRAW_ROW, (uint64_t)size), side, size, &x->top, &x->height);
    clip((int)rng_below(key, DRAW_COLUMN, (uint64_t)size), side, size, &x->left, &x->width);
    x->share = 1 - (double)x->height * x->width / ((double)size * size);
}

struct mixture mix_draw(const struct mix *m, int size, int64_t epoch, int64_t batch)
{
    uint64_t key = rng_key(rng_key(rng_key(m->seed, RNG_MIX), (uint64_t)epoch), (uint64_t)batch);
    double cutmix = m->mixup_alpha > 0 ? m->switch_prob : 1;
    bool boxed = m->cutmix_alpha > 0 && rng_uniform(key, DRAW_WHICH) < cutmix;
    double alpha = boxed ? m->cutmix_alpha : m->mixup_alpha;
    struct mixture x = {.share = 1};

    if (rng_uniform(key, DRAW_WHETHER) >= m->prob)
        return x;
    x.share = rng_beta(rng_key(key, DRAW_SHARE), alpha, alpha);
    if (boxed)
        draw_box(&x, size, key);
    return x;
}

static void blend(const struct mixture *x, float *a, float *b, ptrdiff_t n)
{
    const float own = (float)x->share, other = (float)(1 - x->share);

    for (ptrdiff_t k = 0; k < n; k++) {
        float was = a[k];

        a[k] = own * was + other * b[k];
        b[k] = own * b[k] + other * was;
    }
}

static void swap_box(const struct mixture *x, int size, float *a, float *b)
{
    for (int c = 0; c < 3; c++)
        for (int row = x->top; row < x->top + x->height; row++) {
            ptrdiff_t at = ((ptrdiff_t)c * size + row) * size + x->left;

            for (ptrdiff_t k = at; k < at + x->width; k++) {
                float was = a[k];

                a[k] = b[k];
                b[k] = was;
            }
        }
}

void mix_lane(const struct mixture *x, int size, float *images, const int32_t *labels,
              int32_t *partners, int64_t n)
{
    const ptrdiff_t image = 3 * (ptrdiff_t)size * size;

    for (int64_t i = 0; i < n; i++)
        partners[i] = labels[n - 1 - i];
    if (x->share == 1)
        return;
    for (int64_t i = 0, k = n - 1; i < k; i++, k--)
        if (x->height)
            swap_box(x, size, images + i * image, images + k * image);
        else
            blend(x, images + i * image, images + k * image, image);
}
