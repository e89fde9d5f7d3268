/* What the allocator does with memory that is released. Only distilld is linked with one that can be told (mimalloc), and
 * not everywhere; otherwise this does nothing. */
#ifndef DAEMON_HEAP_H
#define DAEMON_HEAP_H

#include <stdbool.h>

/* It goes back to the kernel at once: slow, but a start needs much that nothing needs later. */
void heap_be_thrifty(bool on);

#endif
