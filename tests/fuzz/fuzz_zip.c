/* zip: every member that is handed out lies inside the archive. */
#include "proto/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "worker/ckpt/zip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct zip z;
    bool ok = zip_open(&z, data, size, &err);

    PROMISE(ok || err.msg[0]);
    for (size_t i = 0; ok && i < z.members.n; i++) {
        const struct zip_member *m = &z.members.at[i];

        PROMISE(m->name && m->data >= data && m->data + m->len <= data + size);
    }
    zip_close(&z);
    return 0;
}
