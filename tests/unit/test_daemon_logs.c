/* daemon: what is found in a log, and since when it is there. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/logsearch.h"
#include "daemon/logtimes.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/rng.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"

static char *path_in(const char *name)
{
    return str_path(unit_dir(), name);
}

static void write_log(const char *path, const char *text)
{
    struct error err;

    ck_assert_ok(file_replace(path, text, strlen(text), 0644, &err), err);
}

static struct logsearch search(const char *path, const char *text, int64_t from, int64_t lines,
                               bool unfinished)
{
    struct logsearch s = {.fd = open(path, O_RDONLY),
                          .older = -1,
                          .from = from,
                          .text = text,
                          .lines = lines,
                          .unfinished = unfinished};

    ck_assert_int_ge(s.fd, 0);
    s.to = lseek(s.fd, 0, SEEK_END);
    logsearch_run(&s);
    close(s.fd);
    return s;
}

START_TEST(lines_with_the_text_are_found)
{
    static const char log[] = "one a\ntwo\nthree a.b\nA\n\na\nfour a";
    static const struct {
        const char *text;
        int64_t from, lines;
        bool unfinished;
        const char *want;
        int64_t end;
    } cases[] = {
        {"a", 0, INT64_MAX, false, "one a\nthree a.b\na\n", 25},
        {"a", 0, INT64_MAX, true, "one a\nthree a.b\na\nfour a\n", 31},
        {"a", 6, INT64_MAX, false, "three a.b\na\n", 25},
        {"a", 0, 1, false, "a\n", 25},
        {"a", 0, 2, true, "a\nfour a\n", 31},
        {"a", 0, 0, true, "", 31},
        {"a.b", 0, INT64_MAX, false, "three a.b\n", 25}, /* no pattern */
        {"axb", 0, INT64_MAX, false, "", 25},
        {".*", 0, INT64_MAX, true, "", 31},
        {"four", 25, INT64_MAX, false, "", 25},
        {"four", 31, INT64_MAX, true, "", 31},
    };
    char *path = path_in("found.log");

    write_log(path, log);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct logsearch s =
            search(path, cases[i].text, cases[i].from, cases[i].lines, cases[i].unfinished);

        ck_assert_msg(strcmp(buf_text(&s.found), cases[i].want) == 0, "case %zu: %s", i,
                      buf_text(&s.found));
        ck_assert_msg(s.end == cases[i].end, "case %zu: %ld", i, (long)s.end);
        buf_free(&s.found);
    }
    free(path);
}
END_TEST

/* Lines longer than what is read at once, and more of them than are kept. */
START_TEST(memory_has_a_limit)
{
    enum {
        LONG = 600000,
        LINES = 40
    };
    struct buf log = buf_new(0);
    char *line = mem_calloc(LONG, 1), *path = path_in("large.log");
    struct logsearch s;

    memset(line, 'x', LONG);
    for (int i = 0; i < LINES; i++) {
        buf_fmt(&log, "%d ", i);
        buf_add(&log, line, LONG);
        buf_str(&log, "\n");
    }
    write_log(path, buf_text(&log));
    s = search(path, "x", 0, INT64_MAX, false);
    ck_assert_uint_le(s.found.len, LOGSEARCH_BYTES);
    ck_assert_uint_ge(s.found.len, LOGSEARCH_BYTES / 2);
    ck_assert(str_ends(buf_text(&s.found), "x\n"));
    ck_assert_int_eq(s.end, (int64_t)log.len);
    buf_free(&s.found);
    free(path);
    free(line);
    buf_free(&log);
}
END_TEST

/* Hits as short as can be: nothing is kept about each of them. */
START_TEST(many_hits_take_no_more_memory_than_their_text)
{
    enum {
        SIZE = 20 << 20
    };
    char *log = mem_calloc(SIZE + 1, 1), *path = path_in("many.log");
    struct logsearch s;

    for (int i = 0; i < SIZE; i += 2)
        memcpy(log + i, i == SIZE - 4 ? "b\n" : "a\n", 2);
    write_log(path, log);
    free(log);
    s = search(path, "a", 0, 3, false);
    ck_assert_str_eq(buf_text(&s.found), "a\na\na\n");
    ck_assert_uint_le(s.found.cap, 2 * LOGSEARCH_BYTES);
    buf_free(&s.found);
    s = search(path, "a", 0, INT64_MAX, false);
    ck_assert_uint_le(s.found.len, LOGSEARCH_BYTES);
    ck_assert_uint_ge(s.found.len, LOGSEARCH_BYTES - 2);
    buf_free(&s.found);
    free(path);
}
END_TEST

