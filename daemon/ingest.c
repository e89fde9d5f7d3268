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
    POINTS_OF_AN_EVENT = 256,
    WORDS_SEARCHED = 64
};

struct batch {
    VEC(struct json *) lines; /* own the texts of the points, */
    VEC(char *) words;        /* and these: few different ones */
    VEC(struct metric_point) points;
};

static void batch_free(struct batch *b)
{
    for (size_t i = 0; i < b->lines.n; i++)
        js_free(b->lines.at[i]);
    for (size_t i = 0; i < b->words.n; i++)
        free(b->words.at[i]);
    vec_free(&b->lines);
    vec_free(&b->words);
    vec_free(&b->points);
}

/* The latest are looked at first: names come round again with every step. */
static char *word_of(struct batch *b, const char *text, size_t len)
{
    for (size_t i = b->words.n; i-- > 0 && b->words.n - i <= WORDS_SEARCHED;)
        if (strncmp(b->words.at[i], text, len) == 0 && !b->words.at[i][len])
            return b->words.at[i];
    vec_push(&b->words, str_ndup(text, len));
    return b->words.at[b->words.n - 1];
}

/* A word that needs no escapes, in quotes; NULL for anything else. Ends in a NUL. */
static char *take_word(struct batch *b, const char **at, const char *end, const char *key)
{
    const char *start = *at + strlen(key), *stop;
    char *word;

    if ((size_t)(end - *at) < strlen(key) || memcmp(*at, key, strlen(key)) != 0)
        return NULL;
    for (stop = start; stop < end && *stop >= ' ' && *stop <= '~' && *stop != '"' && *stop != '\\';)
        stop++;
    if (stop == end || *stop != '"')
        return NULL;
    word = word_of(b, start, (size_t)(stop - start));
    *at = stop + 1;
    return word;
}

static bool take_whole(const char **at, const char *end, const char *key, int64_t *out)
{
    const char *p = *at + strlen(key);
    int64_t v = 0;

    if ((size_t)(end - *at) <= strlen(key) || memcmp(*at, key, strlen(key)) != 0 || *p < '0' ||
        *p > '9')
        return false;
    for (; p < end && *p >= '0' && *p <= '9' && v < INT64_MAX / 10 - 1; p++)
        v = 10 * v + (*p - '0');
    *at = p;
    *out = v;
    return true;
}

/* The number that ends the line; null is none. */
static bool take_value(const char *at, const char *end, double *out)
{
    static const char key[] = ",\"value\":";
    char text[40], *stop;
    size_t n = (size_t)(end - at) - (sizeof(key) - 1) - 1;

    if ((size_t)(end - at) < sizeof(key) + 1 || memcmp(at, key, sizeof(key) - 1) != 0 ||
        end[-1] != '}' || n >= sizeof(text))
        return false;
    memcpy(text, at + sizeof(key) - 1, n);
    text[n] = '\0';
    *out = (double)NAN;
    if (strcmp(text, "null") == 0)
        return true;
    if (strspn(text, "-0123456789.eE+") != n || !strchr("-0123456789", text[0]))
        return false;
    *out = strtod(text, &stop);
    return !*stop && isfinite(*out);
}

/* The form that the worker writes, without a parser. Whatever is another is left to take_line. */
static bool take_plain(struct batch *b, const char *line, size_t len, struct metric_point *p)
{
    const char *at = line, *end = line + len;
    int64_t epoch;

    return take_whole(&at, end, "{\"step\":", &p->step) &&
           take_whole(&at, end, ",\"epoch\":", &epoch) &&
           (p->split = take_word(b, &at, end, ",\"split\":\"")) &&
           (p->name = take_word(b, &at, end, ",\"name\":\"")) && take_value(at, end, &p->value);
}

/* {"step":12,"epoch":0,"split":"train","name":"lr","value":0.1} */
static bool take_line(struct batch *b, const char *line, size_t len, struct error *err)
{
    struct metric_point p;
    struct json *j;

    if (take_plain(b, line, len, &p)) {
        vec_push(&b->points, p);
        return true;
    }
    j = js_parse(line, len, err);

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
        lifecycle_tell_text(d, "metric", j, buf_take(&data));
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
    struct error why;
    int fd = daemon_open_output(d, j->id, "metrics.jsonl", NULL, &why);
    char *chunk;
    ssize_t n = 1;
    bool ok = true;

    if (fd < 0)
        return why.code == ERR_NOT_FOUND || err_set(err, why.code, "%s", why.msg);
    chunk = mem_calloc(CHUNK, 1);
    while (ok && n > 0)
        ok = take_chunk(d, j, fd, chunk, &n, err);
    free(chunk);
    close(fd);
    return ok;
}
