#include "client/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/mem.h"

enum {
    BLOCK = 1 << 20
};

bool hash_file(const char *path, char hex[SHA256_HEX], struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct sha256 *sum;
    char *block;
    ssize_t n;

    if (fd < 0)
        return err_set(err, ERR_IO, "open %s: %s", path, strerror(errno));
    sum = sha256_new();
    block = mem_calloc(BLOCK, 1);
    while ((n = read(fd, block, BLOCK)) > 0)
        sha256_add(sum, block, (size_t)n);
    sha256_end(sum, hex);
    close(fd);
    free(block);
    return n == 0 || err_set(err, ERR_IO, "read %s: %s", path, strerror(errno));
}
