#define _GNU_SOURCE
#include "proto/base/host.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/file.h"

void host_own_name(char out[HOST_NAME_SIZE])
{
    out[0] = out[HOST_NAME_SIZE - 1] = '\0';
    gethostname(out, HOST_NAME_SIZE - 1);
}

void host_boot_id(char out[HOST_BOOT_SIZE])
{
    struct buf boot = buf_new(HOST_BOOT_SIZE - 1);

    file_read("/proc/sys/kernel/random/boot_id", &boot, NULL);
    snprintf(out, HOST_BOOT_SIZE, "%.*s", (int)strcspn(buf_text(&boot), "\n"), buf_text(&boot));
    buf_free(&boot);
}

static void namespace_of(const char *path, char out[48])
{
    ssize_t n = readlink(path, out, 47);

    out[n > 0 ? n : 0] = '\0';
}

void host_machine(char out[HOST_MACHINE_SIZE])
{
    char boot[HOST_BOOT_SIZE], pids[48], net[48];

    host_boot_id(boot);
    namespace_of("/proc/self/ns/pid", pids);
    namespace_of("/proc/self/ns/net", net);
    snprintf(out, HOST_MACHINE_SIZE, "%s %s %s", boot, pids, net);
}
