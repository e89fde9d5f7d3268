#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/json.h"
#include "proto/base/json_split.h"
#include "proto/base/jw.h"
#include "proto/base/rng.h"
#include "tests/unit/unit.h"

static struct json *parse(const char *text, struct error *err)
{
    return js_parse(text, strlen(text), err);
}

START_TEST(refuses_what_is_not_json)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "line"},
        {"{\"a\":1,}", "line 1"},
        {"{\"a\":1} x", "end of file"},
        {"[NaN]", "line 1"},
        {"{\"a\":1,\"a\":2}", "duplicate"},
        {"[1e999]", "overflow"},
        {"[\"\\u0000\"]", "u0000"},
        {"[99999999999999999999]", "too big"},
        {"[\"\xff\"]", "unable to decode byte 0xff"},
    };
    struct error err;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_error(parse(bad[i].text, &err), err, bad[i].says);
}
END_TEST

START_TEST(limits_nesting)
{
    char text[200];
    struct error err;
    struct json *j;

    memset(text, '[', JS_MAX_DEPTH);
    memset(text + JS_MAX_DEPTH, ']', JS_MAX_DEPTH);
    j = js_parse(text, 2 * JS_MAX_DEPTH, &err);
    ck_assert_ok(j, err);
    js_free(j);
    memset(text, '[', JS_MAX_DEPTH + 1);
    ck_assert_error(js_parse(text, 2 * JS_MAX_DEPTH + 2, &err), err, "nested deeper");
    /* Brackets inside strings do not count. */
    memset(text, '[', sizeof(text));
    text[0] = text[60] = '"';
    j = js_parse(text, 61, &err);
    ck_assert_ok(j, err);
    js_free(j);
}
END_TEST

START_TEST(reals_round_trip_with_few_digits)
{
    struct buf b = buf_new(0);

    js_write_real(0.1, &b);
    ck_assert_str_eq(buf_text(&b), "0.1");
    buf_reset(&b);
    js_write_real((double)NAN, &b);
    ck_assert_str_eq(buf_text(&b), "null");
    for (uint64_t i = 0; i < 1000; i++) {
        double v =
            ldexp(rng_uniform(unit_seed(), i), (int)rng_below(unit_seed(), 5000 + i, 120) - 60);

        buf_reset(&b);
        js_write_real(v, &b);
        ck_assert_msg(strtod(buf_text(&b), NULL) == v, "case %d: %s", (int)i, buf_text(&b));
    }
    buf_free(&b);
}
END_TEST

/* The shortest of printf's texts that reads back, with a mark that it is no integer. */
static void check_real(double v)
{
    struct buf b = buf_new(0);
    char want[40];

    for (int digits = 15; digits <= 17; digits++) {
        snprintf(want, sizeof(want), "%.*g", digits, v);
        if (strtod(want, NULL) == v)
            break;
    }
    if (!strpbrk(want, ".e"))
        memcpy(want + strlen(want), ".0", sizeof(".0"));
    if (fabs(v) < 1e15 && v == trunc(v))
        snprintf(want, sizeof(want), "%.1f", v);
    js_write_real(v, &b);
    ck_assert_str_eq(buf_text(&b), want);
    buf_free(&b);
}

START_TEST(reals_are_written_as_printf_would)
{
    static const double some[] = {0.0001,     0.00009,          0.1,       0.3,  5e-4,
                                  123456.789, 999999999.999999, 1e9 + 0.5, 1e15, 1e15 + 0.5,
                                  0.1 + 0.2,  1e-300,           1e300};

    for (size_t i = 0; i < ARRAY_LEN(some); i++) {
        check_real(some[i]);
        check_real(-some[i]);
    }
    for (int digit = 1; digit <= 10; digit++)
        for (int k = 3; k <= 17; k++) {
            char text[32];
            double v;

            snprintf(text, sizeof(text), "%de-%d", digit, k);
            v = strtod(text, NULL);
            check_real(v);
            check_real(-v);
            check_real(nextafter(v, 0));
            check_real(nextafter(v, 1));
        }
    for (uint64_t i = 0; i < 2000; i++) {
        double millionths = (double)rng_below(unit_seed(), i, UINT32_MAX);

        check_real(millionths / 1e6);
        check_real(-millionths / 1e3);
        check_real(nextafter(millionths / 1e6, 0));
        check_real(millionths / 7e5);
    }
}
END_TEST

