/* Files of outputs: only the one header is taken, every block has one of three states, and what is handed out
 * lies inside the bytes. The header is also put right, so that changes get past it. */
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "worker/ckpt/outputs.h"
#include "worker/ckpt/st_tensor.h"

static const struct outputs_value values[] = {{"features", 1, {3}}, {"logits", 1, {2}}};
static const struct st_meta meta[] = {{"teacher", "t"}};
static const struct outputs_spec spec = {.views = 2,
                                         .samples = 5,
                                         .block = 2,
                                         .dtype = ST_F16,
                                         .values = values,
                                         .n_values = ARRAY_LEN(values),
                                         .meta = meta,
                                         .n_meta = ARRAY_LEN(meta)};

/* As outputs.h says that it is. */
static struct buf header(void)
{
    const struct st_tensor tensors[] = {
        {"checksums", ST_I64, 2, {2, 3}, NULL, 48},
        {"features", ST_F16, 3, {2, 5, 3}, NULL, 60},
        {"logits", ST_F16, 3, {2, 5, 2}, NULL, 40},
    };

    return st_header(tensors, ARRAY_LEN(tensors), meta, ARRAY_LEN(meta));
}

static void parse(const uint8_t *data, size_t len)
{
    struct outputs *o = outputs_new("folder", &spec);
    struct buf expected = header();
    struct error err = {0};
    float out[3];

    if (!outputs_open_memory(o, data, len, &err)) {
        PROMISE(err.code == ERR_DATA && strstr(err.msg, "folder/"));
    } else {
        PROMISE(len == outputs_bytes(o) && len == expected.len + 148);
        PROMISE(memcmp(data, expected.data, expected.len) == 0);
        for (int64_t v = 0; v < spec.views; v++) {
            for (int64_t b = 0; b < outputs_blocks(o); b++)
                PROMISE(outputs_look(o, v, b) <= OUTPUTS_WHOLE);
            for (int64_t s = 0; s < spec.samples; s++)
                for (size_t i = 0; i < spec.n_values; i++)
                    outputs_get(o, v, s, i, out);
        }
    }
    buf_free(&expected);
    outputs_free(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf right = header();
    uint8_t *copy = NEW_ARRAY(uint8_t, size + !size);

    parse(data, size);
    memcpy(copy, data, size);
    memcpy(copy, right.data, size < right.len ? size : right.len);
    parse(copy, size);
    buf_free(&right);
    free(copy);
    return 0;
}
