#include "daemon/heap.h"

#ifdef HEAP_DELAY
#    include <mimalloc.h>

void heap_be_thrifty(bool on)
{
    static long usual_ms;

    if (on)
        usual_ms = mi_option_get(HEAP_DELAY);
    mi_option_set(HEAP_DELAY, on ? 0 : usual_ms);
}
#else
void heap_be_thrifty(bool on)
{
    (void)on;
}
#endif
