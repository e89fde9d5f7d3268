/* CIFAR-10 through the front door: every image that is handed out has its pixels and a label of the set,
 * also where bad records are skipped. */
#include <string.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/str.h"
#include "tests/fuzz/fuzz.h"
#include "worker/data/dataset.h"

static char dir[64];

static void remove_folder(void)
{
    rmdir(dir);
}

/* One for the whole run. */
static const char *folder(void)
{
    if (!dir[0]) {
        snprintf(dir, sizeof(dir), "/dev/shm/fuzz-cifar-%ld", (long)getpid());
        PROMISE(file_make_dirs(dir, 0700, NULL) && atexit(remove_folder) == 0);
    }
    return dir;
}

static void read_all(bool skip)
{
    char *source = str_fmt("cifar10:%s", folder());
    const struct dataset_config cfg = {.source = source, .skip_corrupt = skip};
    struct error err = {0};
    struct dataset *d = dataset_open(&cfg, SPLIT_TEST, &err);
    unsigned sum = 0;

    if (!d)
        PROMISE(err.code == ERR_DATA && err.msg[0]);
    for (int64_t i = 0; d && i < dataset_count(d); i++) {
        PROMISE(dataset_label(d, i) >= 0 && dataset_label(d, i) < dataset_classes(d));
        sum += dataset_image(d, i)[0] + dataset_image(d, i)[3 * 32 * 32 - 1];
    }
    PROMISE(sum <= UINT32_MAX);
    dataset_close(d);
    free(source);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *path = str_path(folder(), "test_batch.bin");

    PROMISE(file_replace(path, data, size, 0600, NULL));
    read_all(false);
    read_all(true);
    unlink(path);
    free(path);
    return 0;
}
