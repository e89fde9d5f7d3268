/* The frame of a unit test program: tests with START_TEST(name) ... END_TEST, then UNIT_MAIN(name, ...).
 * Randomised tests print their seed: take it from unit_seed(). */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include <check.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/base/mem.h"

int unit_run(const char *file, const TTest *const *tests, size_t n);
/* From TEST_SEED if that is set, else new in every run; printed the first time. */
uint64_t unit_seed(void);
/* A fresh folder for this test's files, removed when the program ends. */
const char *unit_dir(void);

#define UNIT_MAIN(...)                                      \
    int main(void)                                          \
    {                                                       \
        const TTest *const tests[] = {__VA_ARGS__};         \
        return unit_run(__FILE__, tests, ARRAY_LEN(tests)); \
    }

/* Asserts that call fails and that its message has the text. */
#define ck_assert_error(call, err, text)                                                           \
    do {                                                                                           \
        ck_assert_msg(!(call), "%s succeeded", #call);                                             \
        ck_assert_msg(strstr((err).msg, (text)), "message without \"%s\": %s", (text), (err).msg); \
    } while (0)
#define ck_assert_ok(call, err) ck_assert_msg((call), "%s: %s", #call, (err).msg)

/* NAME in the folder ../shared, for tests that run where it exists; free(). */
char *unit_shared_path(const char *name);
/* "KIND:DIR" of a data set there by the name of its folder, unpacked if that was not done yet; free(). */
char *unit_shared_source(const char *kind, const char *folder);
char *unit_cifar_source(void);

#endif
