#include "worker/report/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

struct metrics {
    char *path;
    int fd;
    int64_t length;
    struct buf pending;
};

static bool cut(struct metrics *m, int64_t length, struct error *err)
{
    struct stat st;

    file_fence();
    if (fstat(m->fd, &st) != 0)
        return err_set(err, ERR_IO, "stat %s: %s", m->path, strerror(errno));
    if (st.st_size < length)
        return err_set(err, ERR_DATA,
                       "%s has %" PRId64 " bytes; the checkpoint was made with %" PRId64, m->path,
                       (int64_t)st.st_size, length);
    if (ftruncate(m->fd, length) != 0)
        return err_set(err, ERR_IO, "cut %s to %" PRId64 " bytes: %s", m->path, length,
                       strerror(errno));
    m->length = length;
    return true;
}

struct metrics *metrics_open(const char *path, int64_t length, struct error *err)
{
    struct metrics *m = NEW(struct metrics);

    m->path = str_dup(path);
    m->pending = buf_new(0);
    m->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (m->fd < 0)
        err_set(err, ERR_IO, "open %s: %s", path, strerror(errno));
    else if (cut(m, length, err))
        return m;
    metrics_close(m);
    return NULL;
}

void metrics_close(struct metrics *m)
{
    if (!m)
        return;
    if (m->fd >= 0)
        close(m->fd);
    buf_free(&m->pending);
    free(m->path);
    free(m);
}

void metrics_add(struct metrics *m, int64_t step, int64_t epoch, const char *split,
                 const char *name, double value)
{
    buf_fmt(&m->pending,
            "{\"step\":%" PRId64 ",\"epoch\":%" PRId64 ",\"split\":\"%s\",\"name\":\"%s\",", step,
            epoch, split, name);
    if (isfinite(value))
        buf_fmt(&m->pending, "\"value\":%.9g}\n", value);
    else
        buf_str(&m->pending, "\"value\":null}\n");
}

bool metrics_flush(struct metrics *m, struct error *err)
{
    file_fence();
    /* What a write that failed has left of itself is written over by the next. */
    if (!file_write_at(m->fd, m->path, buf_text(&m->pending), m->pending.len, (size_t)m->length,
                       err))
        return false;
    m->length += (int64_t)m->pending.len;
    buf_reset(&m->pending);
    return true;
}

bool metrics_sync(struct metrics *m, struct error *err)
{
    return metrics_flush(m, err) && file_fsync(m->fd, m->path, err);
}

size_t metrics_pending(const struct metrics *m)
{
    return m->pending.len;
}

int64_t metrics_length(const struct metrics *m)
{
    return m->length;
}
