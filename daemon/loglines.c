#include "daemon/loglines.h"

#include <string.h>

#include "daemon/logtimes.h"
#include "proto/base/clock.h"
#include "proto/base/jw.h"

static void write_line(struct buf *out, int64_t seen_ms, int64_t rank, const char *line)
{
    struct jw w = jw_new(out);
    char ts[CLOCK_TEXT];

    jw_begin_object(&w, NULL);
    jw_string(&w, "ts", seen_ms < 0 ? NULL : clock_text(seen_ms, ts));
    jw_int(&w, "rank", rank);
    jw_string(&w, "stream", rank ? "stderr" : NULL);
    jw_string(&w, "line", line);
    jw_end_object(&w);
    buf_str(out, "\n");
}

/* Ends the line where its newline stands. A NUL inside would end it too early. Returns the next one. */
static char *cut_line(char *line, char *end)
{
    char *newline = memchr(line, '\n', (size_t)(end - line)), *nul;

    if (!newline)
        newline = end;
    while ((nul = memchr(line, '\0', (size_t)(newline - line))) != NULL)
        *nul = '?';
    *newline = '\0';
    return newline + 1;
}

void loglines_write(struct logsearch *s, const char *notes, int64_t rank, struct buf *out)
{
    char *line = s->found.data, *end = line + s->found.len;

    for (size_t i = s->ends.n; i-- > 0;) {
        char *next = cut_line(line, end);
        const int64_t at = s->ends.at[i];

        write_line(out, at < 0 ? -1 : logtimes_when(&notes, at), rank, line);
        line = next;
    }
}
