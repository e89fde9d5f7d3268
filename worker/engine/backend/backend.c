#include "worker/engine/backend/backend.h"

#include "proto/base/table.h"

struct backend_row {
    const char *name;
    const struct backend_def *def;
};

static const struct backend_row rows[] = {
    {"cpu", &backend_cpu},
    {"ref", &backend_ref_f32},
    {"ref64", &backend_ref_f64},
};

struct backend *backend_open(const char *name, int threads, struct error *err)
{
    const struct backend_row *row = table_find(TABLE(rows), name);

    if (!row) {
        table_unknown(TABLE(rows), "back end", name, err);
        return NULL;
    }
    return row->def->open(threads, err);
}

void backend_close(struct backend *b)
{
    if (b)
        b->def->close(b);
}
