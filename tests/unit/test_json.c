#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/json.h"
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

UNIT_MAIN(refuses_what_is_not_json, limits_nesting, reals_round_trip_with_few_digits,
          text_comes_back)
