/* A pickle in an archive of PyTorch's, with 64 bytes of numbers: every tensor that is handed out has the
 * bytes of its shape, inside the archive or in a copy. (The archive itself is fuzz_zip's; a changed one
 * would not pass its check sums.) */
#include <string.h>

#include "proto/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/archive.h"
#include "worker/ckpt/pth.h"

static void check(const struct st_tensor *t)
{
    char *text = st_describe(t);
    double *v = NEW_ARRAY(double, t->bytes + 1);

    PROMISE(t->rank >= 0 && t->rank <= ST_MAX_RANK);
    PROMISE((size_t)st_count(t) * st_dtype_size(t->dtype) == t->bytes);
    (void)st_to_double(t, v);
    free(v);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char numbers[64] = {1, 2, 3};
    struct buf archive = archive_of(data, size, numbers, sizeof(numbers));
    struct error err = {0};
    struct pth *p = pth_open_memory(buf_text(&archive), archive.len, "input", &err);
    const struct st_tensor *t;
    size_t n = 0;

    PROMISE(p || strstr(err.msg, "input"));
    t = p ? pth_tensors(p, &n) : NULL;
    for (size_t i = 0; i < n; i++) {
        PROMISE(i == 0 || strcmp(t[i - 1].name, t[i].name) < 0);
        check(&t[i]);
    }
    pth_close(p);
    buf_free(&archive);
    return 0;
}
