/* What goes into a request's path, and what comes out of a refusal. */
#include <stdlib.h>
#include <string.h>

#include "client/problem.h"
#include "client/url.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"

START_TEST(escapes_all_but_plain_characters)
{
    static const struct {
        const char *text, *escaped;
    } rows[] = {
        {"job_01JABC-x.y~z", "job_01JABC-x.y~z"},
        {"a/b?c#d e%", "a%2Fb%3Fc%23d%20e%25"},
        {"../..", "..%2F.."},
        {"é\n", "%C3%A9%0A"},
        {"", ""},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf b = buf_new(0);

        url_escape(&b, rows[i].text);
        ck_assert_str_eq(buf_text(&b), rows[i].escaped);
        buf_free(&b);
    }
}
END_TEST

START_TEST(builds_paths_and_queries)
{
    char *path = url_job("job/1", ":cancel");
    struct buf b = buf_new(0);

    ck_assert_str_eq(path, "/api/v1/jobs/job%2F1:cancel");
    buf_str(&b, "/events");
    url_query(&b, "none", NULL);
    url_query(&b, "name", "loss/total");
    url_query(&b, "name", "a&b");
    ck_assert_str_eq(buf_text(&b), "/events?name=loss%2Ftotal&name=a%26b");
    buf_free(&b);
    free(path);
}
END_TEST

static struct json *json_of(const char *text)
{
    struct json *j = js_parse(text, strlen(text), NULL);

    ck_assert_ptr_nonnull(j);
    return j;
}

START_TEST(refusals_are_errors_with_the_right_exit_status)
{
    static const struct {
        long status;
        int exit;
        const char *problem, *says;
    } rows[] = {
        {422, 2, "{\"title\":\"Invalid job\",\"detail\":\"2 problems\"}",
         "Invalid job: 2 problems"},
        {404, 2, "{\"title\":\"Not found\"}", "Not found"},
        {409, 1, "{\"detail\":\"job_1 has ended\"}", "job_1 has ended"},
        {401, 2, "{\"title\":\"No token\"}", "--token-file"},
        {503, 5, "{\"title\":\"Busy\"}", "Busy"},
        {500, 1, "\"oops\"", "SERVER answered with HTTP status 500"},
        {418, 1, "null", "418"},
        {422, 2, "{\"title\":\"a\\u001b[2Jb\"}", "a?[2Jb"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct json *problem = json_of(rows[i].problem);
        struct error err = {0};

        ck_assert_error(problem_error(rows[i].status, problem, "SERVER", &err), err, rows[i].says);
        ck_assert_int_eq(err_exit_status(err.code), rows[i].exit);
        js_free(problem);
    }
}
END_TEST

START_TEST(all_pointers_are_listed)
{
    struct json *errors =
        json_of("[{\"pointer\":\"#/optimizer/lr\",\"detail\":\"must be greater than 0, got -1\"},"
                "{\"pointer\":\"#/train/batch\",\"detail\":\"expected an integer\",\"code\":\"x\"},"
                "{\"detail\":\"whole\"},7]");
    struct buf b = buf_new(0);

    struct json *lines = json_of("{\"#/train/batch\":7,\"#/train/lanes\":8}");

    problem_add_lines(errors, lines);
    problem_list(errors, &b);
    ck_assert_str_eq(buf_text(&b), "  #/optimizer/lr: must be greater than 0, got -1\n"
                                   "  #/train/batch (line 7): expected an integer\n"
                                   "  #: whole\n"
                                   "  #: not valid\n");
    buf_free(&b);
    js_free(errors);
    js_free(lines);
}
END_TEST

UNIT_MAIN(escapes_all_but_plain_characters, builds_paths_and_queries,
          refusals_are_errors_with_the_right_exit_status, all_pointers_are_listed)
