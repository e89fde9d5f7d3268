#include "daemon/heap.h"

#ifdef HAVE_MIMALLOC
#    include <mimalloc.h>

void heap_be_thrifty(bool on)
{
    static long usual_ms;

    if (on)
        usual_ms = mi_option_get(mi_option_decommit_delay);
    mi_option_set(mi_option_decommit_delay, on ? 0 : usual_ms);
}
#else
void heap_be_thrifty(bool on)
{
    (void)on;
}
#endif
