/* IDX, plain or packed: the records that are handed out lie inside the bytes. */
#include "tests/fuzz/fuzz.h"
#include "worker/data/gunzip.h"
#include "worker/data/idx.h"

static void parse(const uint8_t *data, size_t len)
{
    for (int rank = 1; rank <= IDX_MAX_RANK; rank++) {
        struct error err;
        struct idx x;

        if (!idx_parse(data, len, "input", rank, &x, &err))
            continue;
        PROMISE(x.records >= data && x.records <= data + len);
        PROMISE(!x.present || x.record_bytes <= (size_t)(data + len - x.records) / x.present);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf out = buf_new(1 << 20);

    parse(data, size);
    if (gunzip(data, size, "input", &out, NULL))
        parse((const uint8_t *)buf_text(&out), out.len);
    PROMISE(out.len <= out.max);
    buf_free(&out);
    return 0;
}
