#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/out.h"
#include "tests/unit/unit.h"

static const struct term paper = {.width = 80};
static const struct term screen = {.tty = true, .colour = true, .width = 80};

static const struct out_column columns[] = {
    {"NAME", false, false},
    {"STATE", false, true},
    {"DONE", true, false},
};

static struct out_table sample(void)
{
    struct out_table t = OUT_TABLE(columns);

    out_cell(&t, "%s", "résumé");
    out_cell(&t, "failed");
    out_cell(&t, "%d %%", 7);
    out_cell(&t, "a longer name");
    out_cell(&t, "x");
    out_cell(&t, "100 %%");
    return t;
}

START_TEST(columns_are_aligned)
{
    struct out_table t = sample();
    struct buf b = buf_new(0);

    out_table_write(&t, &paper, &b);
    ck_assert_str_eq(buf_text(&b), "NAME           STATE    DONE\n"
                                   "résumé         failed    7 %\n"
                                   "a longer name  x       100 %\n");
    buf_free(&b);
    out_table_free(&t);
}
END_TEST

START_TEST(states_are_coloured_on_terminals_only)
{
    struct out_table t = sample();
    struct buf b = buf_new(0);

    out_table_write(&t, &screen, &b);
    ck_assert(strstr(buf_text(&b), "\x1b[31mfailed\x1b[0m"));
    buf_reset(&b);
    out_table_write(&t, &paper, &b);
    ck_assert(!strchr(buf_text(&b), '\x1b'));
    buf_free(&b);
    out_table_free(&t);
}
END_TEST

START_TEST(an_empty_table_has_its_titles)
{
    struct out_table t = OUT_TABLE(columns);
    struct buf b = buf_new(0);

    out_table_write(&t, &paper, &b);
    ck_assert_str_eq(buf_text(&b), "NAME  STATE  DONE\n");
    buf_free(&b);
}
END_TEST

START_TEST(nothing_steers_the_terminal)
{
    struct buf b = buf_new(0);

    out_clean(&b, "a\x1b[2Jb\nc\x7f"
                  "d\xc2\x9b"
                  "eé");
    ck_assert_str_eq(buf_text(&b), "a?[2Jb?c?d?eé");
    buf_free(&b);
}
END_TEST

START_TEST(durations_read_well)
{
    static const struct {
        double seconds;
        const char *text;
    } rows[] = {
        {0, "0s"},         {59.4, "59s"},     {59.6, "1m00s"},    {205, "3m25s"},
        {3599, "59m59s"},  {3599.7, "1h00m"}, {3725, "1h02m"},    {86399, "23h59m"},
        {183600, "2d03h"}, {-1, "-"},         {(double)NAN, "-"}, {(double)INFINITY, "-"},
    };
    char text[OUT_TEXT];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_str_eq(out_duration(rows[i].seconds, text), rows[i].text);
}
END_TEST

START_TEST(sizes_and_numbers_read_well)
{
    char text[OUT_TEXT];

    ck_assert_str_eq(out_bytes(999, text), "999 B");
    ck_assert_str_eq(out_bytes(1000, text), "1.0 kB");
    ck_assert_str_eq(out_bytes(999960, text), "1.0 MB");
    ck_assert_str_eq(out_bytes(1100000000, text), "1.1 GB");
    ck_assert_str_eq(out_bytes(INT64_MAX, text), "9223372.0 TB");
    ck_assert_str_eq(out_bytes(-1, text), "-");
    ck_assert_str_eq(out_real(2, 1.005, text), "1.00");
    ck_assert_str_eq(out_real(2, (double)NAN, text), "-");
}
END_TEST

START_TEST(ages_count_from_utc)
{
    static const struct {
        const char *time;
        int64_t ms;
    } rows[] = {
        {"1970-01-01T00:00:00.000Z", 0},
        {"2000-02-29T12:00:00.500Z", 951825600500},
        {"2024-12-31T23:59:59.999Z", 1735689599999},
        {"2026-01-31T12:00:00Z", 1769860800000},
        {"2100-03-01T00:00:00Z", 4107542400000},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_double_eq_tol(out_age(rows[i].time, rows[i].ms + 2000), 2, 1e-3);
    ck_assert(isnan(out_age("yesterday", 0)));
    ck_assert(isnan(out_age(NULL, 0)));
}
END_TEST

START_TEST(bars_fill_up)
{
    static const struct {
        double fraction;
        const char *text;
    } rows[] = {
        {0, "[....]"}, {0.49, "[#...]"}, {0.5, "[##..]"},
        {1, "[####]"}, {7, "[####]"},    {-1, "[....]"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf b = buf_new(0);

        out_bar(&b, rows[i].fraction, 4);
        ck_assert_str_eq(buf_text(&b), rows[i].text);
        buf_free(&b);
    }
}
END_TEST

START_TEST(live_lines_are_drawn_over_and_cut)
{
    const char *first[] = {"one", "two"}, *second[] = {"a line that does not fit", "é"};
    struct out_live l = {.to = tmpfile(), .term = {.tty = true, .width = 11}};
    char text[200] = "";

    ck_assert_ptr_nonnull(l.to);
    out_live_show(&l, first, 2);
    out_live_show(&l, second, 2);
    rewind(l.to);
    ck_assert_uint_gt(fread(text, 1, sizeof(text) - 1, l.to), 0);
    ck_assert_str_eq(text, "\rone\x1b[K\n\rtwo\x1b[K\n"
                           "\x1b[2A\ra line tha\x1b[K\n\ré\x1b[K\n");
    fclose(l.to);
}
END_TEST

UNIT_MAIN(columns_are_aligned, states_are_coloured_on_terminals_only, an_empty_table_has_its_titles,
          nothing_steers_the_terminal, durations_read_well, sizes_and_numbers_read_well,
          ages_count_from_utc, bars_fill_up, live_lines_are_drawn_over_and_cut)
