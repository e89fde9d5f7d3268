#define _GNU_SOURCE
#include "daemon/logsearch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/mem.h"
#include "proto/base/vec.h"

enum {
    BLOCK = 256 << 10 /* a longer line is looked through in parts */
};

struct search {
    struct logsearch *s;
    VEC(size_t) lengths; /* of the lines in s->found */
    size_t first;        /* of them that is kept */
    size_t text_len;
};

static void forget_first(struct search *q)
{
    const size_t before = q->first;
    size_t bytes = 0;

    while (q->first < q->lengths.n && ((int64_t)(q->lengths.n - q->first) > q->s->lines ||
                                       q->s->found.len - bytes > LOGSEARCH_BYTES))
        bytes += q->lengths.at[q->first++];
    if (q->first > before)
        buf_consume(&q->s->found, bytes);
}

static void take_line(struct search *q, const char *line, size_t len)
{
    if (!memmem(line, len, q->s->text, q->text_len))
        return;
    buf_add(&q->s->found, line, len);
    vec_push(&q->lengths, len);
    /* Not at each line, because what stays has to be moved. */
    if (q->s->found.len > 2 * (size_t)LOGSEARCH_BYTES)
        forget_first(q);
}

/* The whole lines of a block, or all of it; how many bytes that was. */
static size_t take_block(struct search *q, const char *block, size_t len, bool all)
{
    size_t done = 0;

    while (done < len) {
        const char *end = memchr(block + done, '\n', len - done);
        size_t line = end ? (size_t)(end - block) + 1 - done : len - done;

        if (!end && !all)
            break;
        take_line(q, block + done, line);
        done += line;
    }
    return done;
}

static void look_through(struct search *q, char *block)
{
    struct logsearch *s = q->s;
    size_t have = 0;
    int64_t at = s->from;

    while (at < s->to) {
        const int64_t left = s->to - at;
        const size_t room = BLOCK - have, want = left < (int64_t)room ? (size_t)left : room;
        const ssize_t n = pread(s->fd, block + have, want, at);
        size_t done;

        if (n <= 0)
            break;
        at += n;
        have += (size_t)n;
        done = take_block(q, block, have, have == BLOCK && !memchr(block, '\n', have));
        memmove(block, block + done, have - done);
        have -= done;
    }
    if (s->unfinished)
        have -= take_block(q, block, have, true);
    s->end = at - (int64_t)have;
}

void logsearch_run(struct logsearch *s)
{
    struct search q = {.s = s, .text_len = strlen(s->text)};
    char *block = mem_calloc(BLOCK, 1);

    s->found = buf_new(0);
    if (s->to - s->from > LOGSEARCH_SPAN)
        s->from = s->to - LOGSEARCH_SPAN;
    look_through(&q, block);
    forget_first(&q);
    vec_free(&q.lengths);
    free(block);
}
