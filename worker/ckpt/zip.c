#include "worker/ckpt/zip.h"

#include <inttypes.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>

#include "proto/base/str.h"

/* Sizes and places of fields: PKWARE's APPNOTE 4.3. */
enum {
    LOCAL_BYTES = 30,
    ENTRY_BYTES = 46,
    END_BYTES = 22,
    COMMENT_MAX = 65535
};
static const unsigned char local_mark[] = {'P', 'K', 3, 4};
static const unsigned char entry_mark[] = {'P', 'K', 1, 2};
static const unsigned char end_mark[] = {'P', 'K', 5, 6};

struct archive {
    const unsigned char *data;
    size_t len;
    size_t
        left; /* bytes that no member has claimed: members that share theirs would take for ever */
};

static uint32_t u16(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t u32(const unsigned char *p)
{
    return u16(p) | u16(p + 2) << 16;
}

static bool marked(const struct archive *a, size_t at, size_t bytes, const unsigned char mark[4])
{
    return at <= a->len && bytes <= a->len - at && memcmp(a->data + at, mark, 4) == 0;
}

bool zip_looks(const void *data, size_t len)
{
    return len >= sizeof(local_mark) && memcmp(data, local_mark, sizeof(local_mark)) == 0;
}

/* The end record is the last thing but a comment. */
static bool find_end(const struct archive *a, size_t *at, struct error *err)
{
    size_t tried = 0;

    while (tried <= COMMENT_MAX && a->len >= END_BYTES + tried) {
        *at = a->len - END_BYTES - tried++;
        if (marked(a, *at, END_BYTES, end_mark))
            return true;
    }
    return err_set(err, ERR_DATA, "the archive has no directory at its end; is it truncated?");
}

/* The data lie behind the member's own header, whose name and extra field need not be as long as the
 * directory's. */
static bool locate(struct archive *a, const unsigned char *entry, struct zip_member *m,
                   struct error *err)
{
    uint32_t method = u16(entry + 10), crc = u32(entry + 16), stored = u32(entry + 20);
    uint32_t at = u32(entry + 42);
    size_t begin;

    m->len = u32(entry + 24);
    if (u16(entry + 8) & 1)
        return err_set(err, ERR_DATA, "is encrypted");
    if (method != 0 || stored != m->len)
        return err_set(err, ERR_DATA,
                       "is compressed (method %" PRIu32 "); torch.save stores its members", method);
    if (!marked(a, at, LOCAL_BYTES, local_mark))
        return err_set(err, ERR_DATA, "there is no header at byte %" PRIu32, at);
    begin = (size_t)at + LOCAL_BYTES + u16(a->data + at + 26) + u16(a->data + at + 28);
    if (begin > a->len || m->len > a->len - begin)
        return err_set(err, ERR_DATA, "%zu bytes from %zu on do not lie within %zu", m->len, begin,
                       a->len);
    if (m->len > a->left)
        return err_set(err, ERR_DATA, "%zu bytes are more than the other members leave of %zu",
                       m->len, a->len);
    a->left -= m->len;
    m->data = a->data + begin;
    return crc32_z(0, m->data, m->len) == crc ||
           err_set(err, ERR_DATA, "its bytes do not have its check sum %08" PRIx32, crc);
}

/* One entry of the directory; *at moves behind it. */
static bool read_entry(struct zip *z, struct archive *a, size_t *at, struct error *err)
{
    const unsigned char *entry = a->data + *at;
    struct zip_member m = {0};
    size_t name;

    if (!marked(a, *at, ENTRY_BYTES, entry_mark))
        return err_set(err, ERR_DATA, "the directory has no entry at byte %zu", *at);
    name = u16(entry + 28);
    if (name > a->len - *at - ENTRY_BYTES)
        return err_set(err, ERR_DATA, "the directory's entry at byte %zu is cut off", *at);
    m.name = str_ndup((const char *)entry + ENTRY_BYTES, name);
    vec_push(&z->members, m);
    *at += ENTRY_BYTES + name + u16(entry + 30) + u16(entry + 32);
    return locate(a, entry, &z->members.at[z->members.n - 1], err) ||
           err_wrap(err, "member \"%.200s\"", m.name);
}

bool zip_open(struct zip *z, const void *data, size_t len, struct error *err)
{
    struct archive a = {data, len, len};
    size_t end = 0, at;
    uint32_t n;

    *z = (struct zip){0};
    if (!find_end(&a, &end, err))
        return false;
    n = u16(a.data + end + 10);
    at = u32(a.data + end + 16);
    if (n == UINT16_MAX || at == UINT32_MAX)
        return err_set(err, ERR_DATA, "archives of 4 GiB or 65,535 members are not read");
    for (uint32_t i = 0; i < n; i++)
        if (!read_entry(z, &a, &at, err))
            return false;
    return true;
}

void zip_close(struct zip *z)
{
    for (size_t i = 0; i < z->members.n; i++)
        free(z->members.at[i].name);
    vec_free(&z->members);
}
