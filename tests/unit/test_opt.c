#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/opt.h"
#include "tests/unit/unit.h"

struct all {
    bool flag;
    const char *text, *env;
    int64_t number;
    double real;
    opt_list many;
    const char *one, *maybe;
};

static const struct opt rows[] = {
    OPT(struct all, one, ARG_ONE, "ONE", "the first argument"),
    OPT(struct all, maybe, ARG_MAYBE, "MAYBE", "the second", .fallback = "nothing"),
    OPT(struct all, flag, OPT_FLAG, "flag", "a flag", .letter = 'f'),
    OPT(struct all, text, OPT_TEXT, "text", "a text", .letter = 'o', .value = "T"),
    OPT(struct all, env, OPT_TEXT, "env", "from the environment", .value = "E",
        .env = "TEST_CLIENT_OPT", .fallback = "standard"),
    OPT(struct all, number, OPT_INT, "number", "a number", .value = "N", .fallback = "7", .lo = 1,
        .hi = 9),
    OPT(struct all, real, OPT_REAL, "real", "seconds", .value = "S"),
    OPT(struct all, many, OPT_MANY, "many", "any number of times", .value = "M"),
};

enum {
    MAX_WORDS = 20
};

/* Parses words that are separated by one space. The values point into `store`. */
static bool parse(struct all *a, const char *words, char store[256], struct error *err)
{
    char *argv[MAX_WORDS];
    struct opt_words w = {argv, 0};
    struct opt_set s = OPT_SET(rows, a);

    *a = (struct all){0};
    snprintf(store, 256, "%s", words);
    for (char *p = store; *p;) {
        size_t n = strcspn(p, " ");
        bool more = p[n];

        ck_assert(w.n < MAX_WORDS);
        argv[w.n++] = p;
        p[n] = '\0';
        p += n + more;
    }
    return opt_defaults(&s, err) && opt_parse(&s, 1, &w, err);
}

static void done(struct all *a)
{
    struct opt_set s = OPT_SET(rows, a);

    opt_free(&s);
}

START_TEST(takes_options_anywhere)
{
    static const char *const lines[] = {
        "x y --flag --text t --number 3 --many a --many b --real 1.5",
        "--flag x --text=t -- y",
        "-f -ot x --many=a=b y",
        "--many a -o t --many b x y -f",
    };
    char store[256];
    struct error err;
    struct all a;

    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        ck_assert_ok(parse(&a, lines[i], store, &err), err);
        ck_assert_str_eq(a.one, "x");
        ck_assert_msg(a.flag, "line %zu", i);
        ck_assert_str_eq(a.text, "t");
        ck_assert_str_eq(a.maybe, "y");
        done(&a);
    }
}
END_TEST

START_TEST(stores_by_kind)
{
    char store[256];
    struct error err;
    struct all a;

    ck_assert_ok(parse(&a, "x --number 3 --many a --many b=c --real 1.5", store, &err), err);
    ck_assert_int_eq(a.number, 3);
    ck_assert_double_eq(a.real, 1.5);
    ck_assert_uint_eq(a.many.n, 2);
    ck_assert_str_eq(a.many.at[1], "b=c");
    ck_assert(!a.flag && !a.text);
    ck_assert_str_eq(a.maybe, "nothing");
    done(&a);
}
END_TEST

START_TEST(after_two_dashes_all_are_arguments)
{
    char store[256];
    struct error err;
    struct all a;

    ck_assert_ok(parse(&a, "-- --flag -", store, &err), err);
    ck_assert_str_eq(a.one, "--flag");
    ck_assert_str_eq(a.maybe, "-");
    ck_assert(!a.flag);
    done(&a);
}
END_TEST

START_TEST(option_wins_over_environment_over_default)
{
    char store[256];
    struct error err;
    struct all a;

    unsetenv("TEST_CLIENT_OPT");
    ck_assert_ok(parse(&a, "x", store, &err), err);
    ck_assert_str_eq(a.env, "standard");
    setenv("TEST_CLIENT_OPT", "outside", 1);
    ck_assert_ok(parse(&a, "x", store, &err), err);
    ck_assert_str_eq(a.env, "outside");
    ck_assert_ok(parse(&a, "x --env here", store, &err), err);
    ck_assert_str_eq(a.env, "here");
}
END_TEST

START_TEST(names_what_is_wrong)
{
    static const struct {
        const char *line, *says;
    } bad[] = {
        {"", "ONE is missing"},
        {"x y z", "one argument too many: z"},
        {"x --number", "--number needs a value: N"},
        {"x --number 0", "expected a whole number fro"},
        {"x --number 10", "from 1 to 9"},
        {"x --number 3x", "--number 3x"},
        {"x --real -1", "expected a number from 0 up"},
        {"x --flag=1", "--flag takes no value"},
        {"x --flug", "did you mean --flag?"},
        {"x --zzzzzzzzzz", "unknown option --zzzzzzzzzz"},
        {"x -z", "unknown option -z"},
    };
    char store[256];
    struct error err;
    struct all a;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_error(parse(&a, bad[i].line, store, &err), err, bad[i].says);
        ck_assert_int_eq(err.code, ERR_INVALID);
    }
}
END_TEST

