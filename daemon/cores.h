/* The processors that this process may use. */
#ifndef DAEMON_CORES_H
#define DAEMON_CORES_H

#include <stdint.h>

int64_t cores_online(void); /* at least 1 */

#endif
