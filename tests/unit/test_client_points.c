/* What distillctl compare shows of a sweep. */
#include <stdlib.h>
#include <string.h>

#include "client/points.h"
#include "tests/unit/unit.h"

#define FIGURE(n, mean, sd, difference) \
    "{\"best.top1\":{\"n\":" n ",\"mean\":" mean ",\"sd\":" sd ",\"difference\":" difference "}}"
#define POINT(k, value, figures)                              \
    "{\"point\":" k ",\"values\":{\"losses.1.weight\":" value \
    "},\"jobs\":[{}],\"figures\":" figures "}"
#define DIFFERENCE(value, low, high, zero) \
    "{\"value\":" value ",\"low\":" low ",\"high\":" high ",\"contains_zero\":" zero "}"

START_TEST(a_table_says_what_the_intervals_say)
{
    static const char text[] =
        "{\"id\":\"job_1\",\"points\":9,\"seeds\":3,\"baseline\":1,\"confidence\":0.95,"
        "\"baseline_values\":{\"losses.1.weight\":0},\"items\":[]}";
    static const char *const points[] = {
        POINT("0", "2", FIGURE("3", "72.531", "0.21", DIFFERENCE("1.5", "0.5", "2.5", "false"))),
        POINT("1", "0", FIGURE("3", "71.03", "0.3", "null")),
        POINT("2", "4", FIGURE("2", "71", "0.3", DIFFERENCE("-0.03", "-0.5", "0.44", "true"))),
        POINT("3", "8", FIGURE("1", "70", "null", DIFFERENCE("-1", "null", "null", "null"))),
        POINT("4", "9", FIGURE("2", "70", "1", DIFFERENCE("-1", "null", "null", "null"))),
        POINT("5", "16", FIGURE("3", "60", "1", DIFFERENCE("-11", "-12", "-10", "false"))),
        POINT("6", "\"\\u001b[2J\"", FIGURE("0", "null", "null", "null")),
    };
    static const char want[] =
        "job_1  9 points x 3 seeds, 7 of the points begun\n"
        "Differences to point 1 (losses.1.weight=0) with intervals of 95 % for each of them alone\n"
        "\n"
        "best.top1: top-1 of the best student, on the test images\n"
        "POINT  VALUES                N    MEAN  ± SD  DIFFERENCE  INTERVAL       VERDICT\n"
        "    0  losses.1.weight=2     3  72.531  0.21        +1.5  [+0.5, +2.5]   higher\n"
        "    1  losses.1.weight=0     3   71.03   0.3           -  -              the baseline\n"
        "    2  losses.1.weight=4     2      71   0.3       -0.03  [-0.5, +0.44]  contains 0: may "
        "be chance\n"
        "    3  losses.1.weight=8     1      70     -          -1  -              one seed: no "
        "interval\n"
        "    4  losses.1.weight=9     2      70     1          -1  -              the baseline has "
        "one seed: no interval\n"
        "    5  losses.1.weight=16    3      60     1         -11  [-12, -10]     lower\n"
        "    6  losses.1.weight=?[2J  0       -     -           -  -              no job yet\n";
    struct error err;
    struct buf b = buf_new(0);
    struct json *summary, *items;

    summary = js_parse(text, strlen(text), &err);
    ck_assert_ok(summary, err);
    items = js_get(summary, "items");
    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        js_push(items, js_parse(points[i], strlen(points[i]), &err));
        ck_assert_msg(js_len(items) == i + 1, "point %zu", i);
    }
    points_tables(summary, &(struct term){.width = 80}, &b);
    ck_assert_str_eq(buf_text(&b), want);
    buf_free(&b);
    js_free(summary);
}
END_TEST

START_TEST(long_values_are_cut)
{
    static const char text[] =
        "{\"losses\":[{\"kind\":\"ce\",\"weight\":1},{\"kind\":\"kd\",\"weight\":1}],\"x\":null}";
    struct json *values = js_parse(text, strlen(text), NULL);
    struct buf b = buf_new(0);

    points_values(values, &b);
    ck_assert_str_eq(buf_text(&b),
                     "losses=[{\"kind\":\"ce\",\"weight\":1},{\"kind\":\"kd\",\".., x=null");
    buf_reset(&b);
    points_values(NULL, &b);
    ck_assert_str_eq(buf_text(&b), "-");
    buf_free(&b);
    js_free(values);
}
END_TEST

UNIT_MAIN(a_table_says_what_the_intervals_say, long_values_are_cut)
