/* IEEE 754 binary16: 1 bit of sign, 5 of exponent, 10 of fraction. The same bits on every processor. */
#ifndef WORKER_CKPT_HALF_H
#define WORKER_CKPT_HALF_H

#include <stdint.h>

#define HALF_MAX 65504.0F

/* The nearest half, even in a tie; beyond HALF_MAX, after rounding, an infinity. */
uint16_t half_of(float v);
float half_value(uint16_t bits);

#endif
