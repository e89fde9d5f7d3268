#include "proto/base/table.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/suggest.h"

const void *table_row(struct table t, size_t i)
{
    return (const char *)t.rows + i * t.row_size;
}

const char *table_name(struct table t, size_t i)
{
    return *(const char *const *)table_row(t, i);
}

const void *table_find(struct table t, const char *name)
{
    for (size_t i = 0; i < t.count; i++)
        if (strcmp(table_name(t, i), name) == 0)
            return table_row(t, i);
    return NULL;
}

bool table_unknown(struct table t, const char *what, const char *name, struct error *err)
{
    const char **names = NEW_ARRAY(const char *, t.count);

    for (size_t i = 0; i < t.count; i++)
        names[i] = table_name(t, i);
    suggest_unknown(what, name, names, t.count, err);
    free(names);
    return false;
}
