#define _GNU_SOURCE
#include "daemon/ingest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/lifecycle.h"
#include "proto/base/str.h"

enum {
    CHUNK = 256 << 10,
    POINTS_OF_AN_EVENT = 256
};

struct batch {
    VEC(struct json *) lines; /* own the texts of the points */
    VEC(struct metric_point) points;
};

static void batch_free(struct batch *b)
{
    for (size_t i = 0; i < b->lines.n; i++)
        js_free(b->lines.at[i]);
    vec_free(&b->lines);
    vec_free(&b->points);
}

/* {"step":12,"epoch":0,"split":"train","name":"lr","value":0.1} */
static bool take_line(struct batch *b, const char *line, size_t len, struct error *err)
{
    struct json *j = js_parse(line, len, err);
    struct metric_point p;

    if (!j)
        return false;
    vec_push(&b->lines, j);
    p = (struct metric_point){.name = js_string(js_get(j, "name"), NULL),
                              .split = js_string(js_get(j, "split"), NULL),
                              .step = js_int(js_get(j, "step"), -1),
                              .value = js_real(js_get(j, "value"), (double)NAN)};
    if (!p.name || !p.split || p.step < 0)
        return err_set(err, ERR_DATA, "a line of metrics lacks name, split or step");
    vec_push(&b->points, p);
    return true;
}

static bool parse(struct batch *b, const char *data, size_t len, struct error *err)
{
    while (len) {
        const char *end = memchr(data, '\n', len);
        size_t n = end ? (size_t)(end - data) : len;

        if (!end)
            return err_set(err, ERR_DATA, "metrics end in the middle of a line");
        if (!take_line(b, data, n, err))
            return false;
        data += n + 1;
        len -= n + 1;
    }
    return true;
}

static void write_point(struct jw *w, const struct metric_point *p)
{
    jw_begin_object(w, NULL);
    jw_string(w, "name", p->name);
    jw_string(w, "split", p->split);
    jw_int(w, "step", p->step);
    jw_real(w, "value", p->value);
    jw_end_object(w);
}

static void tell(struct daemon *d, const struct job *j, const struct batch *b)
{
    for (size_t i = 0; i < b->points.n;) {
        struct buf data = buf_new(0);
        struct jw w = jw_new(&data);

        jw_begin_object(&w, NULL);
        jw_string(&w, "job", j->id);
        jw_begin_array(&w, "points");
        for (size_t end = i + POINTS_OF_AN_EVENT; i < b->points.n && i < end; i++)
            write_point(&w, &b->points.at[i]);
        jw_end_array(&w);
        jw_end_object(&w);
        lifecycle_tell_text(d, "metric", j->id, buf_take(&data));
    }
}

bool ingest_lines(struct daemon *d, const struct job *j, int64_t offset, const char *data,
                  size_t len, int64_t *offset_out, struct error *err)
{
    int64_t known = store_metrics_offset(d->store, j->id), skip = known - offset;
    struct batch b = {0};
    bool ok;

    *offset_out = known;
    if (skip < 0)
        return err_set(err, ERR_DATA,
                       "metrics from byte %" PRId64 " on, but only %" PRId64 " are known", offset,
                       known);
    if ((uint64_t)skip >= len)
        return true;
    data += skip;
    len -= (size_t)skip;
    ok = parse(&b, data, len, err) &&
         store_metrics_add(d->store, j->id, b.points.at, b.points.n, known + (int64_t)len, err);
    if (ok) {
        *offset_out = known + (int64_t)len;
        tell(d, j, &b);
    }
    batch_free(&b);
    return ok || err_wrap(err, "job %s", j->id);
}

/* One chunk; *n is what was taken. */
static bool take_chunk(struct daemon *d, const struct job *j, int fd, char *chunk, ssize_t *n,
                       struct error *err)
{
    int64_t offset = store_metrics_offset(d->store, j->id);

    *n = pread(fd, chunk, CHUNK, offset);
    if (*n < 0)
        return err_set(err, ERR_IO, "reading metrics.jsonl: %s", strerror(errno));
    while (*n > 0 && chunk[*n - 1] != '\n')
        --*n;
    return *n == 0 || ingest_lines(d, j, offset, chunk, (size_t)*n, &offset, err);
}

bool ingest_rest(struct daemon *d, const struct job *j, struct error *err)
{
    char *path = daemon_job_path(d, j->id, "out/metrics.jsonl"), *chunk;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = 1;
    bool ok = true;

    free(path);
    if (fd < 0)
        return errno == ENOENT || err_set(err, ERR_IO, "metrics.jsonl: %s", strerror(errno));
    chunk = mem_calloc(CHUNK, 1);
    while (ok && n > 0)
        ok = take_chunk(d, j, fd, chunk, &n, err);
    free(chunk);
    close(fd);
    return ok;
}
