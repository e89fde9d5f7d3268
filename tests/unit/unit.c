#define _GNU_SOURCE
#include "tests/unit/unit.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/str.h"

static char dir[64];

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

const char *unit_dir(void)
{
    return dir;
}

uint64_t unit_seed(void)
{
    static uint64_t seed;
    const char *given = getenv("TEST_SEED");

    if (!seed) {
        seed = given ? strtoull(given, NULL, 10)
                     : (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid();
        printf("TEST_SEED=%llu\n", (unsigned long long)seed);
        fflush(stdout);
    }
    return seed;
}

/* Seconds for one test; as many times more as PATIENCE says (of builds under sanitizers). */
static double time_limit(void)
{
    const char *patience = getenv("PATIENCE");

    return 120 * (patience ? strtod(patience, NULL) : 1);
}

int unit_run(const char *file, const TTest *const *tests, size_t n)
{
    Suite *suite = suite_create(strrchr(file, '/') ? strrchr(file, '/') + 1 : file);
    SRunner *runner;
    int failed;

    snprintf(dir, sizeof(dir), "/tmp/distilld-unit-XXXXXX");
    if (!mkdtemp(dir)) {
        perror(dir);
        return 99;
    }
    for (size_t i = 0; i < n; i++) { /* CK_RUN_CASE=NAME runs one of them */
        TCase *tcase = tcase_create(tests[i]->name);

        tcase_set_timeout(tcase, time_limit());
        tcase_add_test(tcase, tests[i]);
        suite_add_tcase(suite, tcase);
    }
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return failed ? 1 : 0;
}

char *unit_shared_path(const char *name)
{
    return str_path(getenv("SHARED"), name);
}

char *unit_shared_source(const char *kind, const char *folder)
{
    char *tool = unit_shared_path("data/unpack"), *source, line[1000] = "";
    /* Not two at once: on a fresh machine it writes what another one reads. */
    char *once = str_fmt("flock '%s' '%s'", tool, tool);
    FILE *f = popen(once, "r");

    ck_assert_msg(f && fgets(line, sizeof(line), f) && pclose(f) == 0, "%s failed", tool);
    line[strcspn(line, "\n")] = '\0';
    source = str_fmt("%s:%s/%s", kind, line, folder);
    free(once);
    free(tool);
    return source;
}

char *unit_cifar_source(void)
{
    return unit_shared_source("cifar100", "cifar-100-binary");
}
