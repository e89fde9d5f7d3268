/* Logs of ranks: their end, what came after some place or time, or lines that hold some text; as they were written, or as
 * JSON (loglines.h). */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/api.h"
#include "daemon/loglines.h"
#include "daemon/logsearch.h"
#include "daemon/logtimes.h"
#include "daemon/problem.h"
#include "proto/base/beneath.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    TAIL_DEFAULT = 200,
    TAIL_MAX = 1000000,
    RANK_MAX = 65535,
    TAIL_BYTES = 8 << 20, /* a longer tail is cut off in front */
    BLOCK = 64 << 10
};

static const char *const accepted[] = {"text/plain", "application/x-ndjson"};
static const char text_type[] = "text/plain; charset=utf-8", lines_type[] = "application/x-ndjson";

/* What is asked for. */
struct wanted {
    int64_t rank;
    int64_t tail; /* lines; -1: not said */
    int64_t from; /* a byte; -1: not said */
    int64_t since_ms;
    bool since;       /* it is said */
    const char *text; /* NULL: any */
    bool lines;       /* as JSON: then any text is "" */
};

/* -- Where it begins ------------------------------------------------------------------------------- */

/* Where the last `lines` lines begin. */
static int64_t tail_start(int fd, int64_t size, int64_t lines)
{
    char *block;
    int64_t at = size, start = size > TAIL_BYTES ? size - TAIL_BYTES : 0;
    bool found = false;

    if (lines == 0)
        return size;
    block = mem_calloc(BLOCK, 1);
    /* The newline that ends the last line does not begin another one. */
    for (int64_t seen = -1; !found && at > start;) {
        int64_t n = at - start < BLOCK ? at - start : BLOCK;

        at -= n;
        if (pread(fd, block, (size_t)n, at) != n)
            break;
        for (int64_t i = n; !found && i-- > 0;)
            if (block[i] == '\n' || (seen < 0 && at + i == size - 1)) {
                found = ++seen == lines;
                if (found)
                    start = at + i + 1;
            }
    }
    free(block);
    return start;
}

/* The beginning of the line that `at` lies in; of a very long one, `at`. */
static int64_t line_start(int fd, int64_t at)
{
    char block[4096];
    const int64_t start = at > (int64_t)sizeof(block) ? at - (int64_t)sizeof(block) : 0;
    const ssize_t n = pread(fd, block, (size_t)(at - start), start);
    const char *newline = n == at - start ? memrchr(block, '\n', (size_t)n) : NULL;

    if (newline)
        return start + (newline - block) + 1;
    return start == 0 ? 0 : at;
}

static int64_t changed_ms(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
}

/* What is noted of how long the log was (logtimes.h). */
static struct buf read_notes(int dir, int64_t rank)
{
    char *name = str_fmt("logs/rank-%" PRId64 ".times", rank);
    struct buf text = buf_new(2 * LOGTIMES_MAX);
    int notes = beneath_open_file(dir, name, NULL, NULL);

    if (notes >= 0 && !file_read_open(notes, name, &text, NULL))
        buf_reset(&text);
    if (notes >= 0)
        close(notes);
    free(name);
    return text;
}

static int64_t since_start(int dir, int fd, const struct stat *st, const struct wanted *w)
{
    struct buf notes = read_notes(dir, w->rank);
    const int64_t at = logtimes_find(buf_text(&notes), w->since_ms);

    buf_free(&notes);
    if (changed_ms(st) < w->since_ms)
        return st->st_size;
    /* What began anew (logfile.h) is shorter than it was, and all of it is news. */
    return at > st->st_size ? 0 : line_start(fd, at);
}

/* Before lines are counted, which with a text is done among those that hold it. */
static int64_t first_byte(int dir, int fd, const struct stat *st, const struct wanted *w)
{
    int64_t at = 0, tail;

    if (w->since)
        at = since_start(dir, fd, st, w);
    else if (w->from >= 0)
        return w->from <= st->st_size ? w->from : 0;
    if (w->text || (w->since && w->tail < 0))
        return at;
    tail = tail_start(fd, st->st_size, w->tail < 0 ? TAIL_DEFAULT : w->tail);
    return tail > at ? tail : at;
}