/* Lines of any length up to a part: those with the text, whole and in order, by what looks at one after the other. */
static void check_any_log(uint64_t seed)
{
    struct buf log = buf_new(0), want = buf_new(0);
    const uint64_t key = rng_key(unit_seed(), seed);
    char *line = mem_calloc(LOGSEARCH_PART, 1), *path = path_in("any.log");
    struct logsearch s;

    for (uint64_t i = 0; log.len < 5 * LOGSEARCH_PART; i++) {
        const size_t most = rng_below(key, 4 * i, 8) ? 3000 : LOGSEARCH_PART;
        const size_t len = rng_below(key, 4 * i + 1, most);
        const bool hit = len > 2 && rng_below(key, 4 * i + 2, 2);

        memset(line, 'a', len);
        if (hit)
            memcpy(line + rng_below(key, 4 * i + 3, len - 1), "bc", 2);
        line[len] = '\n';
        buf_add(&log, line, len + 1);
        buf_add(&want, line, hit ? len + 1 : 0);
    }
    write_log(path, buf_text(&log));
    s = search(path, "bc", 0, INT64_MAX, false);
    ck_assert_msg(s.found.len == want.len, "log %d: %zu bytes, not %zu", (int)seed, s.found.len,
                  want.len);
    ck_assert(memcmp(buf_text(&s.found), buf_text(&want), want.len) == 0);
    ck_assert_int_eq(s.end, (int64_t)log.len);
    buf_free(&s.found);
    free(path);
    free(line);
    buf_free(&want);
    buf_free(&log);
}

START_TEST(it_finds_what_is_there)
{
    for (uint64_t seed = 0; seed < 8; seed++)
        check_any_log(seed);
}
END_TEST

/* Wherever in a long line the text lies, it is found once, and what is found is lines. */
START_TEST(a_long_line_is_looked_through_across_the_border)
{
    static const int places[] = {0,
                                 LOGSEARCH_PART - 7,
                                 LOGSEARCH_PART - 6,
                                 LOGSEARCH_PART - 3,
                                 LOGSEARCH_PART - 1,
                                 LOGSEARCH_PART,
                                 2 * LOGSEARCH_PART - 9,
                                 2 * LOGSEARCH_PART};
    enum {
        LONG = 3 * LOGSEARCH_PART
    };
    char *log = mem_calloc(LONG + 16, 1), *path = path_in("long.log");

    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        struct logsearch s;
        const char *first;

        memset(log, 'x', LONG);
        memcpy(log + places[i], "needle", 6);
        snprintf(log + LONG, 16, "\na needle\n");
        write_log(path, log);
        s = search(path, "needle", 0, INT64_MAX, false);
        first = strchr(buf_text(&s.found), '\n');
        ck_assert_msg(first && strcmp(first, "\na needle\n") == 0, "place %d", places[i]);
        ck_assert_msg(strstr(buf_text(&s.found), "needle") < first, "place %d", places[i]);
        buf_free(&s.found);
    }
    free(path);
    free(log);
}
END_TEST

/* As one log; but a line ends where one part does. "" is in every line. */
START_TEST(the_older_part_lies_in_front)
{
    static const struct {
        const char *older, *log, *text;
        int64_t lines;
        const char *want;
    } cases[] = {
        {"a1\nb\na2\n", "a3\nb\na4\n", "a", INT64_MAX, "a1\na2\na3\na4\n"},
        {"a1\nb\na2\n", "a3\nb\na4\n", "a", 3, "a2\na3\na4\n"},
        {"a1\nb\na2\n", "a3\nb\na4\n", "a", 2, "a3\na4\n"},
        {"a1\nb\na2", "a3\na4", "a", INT64_MAX, "a1\na2\na3\n"},
        {"a1\n\nb\n", "c\n\n", "", INT64_MAX, "a1\n\nb\nc\n\n"},
        {"a1\n\nb\n", "c\n\n", "", 3, "b\nc\n\n"},
        {"a1\n", "", "a", INT64_MAX, "a1\n"},
        {"", "a1\n", "a", INT64_MAX, "a1\n"},
    };
    char *path = path_in("new.log"), *older = path_in("new.log.1");

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct logsearch s;

        write_log(path, cases[i].log);
        write_log(older, cases[i].older);
        s = (struct logsearch){.fd = open(path, O_RDONLY),
                               .to = (int64_t)strlen(cases[i].log),
                               .older = open(older, O_RDONLY),
                               .text = cases[i].text,
                               .lines = cases[i].lines};
        logsearch_run(&s);
        ck_assert_msg(strcmp(buf_text(&s.found), cases[i].want) == 0, "case %zu: %s", i,
                      buf_text(&s.found));
        buf_free(&s.found);
        close(s.fd);
        close(s.older);
    }
    free(older);
    free(path);
}
END_TEST