START_TEST(leading_stops_at_the_first_word)
{
    char *argv[] = {(char[]){"--flag"}, (char[]){"word"}, (char[]){"--number"}};
    struct opt_words w = {argv, ARRAY_LEN(argv)};
    struct all a = {0};
    struct opt_set s = OPT_SET(rows, &a);
    struct error err;

    ck_assert_ok(opt_leading(&s, 1, &w, &err), err);
    ck_assert(a.flag);
    ck_assert_uint_eq(w.n, 2);
    ck_assert_str_eq(w.at[0], "word");
}
END_TEST

START_TEST(usage_and_help_come_from_the_rows)
{
    struct opt_set s = OPT_SET(rows, NULL);
    struct buf b = buf_new(0);

    opt_usage(&s, &b);
    ck_assert_str_eq(buf_text(&b), "ONE [MAYBE] [--flag] [--text T] [--env E] [--number N] "
                                   "[--real S] [--many M]...");
    buf_reset(&b);
    opt_help(&s, &b);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_msg(strstr(buf_text(&b), rows[i].help), "row %zu", i);
    ck_assert(strstr(buf_text(&b), "[TEST_CLIENT_OPT]"));
    ck_assert(strstr(buf_text(&b), "the second (default: nothing)"));
    buf_free(&b);
}
END_TEST

START_TEST(a_long_usage_goes_on_in_the_next_line)
{
    static const struct opt row[] = {OPT(struct all, text, OPT_TEXT,
                                         "an-option-with-a-name-of-fifty-characters-or-so", "",
                                         .value = "TEXT")};
    const struct opt many[] = {row[0], row[0], row[0]};
    struct opt_set s = OPT_SET(many, NULL);
    struct buf b = buf_new(0);

    opt_usage(&s, &b);
    ck_assert_str_eq(buf_text(&b),
                     "[--an-option-with-a-name-of-fifty-characters-or-so TEXT]\n"
                     "       [--an-option-with-a-name-of-fifty-characters-or-so TEXT]\n"
                     "       [--an-option-with-a-name-of-fifty-characters-or-so TEXT]");
    buf_free(&b);
}
END_TEST

START_TEST(help_is_folded)
{
    static const struct opt long_row[] = {
        OPT(struct all, text, OPT_TEXT, "text",
            "words and more words and still more words, so many that they do not fit into a line "
            "and must go on in the next ones",
            .value = "T"),
    };
    struct opt_set s = {long_row, 1, NULL};
    struct buf b = buf_new(0);

    opt_help(&s, &b);
    for (const char *line = buf_text(&b); *line; line += strcspn(line, "\n") + 1)
        ck_assert_uint_le(strcspn(line, "\n"), 80);
    buf_free(&b);
}
END_TEST

START_TEST(a_file_sets_the_same_rows)
{
    char text[] = "# comment\n\n number = 3 # inline\r\nflag=true\nmany = a b\nmany=c\n";
    struct all a = {0};
    struct opt_set set = OPT_SET(rows, &a);
    struct error err;

    ck_assert_msg(opt_lines(&set, 1, text, &err), "%s", err.msg);
    ck_assert_int_eq(a.number, 3);
    ck_assert(a.flag);
    ck_assert_uint_eq(a.many.n, 2);
    ck_assert_str_eq(a.many.at[0], "a b");
    opt_free(&set);
}
END_TEST

START_TEST(a_bad_file_is_told_by_line)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"number = 3\nnumber\n", "line 2: expected name = value, got \"number\""},
        {"number = 30", "line 1: --number 30: expected a whole number from 1 to 9"},
        {"flag = yes", "line 1: flag: expected true or false, got \"yes\""},
        {"\n\ntxt = 1", "line 3: unknown option txt; did you mean --text?"},
        {"text =", "line 1: text needs a value: T"},
        {"ONE = 1", "line 1: unknown option ONE"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[64];
        struct all a = {0};
        struct opt_set set = OPT_SET(rows, &a);
        struct error err = {0};

        snprintf(text, sizeof(text), "%s", cases[i].text);
        ck_assert(!opt_lines(&set, 1, text, &err));
        ck_assert_msg(strstr(err.msg, cases[i].want) == err.msg, "case %zu: %s", i, err.msg);
        opt_free(&set);
    }
}
END_TEST

UNIT_MAIN(a_file_sets_the_same_rows, a_bad_file_is_told_by_line, takes_options_anywhere,
          stores_by_kind, after_two_dashes_all_are_arguments,
          option_wins_over_environment_over_default, names_what_is_wrong,
          leading_stops_at_the_first_word, usage_and_help_come_from_the_rows,
          a_long_usage_goes_on_in_the_next_line, help_is_folded)