/* -- Answers ------------------------------------------------------------------------------------------ */

static void add_end(struct request *r, int64_t end)
{
    char *text = str_fmt("%" PRId64, end);

    /* ?from= of the next request goes on here. */
    http_add_header(r, "Log-End", text);
    free(text);
}

/* It is different the next time, and no part of it is to be had. */
static void reply_made(struct request *r, bool lines, const void *data, size_t len)
{
    http_add_header(r, "Cache-Control", "no-store");
    http_add_header(r, "Accept-Ranges", "none");
    http_reply(r, 200, lines ? lines_type : text_type, data, len);
}

struct call {
    struct logsearch search;
    char *text;
    int64_t rank;
    struct buf notes, lines; /* with search.places */
};

static void search(void *arg, struct turn *t)
{
    struct call *c = arg;
    const char *notes = buf_text(&c->notes);

    c->search.turn = t;
    logsearch_run(&c->search);
    if (c->search.places)
        loglines_write(&c->search, notes, c->rank, &c->lines);
}

static void answer(struct request *r, void *arg)
{
    const struct call *c = arg;
    const struct buf *text = c->search.places ? &c->lines : &c->search.found;

    add_end(r, c->search.end);
    reply_made(r, c->search.places, buf_text(text), text->len);
}

static void drop(void *arg)
{
    struct call *c = arg;

    close(c->search.fd);
    if (c->search.older >= 0)
        close(c->search.older);
    buf_free(&c->search.found);
    vec_free(&c->search.ends);
    buf_free(&c->notes);
    buf_free(&c->lines);
    free(c->text);
    free(c);
}

/* Notes of what was in the log before it began anew say nothing of it. */
static struct buf notes_of(int dir, int64_t size, int64_t rank)
{
    struct buf notes = read_notes(dir, rank);
    const char *at = buf_text(&notes);

    if (logtimes_when(&at, size + 1) >= 0)
        buf_reset(&notes);
    return notes;
}

static int64_t lines_of(const struct wanted *w)
{
    const bool all = w->tail < 0 && (w->from >= 0 || w->since);
    const int64_t lines = all ? INT64_MAX : w->tail < 0 ? TAIL_DEFAULT : w->tail;

    return w->lines && lines > LOGLINES_MAX ? LOGLINES_MAX : lines;
}

/* All that matches from a place on, or the last lines of them. A line that is being written is left for the next
 * request. */
static void reply_search(struct daemon *d, struct request *r, const struct job *j, int dir,
                         int take_fd, int take_older, int64_t from, int64_t to,
                         const struct wanted *w)
{
    struct call *c = NEW(struct call);

    c->text = str_dup(w->text ? w->text : "");
    c->rank = w->rank;
    c->lines = buf_new(0);
    c->notes = w->lines ? notes_of(dir, to, w->rank) : buf_new(0);
    c->search = (struct logsearch){.fd = take_fd,
                                   .from = from,
                                   .to = to,
                                   .older = take_older,
                                   .text = c->text,
                                   .lines = lines_of(w),
                                   .unfinished = job_is_final(j->state),
                                   .places = w->lines};
    turns_work(d, r, search, answer, drop, c);
}

/* What was cut off (logfile.h), if it may be wanted: what it holds was written before. -1: not so. */
static int open_older(int dir, int64_t start, const struct stat *st, const struct wanted *w)
{
    char *name = str_fmt("logs/rank-%" PRId64 ".log.1", w->rank);
    /* A log that has enough by itself is sent as it is. */
    const bool more = w->text || (w->since && st->st_size < LOGSEARCH_BYTES);
    struct stat older;
    int fd = -1;

    if (start == 0 && more && (w->since || w->from < 0))
        fd = beneath_open_file(dir, name, &older, NULL);
    if (fd >= 0 && w->since && changed_ms(&older) < w->since_ms) {
        close(fd);
        fd = -1;
    }
    free(name);
    return fd;
}

