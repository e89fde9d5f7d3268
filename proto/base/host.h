/* Which machine this is: by name for people, and by identity for programs. */
#ifndef PROTO_BASE_HOST_H
#define PROTO_BASE_HOST_H

#include <stdint.h>

enum {
    HOST_NAME_SIZE = 256,
    HOST_BOOT_SIZE = 40,
    HOST_MACHINE_SIZE = 160
};

void host_own_name(char out[HOST_NAME_SIZE]);
/* Differs after every boot; "" where it cannot be read. */
void host_boot_id(char out[HOST_BOOT_SIZE]);
/* Boot, pid namespace and network namespace: two processes with the same one see the same processes
 * and the same network. */
void host_machine(char out[HOST_MACHINE_SIZE]);

#endif
