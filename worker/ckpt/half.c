#include "worker/ckpt/half.h"

#include <math.h>
#include <string.h>

static uint32_t bits_of(float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof(bits));
    return bits;
}

static float float_of(uint32_t bits)
{
    float v;

    memcpy(&v, &bits, sizeof(v));
    return v;
}

/* Both have the same fraction bits in front, so a normal number moves by 13 places and by the difference of
 * the exponents' biases, 127 - 15. */
enum {
    PLACES = 13,
    BIAS = 112 << 23,
    INFINITE = 0x7c00
};

uint16_t half_of(float v)
{
    const uint32_t bits = bits_of(v), size = bits & 0x7fffffff;
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t half;

    if (isnan(v))
        return sign | INFINITE | 0x200;
    if (size < BIAS + (1U << 23)) /* in steps of 2^-24; rounding is to the nearest even */
        return sign | (uint16_t)lrintf(float_of(size) * 0x1p24F);
    half = (size - BIAS + 0xfff + (size >> PLACES & 1)) >> PLACES;
    return sign | (uint16_t)(half < INFINITE ? half : INFINITE);
}

float half_value(uint16_t bits)
{
    const uint32_t sign = (uint32_t)(bits & 0x8000) << 16, size = bits & 0x7fff;

    if (size >= INFINITE)
        return float_of(sign | 0x7f800000 | (size & 0x3ff) << PLACES);
    if (size < 0x400)
        return float_of(sign | bits_of((float)size * 0x1p-24F));
    return float_of(sign | ((size << PLACES) + BIAS));
}