static void reply_log(struct daemon *d, struct request *r, const struct job *j, int dir,
                      int take_fd, const struct stat *st, const struct wanted *w)
{
    const int64_t start = first_byte(dir, take_fd, st, w);
    const int older = open_older(dir, start, st, w);

    if (w->text || older >= 0) {
        reply_search(d, r, j, dir, take_fd, older, start, st->st_size, w);
        return;
    }
    add_end(r, st->st_size);
    reply_file_from(r, text_type, take_fd, st, (uint64_t)start);
}

static int is_log(const struct dirent *e)
{
    return str_starts(e->d_name, "rank-") && str_ends(e->d_name, ".log");
}

/* "0, 1": the ranks that have a log. */
static char *ranks_with_logs(int dir)
{
    struct dirent **entries;
    int n = api_scan(dir, "logs", &entries, is_log, versionsort);
    struct buf b = buf_new(0);

    for (int i = 0; i < n; i++) {
        const char *number = entries[i]->d_name + strlen("rank-");

        buf_fmt(&b, "%s%.*s", i ? ", " : "", (int)strcspn(number, "."), number);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    return buf_take(&b);
}

/* A rank of the job that has not written yet may do so; any other has no log. */
static void reply_no_log(struct request *r, const struct job *j, int dir, const struct wanted *w)
{
    const int64_t rank = w->rank;
    char *have;

    if (rank < j->ranks) {
        add_end(r, 0);
        reply_made(r, w->lines, "", 0);
        return;
    }
    have = ranks_with_logs(dir);
    problem_reply(r, "not_found", NULL,
                  "job %s has %" PRId64 " rank%s and no log of rank %" PRId64 "; %s%s", j->id,
                  j->ranks, j->ranks == 1 ? "" : "s", rank,
                  *have ? "there are logs of: " : "nothing is logged yet", have);
    free(have);
}

/* -- The request ---------------------------------------------------------------------------------------- */

static bool take_since(struct request *r, struct wanted *w)
{
    const char *text = http_query(r, "since");

    w->since = text != NULL;
    if (!text || clock_parse(text, &w->since_ms))
        return true;
    problem_reply(r, "bad_request", NULL,
                  "since: expected a time as in RFC 3339, 2026-01-31T12:00:00Z, got \"%.60s\"",
                  text);
    return false;
}

static bool take_text(struct request *r, const char **text)
{
    *text = http_query(r, "grep");
    if (!*text || (**text && strlen(*text) <= LOGSEARCH_TEXT && !strchr(*text, '\n')))
        return true;
    problem_reply(r, "bad_request", NULL,
                  "grep: expected 1 to %d bytes without a line feed, got %zu bytes", LOGSEARCH_TEXT,
                  strlen(*text));
    return false;
}

static bool take_form(struct request *r, struct wanted *w)
{
    const int chosen = api_accept(r, accepted, ARRAY_LEN(accepted));

    w->lines = chosen > 0;
    if (w->lines && !w->text)
        w->text = "";
    return chosen >= 0;
}

/* False when the answer was given. */
static bool take_wanted(struct request *r, struct wanted *w)
{
    return api_number(r, "rank", 0, RANK_MAX, 0, &w->rank) &&
           api_number(r, "tail", 0, TAIL_MAX, -1, &w->tail) &&
           api_number(r, "from", 0, INT64_MAX, -1, &w->from) && take_since(r, w) &&
           take_text(r, &w->text) && take_form(r, w);
}

static void reply_wanted(struct daemon *d, struct request *r, const struct job *j,
                         const struct wanted *w)
{
    char *name = str_fmt("logs/rank-%" PRId64 ".log", w->rank);
    int dir = daemon_open_out(d, j->id, NULL);
    struct stat st;
    int fd = dir >= 0 ? beneath_open_file(dir, name, &st, NULL) : -1;

    if (fd >= 0)
        reply_log(d, r, j, dir, fd, &st, w);
    else
        reply_no_log(r, j, dir, w);
    if (dir >= 0)
        close(dir);
    free(name);
}

void api_job_logs(struct daemon *d, struct request *r)
{
    struct job *owned;
    const struct job *j = api_job_of(d, r, &owned);
    struct wanted w;

    if (j && take_wanted(r, &w))
        reply_wanted(d, r, j, &w);
    job_destroy(owned);
}
