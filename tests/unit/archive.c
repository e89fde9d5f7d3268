#include "tests/unit/archive.h"

#include <stdint.h>
#include <string.h>

static void add16(struct buf *b, unsigned v)
{
    const unsigned char x[] = {(unsigned char)v, (unsigned char)(v >> 8)};

    buf_add(b, x, sizeof(x));
}

static void add32(struct buf *b, uint32_t v)
{
    add16(b, v & 65535);
    add16(b, v >> 16);
}

static uint32_t crc(const unsigned char *data, size_t len)
{
    uint32_t c = UINT32_MAX;

    for (size_t i = 0; i < len; i++) {
        c ^= data[i];
        for (int k = 0; k < 8; k++)
            c = c >> 1 ^ (c & 1 ? UINT32_C(0xEDB88320) : 0);
    }
    return ~c;
}

static void add_header(struct buf *b, const char *name, const void *data, size_t len, bool entry,
                       uint32_t at)
{
    buf_add(b, entry ? "PK\1\2\0\0" : "PK\3\4", entry ? 6 : 4);
    add32(b, 0);
    add16(b, 0); /* stored */
    add32(b, 0);
    add32(b, crc(data, len));
    add32(b, (uint32_t)len);
    add32(b, (uint32_t)len);
    add16(b, (unsigned)strlen(name));
    add16(b, 0);
    for (int i = 0; entry && i < 5; i++)
        add16(b, 0);
    if (entry)
        add32(b, at);
    buf_str(b, name);
}

struct buf archive_of(const void *pickle, size_t len, const void *storage, size_t bytes)
{
    static const char *const names[] = {"x/data.pkl", "x/data/0"};
    const void *const data[] = {pickle, storage};
    const size_t lens[] = {len, bytes};
    uint32_t at[2], directory;
    struct buf b = buf_new(0);

    for (int i = 0; i < 2; i++) {
        at[i] = (uint32_t)b.len;
        add_header(&b, names[i], data[i], lens[i], false, 0);
        buf_add(&b, data[i], lens[i]);
    }
    directory = (uint32_t)b.len;
    for (int i = 0; i < 2; i++)
        add_header(&b, names[i], data[i], lens[i], true, at[i]);
    buf_add(&b, "PK\5\6\0\0\0", 8);
    add16(&b, 2);
    add16(&b, 2);
    add32(&b, (uint32_t)b.len - directory);
    add32(&b, directory);
    add16(&b, 0);
    return b;
}
