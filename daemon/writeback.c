#include "daemon/writeback.h"

#include <stdlib.h>

#include "daemon/db.h"
#include "proto/base/mem.h"

struct round {
    uv_work_t work;
    struct db *db;
};

static void write_back(uv_work_t *w)
{
    struct round *r = w->data;

    db_write_back(r->db);
}

static void written_back(uv_work_t *w, int status)
{
    struct round *r = w->data;

    (void)status;
    db_written_back(r->db);
    free(r);
}

static void on_long_log(void *arg, struct db *db)
{
    struct daemon *d = arg;
    struct round *r = NEW(struct round);

    r->db = db;
    r->work.data = r;
    uv_queue_work(&d->loop, &r->work, write_back, written_back);
}

void writeback_start(struct daemon *d)
{
    store_on_long_log(d->store, on_long_log, d);
}
