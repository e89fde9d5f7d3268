/* From the end, because the newest lines are wanted: where nearly all lines hold the text, few of them have to be looked
 * at. */
#define _GNU_SOURCE
#include "daemon/logsearch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/turns.h"
#include "proto/base/mem.h"
#include "proto/base/vec.h"

enum {
    BLOCK = LOGSEARCH_PART
};

struct hit {
    unsigned at, len;
};

struct search {
    struct logsearch *s;
    size_t text_len;
    int fd;       /* of the part that is looked through */
    int64_t from; /* where it begins */
    char *block;
    int64_t at;           /* where in that part the block lies */
    VEC(struct hit) hits; /* in the block */
    char *found;          /* LOGSEARCH_BYTES, filled from their end */
    size_t start;
    int64_t lines;
};

/* False when there is no room for it. */
static bool keep(struct search *q, const char *line, size_t len)
{
    const size_t bytes = len + (line[len - 1] != '\n');

    if (q->lines == q->s->lines || bytes > q->start)
        return false;
    q->lines++;
    q->start -= bytes;
    memcpy(q->found + q->start, line, len);
    q->found[q->start + bytes - 1] = '\n';
    if (q->s->places)
        vec_push(&q->s->ends, q->fd == q->s->fd ? q->at + (line - q->block) + (int64_t)len : -1);
    return true;
}

/* The text has no newline, so that it lies in one line. */
static void find_lines(struct search *q, const char *lines, const char *end)
{
    const char *hit;

    q->hits.n = 0;
    while (lines < end &&
           (hit = memmem(lines, (size_t)(end - lines), q->s->text, q->text_len)) != NULL) {
        const char *before = memrchr(lines, '\n', (size_t)(hit - lines));
        const char *newline = memchr(hit, '\n', (size_t)(end - hit));
        const char *begin = before ? before + 1 : lines, *next = newline ? newline + 1 : end;

        vec_push(&q->hits, (struct hit){(unsigned)(begin - q->block), (unsigned)(next - begin)});
        lines = next;
    }
}

/* False when all that is wanted was found. */
static bool take_lines(struct search *q, size_t from, size_t to)
{
    bool room = true;

    find_lines(q, q->block + from, q->block + to);
    for (size_t i = q->hits.n; room && i-- > 0;)
        room = keep(q, q->block + q->hits.at[i].at, q->hits.at[i].len);
    return room;
}

/* The bytes before `end`, at most a block; 0 when they cannot be read. */
static size_t read_before(struct search *q, int64_t end)
{
    const int64_t left = end - q->from;
    const size_t len = left < BLOCK ? (size_t)left : BLOCK;
    const ssize_t n = pread(q->fd, q->block, len, end - (int64_t)len);

    q->at = end - (int64_t)len;
    return n == (ssize_t)len ? len : 0;
}

/* Behind the last line that is whole. One that fills a block is not waited for. */
static int64_t whole_end(struct search *q)
{
    const size_t len = read_before(q, q->s->to);
    const char *newline = memrchr(q->block, '\n', len);

    if (newline)
        return q->s->to - (int64_t)len + (newline - q->block) + 1;
    return len == BLOCK ? q->s->to : q->from;
}

/* `end` is that of a line. Where it begins lies in the block, or further in front; then the rest of the block is a part of it,
 * and the text may lie across its border. False when no more is wanted. */
static bool look_through(struct search *q, int64_t end)
{
    const int64_t across = q->text_len ? (int64_t)q->text_len - 1 : 0;
    size_t len, from;
    bool more = true;

    while (more && end > q->from && (more = turn_goes_on(q->s->turn)) &&
           (len = read_before(q, end)) > 0) {
        const bool first = end - (int64_t)len == q->from;
        const char *newline = first ? NULL : memchr(q->block, '\n', len - 1);

        from = newline ? (size_t)(newline - q->block) + 1 : 0;
        more = take_lines(q, from, len);
        end -= (int64_t)(len - from);
        if (!first && !newline)
            end += across;
    }
    return more;
}

static int64_t span_start(int64_t from, int64_t to)
{
    return to - from > LOGSEARCH_SPAN ? to - LOGSEARCH_SPAN : from;
}

/* Whole, as it ends: it is written to no more. */
static void look_through_older(struct search *q)
{
    const int64_t end = lseek(q->s->older, 0, SEEK_END);

    q->fd = q->s->older;
    q->from = span_start(0, end);
    look_through(q, end);
}

void logsearch_run(struct logsearch *s)
{
    struct search q = {.s = s,
                       .text_len = strlen(s->text),
                       .fd = s->fd,
                       .from = span_start(s->from, s->to),
                       .block = mem_calloc(BLOCK, 1),
                       .found = mem_calloc(LOGSEARCH_BYTES, 1),
                       .start = LOGSEARCH_BYTES};

    s->end = s->unfinished ? s->to : whole_end(&q);
    if (look_through(&q, s->end) && s->older >= 0)
        look_through_older(&q);
    s->found = buf_new(0);
    buf_add(&s->found, q.found + q.start, LOGSEARCH_BYTES - q.start);
    vec_free(&q.hits);
    free(q.found);
    free(q.block);
}
