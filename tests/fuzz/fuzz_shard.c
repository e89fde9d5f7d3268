/* Shards: every image and name that is handed out lies inside the bytes. The checksum is also put right, so
 * that changes get past it. */
#include <string.h>

#include "proto/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "worker/data/shard.h"

static void parse(const uint8_t *data, size_t len)
{
    struct error err = {0};
    struct shard s;
    const char *name;

    if (!shard_parse(data, len, "input", &s, &err)) {
        PROMISE(err.code == ERR_DATA && err.msg[0]);
        return;
    }
    name = s.names;
    for (uint32_t c = 0; c < s.classes; c++, name += strlen(name) + 1)
        PROMISE(name < (const char *)s.index);
    for (uint64_t i = 0; i < s.counts[0] + s.counts[1]; i++) {
        const struct shard_image image = shard_image(&s, i);

        PROMISE(image.data >= data + SHARD_CRC_BYTES && image.len &&
                image.len <= (size_t)(data + len - image.data));
        PROMISE(image.label < s.classes);
    }
}

static uint64_t little_endian(const uint8_t *at)
{
    uint64_t v = 0;

    for (int i = 7; i >= 0; i--)
        v = v << 8 | at[i];
    return v;
}

static void mend(uint8_t *data, size_t len)
{
    uint64_t names = little_endian(data + len - SHARD_END);
    char hex[SHA256_HEX];

    memcpy(data, SHARD_MAGIC, SHARD_MAGIC_BYTES);
    memcpy(data + len - SHARD_MAGIC_BYTES, SHARD_MAGIC, SHARD_MAGIC_BYTES);
    if (names > len - SHARD_END)
        return;
    sha256_of(data + names, len - SHARD_END + SHARD_NUMBERS - (size_t)names, hex);
    memcpy(data + len - SHARD_END + SHARD_NUMBERS, hex, SHA256_HEX - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = NEW_ARRAY(uint8_t, size + !size);

    parse(data, size);
    memcpy(copy, data, size);
    if (size >= SHARD_MAGIC_BYTES + SHARD_END) {
        mend(copy, size);
        parse(copy, size);
    }
    free(copy);
    return 0;
}
