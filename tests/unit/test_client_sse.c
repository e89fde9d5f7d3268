#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/sse.h"
#include "proto/base/rng.h"
#include "tests/unit/unit.h"

/* Writes each event as "kind|data|id;" into a buf. */
static bool note(const struct sse_event *e, void *arg, struct error *err)
{
    (void)err;
    buf_fmt(arg, "%s|%.*s|%s;", e->kind, (int)e->len, e->data, e->id);
    return true;
}

static char *events_of(const char *stream)
{
    struct buf b = buf_new(0);
    struct error err;
    struct sse s;

    sse_init(&s);
    ck_assert_ok(sse_feed(&s, stream, strlen(stream), note, &b, &err), err);
    sse_free(&s);
    return buf_take(&b);
}

START_TEST(reads_the_format)
{
    static const struct {
        const char *stream, *events;
    } rows[] = {
        {"data: a\n\n", "message|a|;"},
        {"event: metric\ndata: {}\nid: 7\n\n", "metric|{}|7;"},
        {"data:a\ndata: b\n\n", "message|a\nb|;"},
        {"data:  a\n\n", "message| a|;"},
        {"data\n\n", "message||;"},
        {": comment\n\nevent: x\n\ndata: y\n\n", "message|y|;"},
        {"data: a\r\rdata: b\r\n\r\n", "message|a|;message|b|;"},
        {"\xef\xbb\xbf"
         "data: a\n\n",
         "message|a|;"},
        {"id: 1\ndata: a\n\ndata: b\n\n", "message|a|1;message|b|1;"},
        {"id: 1\ndata: a\n\nid\ndata: b\n\n", "message|a|1;message|b|;"},
        {"datum: a\ndata: b\n\n", "message|b|;"},
        {"data: half", ""},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *events = events_of(rows[i].stream);

        ck_assert_msg(strcmp(events, rows[i].events) == 0, "row %zu: %s", i, events);
        free(events);
    }
}
END_TEST

static uint64_t draw(uint64_t *at, uint64_t below)
{
    return rng_below(unit_seed(), (*at)++, below);
}

/* A stream of random events, and in `events` what is to come of it. */
static char *random_stream(uint64_t *at, struct buf *events)
{
    static const char *const ends[] = {"\n", "\r", "\r\n"};
    const char *end = ends[draw(at, ARRAY_LEN(ends))];
    struct buf b = buf_new(0);

    for (uint64_t id = 1 + draw(at, 5); id > 0; id--) {
        uint64_t lines = 1 + draw(at, 3);

        buf_fmt(&b, "%sid: %d%s", draw(at, 2) ? ":hb\n" : "", (int)id, end);
        buf_str(events, "message|");
        for (uint64_t k = 0; k < lines; k++) {
            char value[48];

            snprintf(value, sizeof(value), "%*s", (int)draw(at, 40), "x");
            buf_fmt(&b, "data: %s%s", value, end);
            buf_fmt(events, "%s%s", k ? "\n" : "", value);
        }
        buf_fmt(events, "|%d;", (int)id);
        buf_str(&b, end);
    }
    return buf_take(&b);
}

START_TEST(pieces_do_not_matter)
{
    uint64_t at = 0;

    for (int round = 0; round < 500; round++) {
        struct buf expected = buf_new(0), got = buf_new(0);
        char *stream = random_stream(&at, &expected);
        size_t len = strlen(stream);
        struct error err;
        struct sse s;

        sse_init(&s);
        for (size_t done = 0; done < len;) {
            size_t n = 1 + (size_t)draw(&at, 7);

            n = n < len - done ? n : len - done;
            ck_assert_ok(sse_feed(&s, stream + done, n, note, &got, &err), err);
            done += n;
        }
        ck_assert_msg(strcmp(buf_text(&expected), buf_text(&got)) == 0, "round %d: %s", round,
                      stream);
        sse_free(&s);
        free(stream);
        buf_free(&expected);
        buf_free(&got);
    }
}
END_TEST

START_TEST(a_new_connection_keeps_the_id_only)
{
    static const char first[] = "id: 41\nretry: 1500\ndata: a\n\nevent: x\ndata: half";
    struct buf b = buf_new(0);
    struct error err;
    struct sse s;

    sse_init(&s);
    ck_assert_ok(sse_feed(&s, first, sizeof(first) - 1, note, &b, &err), err);
    sse_restart(&s);
    ck_assert_str_eq(buf_text(&s.id), "41");
    ck_assert_int_eq(s.retry_ms, 1500);
    ck_assert_ok(sse_feed(&s, "data: b\n\n", 9, note, &b, &err), err);
    ck_assert_str_eq(buf_text(&b), "message|a|41;message|b|41;");
    sse_free(&s);
    buf_free(&b);
}
END_TEST

START_TEST(refuses_endless_lines)
{
    char *block = mem_calloc(1 << 20, 1);
    struct error err;
    struct sse s;
    bool ok = true;

    memset(block, 'x', 1 << 20);
    sse_init(&s);
    for (int i = 0; i < 9 && ok; i++)
        ok = sse_feed(&s, block, 1 << 20, note, NULL, &err);
    ck_assert_error(ok, err, "too long");
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    sse_free(&s);
    free(block);
}
END_TEST

UNIT_MAIN(reads_the_format, pieces_do_not_matter, a_new_connection_keeps_the_id_only,
          refuses_endless_lines)
