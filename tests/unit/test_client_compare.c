/* What distillctl compare says of two specs, two results, two lists of series. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/compare.h"
#include "tests/unit/unit.h"

/* JSON with single quotes. */
static struct json *json_of(const char *text)
{
    char copy[1024];
    struct error err = {0};
    struct json *j;

    snprintf(copy, sizeof(copy), "%s", text);
    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    j = js_parse(copy, strlen(copy), &err);
    ck_assert_ok(j, err);
    return j;
}

struct row {
    const char *a, *b, *says;
};

static void check_rows(struct json *(*compare)(const struct json *, const struct json *),
                       const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct json *a = json_of(rows[i].a), *b = json_of(rows[i].b), *want = json_of(rows[i].says);
        struct json *got = compare(a, b);
        char *x = js_text(got, JS_COMPACT | JS_SORTED), *y = js_text(want, JS_COMPACT | JS_SORTED);

        ck_assert_msg(strcmp(x, y) == 0, "row %zu: %s instead of %s", i, x, y);
        free(x);
        free(y);
        js_free(a);
        js_free(b);
        js_free(want);
        js_free(got);
    }
}

START_TEST(specs_differ_field_by_field)
{
    static const struct row rows[] = {
        {"{'a':1,'b':{'c':[1,2]}}", "{'b':{'c':[1,2]},'a':1}", "[]"},
        {"{'train':{'seed':1,'lanes':4}}", "{'train':{'seed':2,'lanes':4}}",
         "[{'pointer':'#/train/seed','a':1,'b':2}]"},
        {"{'x':1}", "{'y':[3,4]}",
         "[{'pointer':'#/x','a':1,'b':null},{'pointer':'#/y','a':null,'b':[3,4]}]"},
        {"{'losses':[{'kind':'ce','weight':1}]}",
         "{'losses':[{'kind':'ce','weight':2},{'kind':'kd'}]}",
         "[{'pointer':'#/losses/0/weight','a':1,'b':2},"
         "{'pointer':'#/losses/1','a':null,'b':{'kind':'kd'}}]"},
        {"{'m':[1,2]}", "{'m':[1,3]}", "[{'pointer':'#/m','a':[1,2],'b':[1,3]}]"},
    };

    check_rows(compare_specs, rows, ARRAY_LEN(rows));
}
END_TEST

START_TEST(figures_have_a_difference_where_both_are_numbers)
{
    static const struct row rows[] = {
        {"{'final':{'top1':50.5,'note':'x'},'s':3}", "{'final':{'top5':90,'top1':52},'s':null}",
         "[{'name':'final.top1','a':50.5,'b':52,'difference':1.5},"
         "{'name':'final.top5','a':null,'b':90,'difference':null},"
         "{'name':'s','a':3,'b':null,'difference':null}]"},
        {"{}", "{'final':{'top1':1}}", "[{'name':'final.top1','a':null,'b':1,'difference':null}]"},
    };

    check_rows(compare_figures, rows, ARRAY_LEN(rows));
}
END_TEST

#define SERIES(points) "[{'name':'l','split':'train','points':" points "}]"
#define SAYS(points, only_a, only_b, first, most)                                           \
    "[{'name':'l','split':'train','points':" points ",'only_a':" only_a ",'only_b':" only_b \
    ",'first_difference':" first ",'max_abs_difference':" most "}]"

START_TEST(series_are_compared_at_equal_steps)
{
    static const struct row rows[] = {
        {SERIES("[[1,0.5],[2,0.25]]"), SERIES("[[1,0.5],[2,0.25]]"),
         SAYS("2", "0", "0", "null", "0.0")},
        {SERIES("[[1,1],[2,2],[3,3],[4,4]]"), SERIES("[[1,1],[2,2.5],[3,1],[4,4]]"),
         SAYS("4", "0", "0", "2", "2.0")},
        {SERIES("[[1,1],[3,3],[4,4]]"), SERIES("[[2,9],[3,3],[5,5],[6,6]]"),
         SAYS("1", "2", "3", "null", "0.0")},
        {SERIES("[[1,null],[2,null]]"), SERIES("[[1,null],[2,7]]"),
         SAYS("2", "0", "0", "2", "0.0")},
        {SERIES("[[1,1]]"), "[]", SAYS("0", "1", "0", "null", "null")},
        {"[]", SERIES("[[1,1]]"), SAYS("0", "0", "1", "null", "null")},
    };
    static const bool same[] = {true, false, false, false, false, false};

    check_rows(compare_series, rows, ARRAY_LEN(rows));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct json *said = json_of(rows[i].says);

        ck_assert_msg(compare_same(js_at(said, 0)) == same[i], "row %zu", i);
        js_free(said);
    }
}
END_TEST

START_TEST(series_are_told_apart_by_name_and_split)
{
    struct json *a = json_of("[{'name':'top1','split':'train','points':[[1,1]]},"
                             "{'name':'top1','split':'test','points':[[1,2]]}]");
    struct json *b = json_of("[{'name':'top1','split':'test','points':[[1,2]]},"
                             "{'name':'top1','split':'train','points':[[1,1]]}]");
    struct json *rows = compare_series(a, b);

    ck_assert_uint_eq(js_len(rows), 2);
    ck_assert(compare_same(js_at(rows, 0)) && compare_same(js_at(rows, 1)));
    js_free(a);
    js_free(b);
    js_free(rows);
}
END_TEST

UNIT_MAIN(specs_differ_field_by_field, figures_have_a_difference_where_both_are_numbers,
          series_are_compared_at_equal_steps, series_are_told_apart_by_name_and_split)
