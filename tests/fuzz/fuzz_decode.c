/* JPEG and PNG: what is accepted has every pixel that its size says, and the header told that size. For PNG
 * the checksums of chunks are also put right, so that changes get past them. */
#include <string.h>

#include "proto/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "worker/data/decode.h"
#include "worker/data/shard.h"

static void read_one(const uint8_t *data, size_t len)
{
    struct picture p = {.limit = 1 << 16};
    struct error err = {0};
    unsigned sum = 0;
    int w, h;

    if (decode(data, len, &p, &err)) {
        PROMISE(decode_size(data, len, &w, &h, &err) && w == p.width && h == p.height);
        PROMISE((size_t)w * (size_t)h <= p.limit && p.room >= 3 * (size_t)w * (size_t)h);
        for (size_t i = 0; i < 3 * (size_t)w * (size_t)h; i++)
            sum += p.rgb[i];
        PROMISE(sum <= UINT32_MAX);
    } else {
        PROMISE(err.code == ERR_DATA && err.msg[0]);
    }
    picture_free(&p);
}

static uint32_t big_endian(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Length, name, content, checksum; again and again. */
static void mend(uint8_t *data, size_t len)
{
    for (size_t at = 8; at + 12 <= len;) {
        size_t n = big_endian(data + at);
        uint32_t crc;

        if (n > len - at - 12)
            return;
        crc = shard_crc(data + at + 4, n + 4);
        for (size_t i = 0; i < 4; i++)
            data[at + 8 + n + i] = (uint8_t)(crc >> (24 - 8 * i));
        at += n + 12;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = NEW_ARRAY(uint8_t, size + !size);

    read_one(data, size);
    memcpy(copy, data, size);
    mend(copy, size);
    read_one(copy, size);
    free(copy);
    return 0;
}