START_TEST(integers_are_written_whole)
{
    static const struct {
        int64_t v;
        const char *text;
    } some[] = {{0, "0"},
                {-1, "-1"},
                {10, "10"},
                {INT64_MAX, "9223372036854775807"},
                {INT64_MIN, "-9223372036854775808"}};
    struct buf b = buf_new(0);

    for (size_t i = 0; i < ARRAY_LEN(some); i++) {
        buf_reset(&b);
        js_write_int(some[i].v, &b);
        ck_assert_str_eq(buf_text(&b), some[i].text);
    }
    buf_free(&b);
}
END_TEST

/* What is written piece by piece is what the values would have been written as. */
START_TEST(text_without_values_is_the_same)
{
    static const char want[] =
        "{\"a \\\"b\":[null,true,-7,2.5,1000000.0,null,\"x\\n\\u0001\",\"caf\xc3\xa9\",\"?\"],"
        "\"o\":{},\"l\":[],\"in\":{\"raw\":[1]}}";
    struct buf b = buf_new(0);
    struct jw w = jw_new(&b);
    struct error err;
    struct json *j;
    char *again;

    jw_begin_object(&w, NULL);
    jw_member(&w, "a \"b");
    jw_begin_array(&w, NULL);
    jw_null(&w, NULL);
    jw_bool(&w, NULL, true);
    jw_int(&w, NULL, -7);
    jw_real(&w, NULL, 2.5);
    jw_real(&w, NULL, 1e6);
    jw_real(&w, NULL, (double)NAN);
    jw_string(&w, NULL, "x\n\001");
    jw_string(&w, NULL, "caf\xc3\xa9");
    jw_string(&w, NULL, "\xff");
    jw_end_array(&w);
    jw_begin_object(&w, "o");
    jw_end_object(&w);
    jw_begin_array(&w, "l");
    jw_end_array(&w);
    jw_begin_object(&w, "in");
    jw_json(&w, "raw", "[1]");
    jw_end_object(&w);
    jw_end_object(&w);
    ck_assert_str_eq(buf_text(&b), want);
    j = parse(buf_text(&b), &err);
    ck_assert_ok(j, err);
    again = js_text(j, JS_COMPACT);
    ck_assert_str_eq(again, want);
    free(again);
    js_free(j);
    buf_free(&b);
}
END_TEST

START_TEST(text_comes_back)
{
    static const char text[] = "{\"b\":[1,2.5,\"x\\\"\\n\\u0001\"],\"a\":{\"z\":null,\"y\":true}}";
    struct error err;
    struct json *j = parse(text, &err);
    char *out = js_text(j, JS_COMPACT), *sorted = js_text(j, JS_SORTED);

    ck_assert_str_eq(out, text);
    ck_assert_str_eq(sorted, "{\"a\":{\"y\":true,\"z\":null},\"b\":[1,2.5,\"x\\\"\\n\\u0001\"]}");
    ck_assert_str_eq(js_string(js_path(j, "b.2"), ""), "x\"\n\001");
    ck_assert(js_path(j, "b.3") == NULL);
    ck_assert_int_eq(js_int(js_path(j, "b.0"), 0), 1);
    free(out);
    free(sorted);
    js_free(j);
}
END_TEST

/* The examples of RFC 7396. */
START_TEST(patches_are_merged)
{
    static const char *const cases[][3] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
        {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct json *from = js_parse(cases[i][0], strlen(cases[i][0]), NULL);
        struct json *patch = js_parse(cases[i][1], strlen(cases[i][1]), NULL);
        struct json *got = js_merged(from, patch);
        char *text = js_text(got, JS_COMPACT), *before = js_text(from, JS_COMPACT);

        ck_assert_msg(strcmp(text, cases[i][2]) == 0, "case %zu: %s", i, text);
        ck_assert_str_eq(before, cases[i][0]);
        free(before);
        free(text);
        js_free(got);
        js_free(patch);
        js_free(from);
    }
}
END_TEST

/* What the parts and the rest say of a text, which must be what the whole says: 0 is no JSON. Text that is no object with
 * such an array is not split, whatever it is. */
