#include "worker/data/augment.h"

#include <stddef.h>

#include "proto/base/rng.h"

void augment_init(struct augment *a, int size, int pad_crop, bool hflip, uint64_t seed,
                  const double mean[3], const double std[3])
{
    *a = (struct augment){.size = size, .pad_crop = pad_crop, .hflip = hflip, .seed = seed};
    for (int c = 0; c < 3; c++)
        for (int b = 0; b < 256; b++)
            a->table[c][b] = (float)((b / 255.0 - mean[c]) / std[c]);
}

bool augment_is_random(const struct augment *a)
{
    return a->pad_crop || a->hflip || a->resized_crop;
}

/* Where the crop begins in the padded image, and whether it is mirrored. */
struct view {
    int top, left;
    bool mirrored;
};

static struct view draw_view(const struct augment *a, int64_t epoch, int64_t sample)
{
    uint64_t crop = rng_key(rng_key(a->seed, RNG_CROP), (uint64_t)epoch);
    uint64_t flip = rng_key(rng_key(a->seed, RNG_FLIP), (uint64_t)epoch);
    uint64_t places = 2 * (uint64_t)a->pad_crop + 1, i = (uint64_t)sample;

    return (struct view){
        .top = (int)rng_below(crop, 2 * i, places),
        .left = (int)rng_below(crop, 2 * i + 1, places),
        .mirrored = a->hflip && rng_below(flip, i, 2),
    };
}

/* One row, to the right or from the right to the left; outside of the image are zero bytes. */
static void crop_row(const float table[256], const uint8_t *in, int size, int shift, float *out,
                     ptrdiff_t step)
{
    for (int x = shift; x < size + shift; x++, out += step)
        *out = table[x >= 0 && x < size ? in[x] : 0];
}

static void zero_row(const float table[256], int size, float *out)
{
    for (int x = 0; x < size; x++)
        out[x] = table[0];
}

void augment_train(const struct augment *a, int64_t epoch, int64_t sample, const uint8_t *image,
                   float *out)
{
    const struct view view = draw_view(a, epoch, sample);
    const int size = a->size, down = view.top - a->pad_crop, right = view.left - a->pad_crop;

    for (int c = 0; c < 3; c++)
        for (int y = down; y < size + down; y++, out += size) {
            const uint8_t *in = image + ((ptrdiff_t)c * size + y) * size;

            if (y < 0 || y >= size)
                zero_row(a->table[c], size, out);
            else if (view.mirrored)
                crop_row(a->table[c], in, size, right, out + size - 1, -1);
            else
                crop_row(a->table[c], in, size, right, out, 1);
        }
}

void augment_eval(const struct augment *a, const uint8_t *image, float *out)
{
    const size_t plane = (size_t)a->size * (size_t)a->size;

    for (int c = 0; c < 3; c++)
        for (size_t i = 0; i < plane; i++)
            *out++ = a->table[c][*image++];
}
