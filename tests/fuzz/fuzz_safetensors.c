/* safetensors: every tensor that is handed out lies inside the file, has the bytes of its shape, and can
 * be found by its name. */
#include <string.h>

#include "proto/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "worker/ckpt/safetensors.h"

static void check(const struct safetensors *s, const struct st_tensor *t, const uint8_t *data,
                  size_t size)
{
    const uint8_t *bytes = t->data;
    char *text = st_describe(t);

    PROMISE(t->rank >= 0 && t->rank <= ST_MAX_RANK);
    PROMISE(!t->bytes || (bytes >= data + 8 && bytes + t->bytes <= data + size));
    PROMISE((size_t)st_count(t) * st_dtype_size(t->dtype) == t->bytes);
    PROMISE(st_find(s, t->name) == t);
    if (t->bytes) {
        double *v = NEW_ARRAY(double, (size_t)st_count(t));

        (void)st_to_double(t, v);
        free(v);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct safetensors *s = st_open_memory(data, size, "input", &err);

    if (!s) {
        PROMISE(strstr(err.msg, "input"));
        return 0;
    }
    for (size_t i = 0; i < st_tensors(s); i++)
        check(s, st_at(s, i), data, size);
    (void)st_meta(s, "step");
    st_close(s);
    return 0;
}