static bool check_split(const char *text)
{
    struct js_split s;
    const bool split = js_split(text, strlen(text), "jobs", 1000, &s);
    struct json *whole = parse(text, NULL), *rest = NULL;
    const struct json *jobs = js_get(whole, "jobs");
    bool valid = split && (rest = js_parse(buf_text(&s.rest), s.rest.len, NULL));

    for (size_t i = 0; split && i < s.parts.n; i++) {
        struct json *part = js_parse(s.parts.at[i].text, s.parts.at[i].len, NULL);
        char *got = js_text(part, JS_COMPACT), *want = js_text(js_at(jobs, i), JS_COMPACT);

        valid &= part != NULL;
        ck_assert_msg(!whole || strcmp(got, want) == 0, "element %zu of %s: %s", i, text, got);
        free(got);
        free(want);
        js_free(part);
    }
    if (split) {
        ck_assert_msg(valid == (whole != NULL), "%s", text);
        ck_assert_msg(!whole || js_len(jobs) == s.parts.n, "%s: %zu parts", text, s.parts.n);
    } else {
        ck_assert_msg(js_kind(jobs) != JS_ARRAY, "%s", text);
    }
    js_free(rest);
    js_free(whole);
    js_split_free(&s);
    return split;
}

START_TEST(a_long_array_is_taken_apart)
{
    static const char *const split[] = {
        "{\"jobs\":[]}",
        "{\"jobs\":[ ] }",
        " {\"a\":{\"jobs\":[7]},\"jobs\" : [1, {\"b\":[1,2,\"],[\"]} ,\"\\\",\"],\"atomic\":true}",
        "{\"b\":\"jobs\",\"jobs\":[[],[[\"{\"]],null]}",
        "{\"jobs\":[1,]}",
        "{\"jobs\":[,1]}",
        "{\"jobs\":[1]}x",
        "{\"jobs\":[1],\"jobs\":[2]}",
        "{\"jobs\":[{\"a\":1]]}",
        "{\"a\":[},\"jobs\":[1]}",
        "{\"a\":\"\\\\\",\"jobs\":[\"\\\"\"]}",
    };
    static const char *const whole[] = {
        "",
        "{\"jobs\":[1}]}",
        "[1]",
        "{\"jobs\":{\"a\":[1]}}",
        "{\"jobs\":[1",
        "{\"jobs\":[\"a]}",
        "{\"a\":",
        "{",
        "{\"a\":{\"jobs\":[1]}}",
        "\"jobs\":[1]}",
        "{\"a\":\"jobs\"}",
    };

    for (size_t i = 0; i < ARRAY_LEN(split); i++)
        ck_assert_msg(check_split(split[i]), "%s is not split", split[i]);
    for (size_t i = 0; i < ARRAY_LEN(whole); i++)
        ck_assert_msg(!check_split(whole[i]), "%s is split", whole[i]);
}
END_TEST

/* Made of what is special, so that much of it is nearly right. */
START_TEST(any_text_is_as_valid_in_parts)
{
    static const char *const pieces[] = {"{",           "}",  "[",         "]",     ",",
                                         ":",           "\"", "\\",        "\"a\"", "\"jobs\"",
                                         "\"jobs\":[",  "1",  "[1]",       " ",     "null",
                                         "{\"jobs\":[", "]}", "{\"a\":2}", "\n"};
    uint64_t at = 0;

    for (int i = 0; i < 20000; i++) {
        struct buf text = buf_new(0);

        buf_str(&text, rng_below(unit_seed(), at++, 4) ? "{\"jobs\":[" : "");
        for (uint64_t n = rng_below(unit_seed(), at++, 8); n; n--)
            buf_str(&text, pieces[rng_below(unit_seed(), at++, ARRAY_LEN(pieces))]);
        buf_str(&text, rng_below(unit_seed(), at++, 4) ? "]}" : "");
        check_split(buf_text(&text));
        buf_free(&text);
    }
}
END_TEST

START_TEST(more_elements_than_wanted_are_not_split)
{
    static const char text[] = "{\"jobs\":[1,2,3]}";
    struct js_split s;

    ck_assert(js_split(text, strlen(text), "jobs", 3, &s));
    js_split_free(&s);
    ck_assert(!js_split(text, strlen(text), "jobs", 2, &s));
    js_split_free(&s);
}
END_TEST

START_TEST(white_space_between_values_goes)
{
    static const char text[] = " {\t\"a b\" : [ 1.50 ,\r\n\"\\\" c\" ] }\n";
    struct buf b = buf_new(0);

    js_squeeze(text, strlen(text), &b);
    ck_assert_str_eq(buf_text(&b), "{\"a b\":[1.50,\"\\\" c\"]}");
    buf_free(&b);
}
END_TEST

UNIT_MAIN(a_long_array_is_taken_apart, any_text_is_as_valid_in_parts,
          more_elements_than_wanted_are_not_split, white_space_between_values_goes,
          patches_are_merged, text_without_values_is_the_same, refuses_what_is_not_json,
          limits_nesting, reals_round_trip_with_few_digits, reals_are_written_as_printf_would,
          integers_are_written_whole, text_comes_back)
