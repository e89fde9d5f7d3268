/* YAML becomes the tree that JSON gives, or an error that names its place. */
#include <stdlib.h>
#include <string.h>

#include "client/yaml.h"
#include "tests/unit/unit.h"

static struct json *read_yaml(const char *text, size_t len, struct error *err)
{
    struct json *lines = js_new_object(), *j = yaml_parse(text, len, lines, err);

    js_free(lines);
    return j;
}

START_TEST(yaml_is_read_as_the_core_schema_says)
{
    static const struct {
        const char *yaml, *json;
    } rows[] = {
        {"{a: 1, b: [x, 'y', \"z\\n\"]}", "{\"a\":1,\"b\":[\"x\",\"y\",\"z\\n\"]}"},
        {"kind: train\ntrain:\n  epochs: 2\n", "{\"kind\":\"train\",\"train\":{\"epochs\":2}}"},
        {"- null\n- ~\n- Null\n-\n- ''\n- 'null'\n", "[null,null,null,null,\"\",\"null\"]"},
        {"[true, True, FALSE, yes, no, on, 'true']",
         "[true,true,false,\"yes\",\"no\",\"on\",\"true\"]"},
        {"[0, -7, +7, 0o17, 0x1F, 007, '7', 9223372036854775807]",
         "[0,-7,7,15,31,7,\"7\",9223372036854775807]"},
        {"[1., .5, 1e3, 1E-3, +.5e+1, -0.25]", "[1.0,0.5,1000.0,0.001,5.0,-0.25]"},
        {"[1_000, 1e, ., -, 1.2.3, 0x, 0o8, 2026-01-31, 0..9]",
         "[\"1_000\",\"1e\",\".\",\"-\",\"1.2.3\",\"0x\",\"0o8\",\"2026-01-31\",\"0..9\"]"},
        {"a: |\n  two\n  lines\nb: >\n  one\n  line\n",
         "{\"a\":\"two\\nlines\\n\",\"b\":\"one line\\n\"}"},
        {"# note\n---\n1: x\n'2': y\n...\n", "{\"1\":\"x\",\"2\":\"y\"}"},
        {"a: &x {lr: 0.1}\nb: *x\nc: [*x, &y 3, *y]\n",
         "{\"a\":{\"lr\":0.1},\"b\":{\"lr\":0.1},\"c\":[{\"lr\":0.1},3,3]}"},
        {"a: &x 1\nb: *x\nc: &x 2\nd: *x\n", "{\"a\":1,\"b\":1,\"c\":2,\"d\":2}"},
        {"\xef\xbb\xbf"
         "a: \xc3\xa9\nb: 2\n",
         "{\"a\":\"\xc3\xa9\",\"b\":2}"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct error err = {0};
        struct json *j = read_yaml(rows[i].yaml, strlen(rows[i].yaml), &err);
        char *text;

        ck_assert_msg(j, "%s: %s", rows[i].yaml, err.msg);
        text = js_text(j, JS_COMPACT);
        ck_assert_str_eq(text, rows[i].json);
        free(text);
        js_free(j);
    }
}
END_TEST

START_TEST(yaml_errors_name_line_and_column)
{
    static const struct {
        const char *yaml, *says;
    } rows[] = {
        {"a: 1\nb: 2\na: 3\n", "line 3, column 1: the key \"a\" stands there twice"},
        {"a: !!str 1", "line 1, column 4: tags are not supported"},
        {"a: !x [1]", "line 1, column 4: tags are not supported"},
        {"!!str a: 1", "line 1, column 1: tags are not supported"},
        {"[a, b]: 1", "line 1, column 1: a key must be a string"},
        {"a: 1\n--- \nb: 2\n", "line 2, column 1: a second document begins here"},
        {"", "there is nothing in it"},
        {"# only a note\n", "there is nothing in it"},
        {"a:\n  b: 1\n c: 2\n", "line 3, column 2"},
        {"a: [1, 2", "not valid YAML: line"},
        {"a: *b", "line 1, column 4: the alias has no anchor before it"},
        {"a: &a [*a]", "line 1, column 8: the alias has no anchor before it"},
        {"a: .inf", "line 1, column 4: the number is not finite"},
        {"a: -.NaN", "line 1, column 4: the number is not finite"},
        {"a: 1e999", "line 1, column 4: the number is not finite"},
        {"a: 99999999999999999999", "line 1, column 4: the integer has more than 64 bits"},
        {"a: \"x\\0y\"", "line 1, column 4: a string has a NUL character"},
        {"\ta: 1", "line 1, column 1"},
        {"a: \xff", "not valid YAML: byte 3"},
        {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1", "line 1, column 33: nested too deep"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct error err = {0};

        ck_assert_error(read_yaml(rows[i].yaml, strlen(rows[i].yaml), &err) != NULL, err,
                        rows[i].says);
    }
}
END_TEST

START_TEST(aliases_cannot_blow_up)
{
    struct buf nested = buf_new(0), strings = buf_new(0);
    struct error err = {0};

    buf_str(&nested, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 10; i++) {
        buf_fmt(&nested, "a%d: &a%d [", i, i);
        for (int k = 0; k < 10; k++)
            buf_fmt(&nested, "%s*a%d", k ? ", " : "", i - 1);
        buf_str(&nested, "]\n");
    }
    ck_assert_error(read_yaml(nested.data, nested.len, &err) != NULL, err,
                    "more than 200000 values");

    buf_str(&strings, "a: &a ");
    for (int i = 0; i < 100000; i++)
        buf_str(&strings, "long");
    buf_str(&strings, "\nb: [*a");
    for (int i = 0; i < 1000; i++)
        buf_str(&strings, ", *a");
    buf_str(&strings, "]\n");
    ck_assert_error(read_yaml(strings.data, strings.len, &err) != NULL, err,
                    "more than 200000 values");
    buf_free(&nested);
    buf_free(&strings);
}
END_TEST

START_TEST(every_value_knows_its_line)
{
    static const char text[] = "kind: train\n"
                               "train:\n"
                               "  epochs:\n"
                               "    4\n"
                               "losses:\n"
                               "  - kind: ce\n"
                               "  - {kind: kd, weight: 2}\n";
    static const struct {
        const char *pointer;
        int64_t line;
    } rows[] = {
        {"#/kind", 1},          {"#/train", 2},           {"#/train/epochs", 3},
        {"#/losses/0/kind", 6}, {"#/losses/1/weight", 7}, {"#/losses/2", 0},
    };
    struct json *lines = js_new_object(), *j = yaml_parse(text, strlen(text), lines, NULL);

    ck_assert_ptr_nonnull(j);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_msg(js_int(js_get(lines, rows[i].pointer), 0) == rows[i].line, "%s",
                      rows[i].pointer);
    js_free(lines);
    js_free(j);
}
END_TEST

UNIT_MAIN(yaml_is_read_as_the_core_schema_says, yaml_errors_name_line_and_column,
          aliases_cannot_blow_up, every_value_knows_its_line)
