#define _GNU_SOURCE
#include "daemon/logsearch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/mem.h"

enum {
    BLOCK = LOGSEARCH_PART
};

struct search {
    struct logsearch *s;
    size_t text_len;
};

/* Leaves the last lines that are wanted, in no more than LOGSEARCH_BYTES. Each ends with a newline, which is why nothing
 * has to be kept about them. */
static void forget_first(struct logsearch *s)
{
    const char *text = buf_text(&s->found);
    size_t start = s->found.len;

    for (int64_t n = 0; start > 0 && n < s->lines; n++) {
        const char *before = memrchr(text, '\n', start - 1);
        const size_t line = before ? (size_t)(before - text) + 1 : 0;

        if (s->found.len - line > LOGSEARCH_BYTES)
            break;
        start = line;
    }
    buf_consume(&s->found, start);
}

static void take_line(struct logsearch *s, const char *line, size_t len)
{
    buf_add(&s->found, line, len);
    if (line[len - 1] != '\n')
        buf_str(&s->found, "\n");
    /* Not at each line, because what stays has to be moved. */
    if (s->found.len > 2 * (size_t)LOGSEARCH_BYTES - BLOCK - 2)
        forget_first(s);
}

/* The text has no newline, so that it lies in one line. */
static void take_lines(struct search *q, const char *lines, size_t len)
{
    const char *const end = lines + len;
    const char *hit;

    while (lines < end &&
           (hit = memmem(lines, (size_t)(end - lines), q->s->text, q->text_len)) != NULL) {
        const char *before = memrchr(lines, '\n', (size_t)(hit - lines));
        const char *newline = memchr(hit, '\n', (size_t)(end - hit));
        const char *begin = before ? before + 1 : lines, *next = newline ? newline + 1 : end;

        take_line(q->s, begin, (size_t)(next - begin));
        lines = next;
    }
}

/* The whole lines of a block; how many bytes that was. Of a line that fills it the text may go on in the next block. */
static size_t take_block(struct search *q, const char *block, size_t len)
{
    const char *newline = memrchr(block, '\n', len);
    const size_t whole = newline ? (size_t)(newline - block) + 1 : len == BLOCK ? len : 0;

    take_lines(q, block, whole);
    return newline || !whole ? whole : whole - (q->text_len - 1);
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
        done = take_block(q, block, have);
        memmove(block, block + done, have - done);
        have -= done;
    }
    if (s->unfinished) {
        take_lines(q, block, have);
        have = 0;
    }
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
    forget_first(s);
    free(block);
}