START_TEST(a_time_leads_to_a_place)
{
    static const struct {
        const char *notes;
        int64_t since, want;
    } cases[] = {
        {"", 5, 0},
        {"10 100\n20 200\n30 300\n", 5, 0},
        {"10 100\n20 200\n30 300\n", 10, 100},
        {"10 100\n20 200\n30 300\n", 29, 200},
        {"10 100\n20 200\n30 300\n", 99, 300},
        {"10 100\n20 x\n30 300\n", 99, 100},
        {"10 100\n20 20", 99, 100}, /* being written */
        {"x", 99, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        ck_assert_msg(logtimes_find(cases[i].notes, cases[i].since) == cases[i].want, "case %zu",
                      i);
}
END_TEST

START_TEST(a_place_leads_to_a_time)
{
    static const int64_t cases[][2] = {{0, 10},   {100, 10}, {101, 20}, {200, 20},
                                       {200, 20}, {300, 30}, {301, -1}, {INT64_MAX, -1}};
    const char *notes = "10 100\n20 200\n30 300\n";

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        ck_assert_msg(logtimes_when(&notes, cases[i][0]) == cases[i][1], "case %zu", i);
    notes = "";
    ck_assert_int_eq(logtimes_when(&notes, 0), -1);
}
END_TEST

static int64_t found(const char *path, int64_t since)
{
    struct buf text = buf_new(0);
    struct error err;
    int64_t at;

    ck_assert_ok(file_read(path, &text, &err), err);
    ck_assert_uint_le(text.len, LOGTIMES_MAX + 64);
    at = logtimes_find(buf_text(&text), since);
    buf_free(&text);
    return at;
}

static void grow(const char *path, int64_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0644);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, size), 0);
    close(fd);
}

/* However many looks there were, the notes stay small, rise, and lead near. */
START_TEST(notes_stay_small_and_begin_anew_with_the_log)
{
    char *dir = path_in("logs"), *log = str_path(dir, "rank-3.log");
    char *notes = str_path(dir, "rank-3.times");
    struct error err;

    ck_assert_ok(file_make_dirs(dir, 0755, &err), err);
    grow(log, 0);
    for (int64_t t = 1; t <= 20000; t++) {
        if (t % 3)
            grow(log, 10 * t);
        logtimes_note(dir, INT64_C(1700000000000) + 1000 * t);
    }
    for (int64_t t = 10; t <= 20000; t += 97) {
        int64_t at = found(notes, INT64_C(1700000000000) + 1000 * t);

        ck_assert_msg(at <= 10 * t, "at %ld: %ld", (long)t, (long)at);
        ck_assert_msg(at >= 10 * (t - 4 - (20000 - t) / 20), "at %ld: only %ld", (long)t, (long)at);
    }
    grow(log, 0);
    grow(log, 7);
    logtimes_note(dir, INT64_C(1700000000000) + 20001000);
    ck_assert_int_eq(found(notes, INT64_C(1700000000000) + 20000000), 0);
    ck_assert_int_eq(found(notes, INT64_C(1700000000000) + 20001000), 7);
    free(notes);
    free(log);
    free(dir);
}
END_TEST

UNIT_MAIN(it_finds_what_is_there, lines_with_the_text_are_found, memory_has_a_limit,
          many_hits_take_no_more_memory_than_their_text,
          a_long_line_is_looked_through_across_the_border, the_older_part_lies_in_front,
          a_time_leads_to_a_place, a_place_leads_to_a_time,
          notes_stay_small_and_begin_anew_with_the_log)
