#include "worker/collective/hosts.h"

#include <stdbool.h>
#include <string.h>

static bool blocks_lie_together(const char *const *names, int ranks, int block)
{
    for (int r = 0; r < ranks; r++)
        if (strcmp(names[r], names[r / block * block]) != 0)
            return false;
    return true;
}

int hosts_group(const char *const *names, int ranks)
{
    int g = 1;

    while (ranks % (2 * g) == 0 && blocks_lie_together(names, ranks, 2 * g))
        g *= 2;
    return g;
}
