/* The small parts of proto/base: str, buf, table, rng, chan, sha256, error, crew, pool, log. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/chan.h"
#include "proto/base/clock.h"
#include "proto/base/crew.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/pool.h"
#include "proto/base/rng.h"
#include "proto/base/sha256.h"
#include "proto/base/str.h"
#include "proto/base/suggest.h"
#include "proto/base/table.h"
#include "tests/unit/unit.h"

START_TEST(numbers_are_read_whole_or_not_at_all)
{
    int64_t v;
    double d;

    ck_assert(str_int("-17", -20, 5, &v) && v == -17);
    ck_assert(!str_int("", 0, 9, &v) && !str_int("1x", 0, 9, &v) && !str_int(" 1", 0, 9, &v) &&
              !str_int("10", 0, 9, &v) && !str_int("99999999999999999999", 0, INT64_MAX, &v));
    ck_assert(str_double("1e-3", &d) && d == 1e-3);
    ck_assert(!str_double("nan", &d) && !str_double("1e999", &d) && !str_double("1,5", &d));
}
END_TEST

START_TEST(unknown_names_get_a_suggestion)
{
    static const struct {
        const char *name;
    } rows[] = {{"resnet20"}, {"resnet56"}, {"vgg8"}};
    struct error err;

    ck_assert_ptr_eq(table_find(TABLE(rows), "vgg8"), &rows[2]);
    ck_assert(!table_find(TABLE(rows), "vgg"));
    ck_assert_error(table_unknown(TABLE(rows), "model", "resnet21", &err), err,
                    "unknown model 'resnet21'; did you mean 'resnet20'? known: resnet20, resnet56");
    ck_assert_error(table_unknown(TABLE(rows), "model", "transformer", &err), err,
                    "unknown model 'transformer'; known:");
}
END_TEST

START_TEST(slips_of_the_hand_are_near)
{
    static const char *const names[] = {"lr",     "momentum", "weight_decay", "kd",
                                        "epochs", "batch",    "nesterov",     "eval_every_epochs"};
    static const struct {
        const char *word, *meant;
    } rows[] = {
        {"momentum", "momentum"},
        {"momentun", "momentum"},
        {"mometnum", "momentum"},
        {"Momentum", "momentum"},
        {"epoch", "epochs"},
        {"eopchs", "epochs"},
        {"rl", "lr"},
        {"l", "lr"},
        {"kdd", "kd"},
        {"weightdecay", "weight_decay"},
        {"evaluate_every_epoch", "eval_every_epochs"},
        /* Too far. */
        {"abc", NULL},
        {"bitch_size", NULL},
        {"dropout", NULL},
        {"", NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *near = suggest(rows[i].word, names, ARRAY_LEN(names));

        ck_assert_msg(
            (near ? strcmp(near, rows[i].meant ? rows[i].meant : "") == 0 : !rows[i].meant),
            "%s: %s", rows[i].word, near ? near : "nothing");
    }
}
END_TEST

START_TEST(errors_carry_their_story)
{
    struct error err;

    ck_assert(!err_set(&err, ERR_IO, "open %s", "x"));
    ck_assert(!err_wrap(&err, "saving step %d", 4));
    ck_assert_str_eq(err.msg, "saving step 4: open x");
    ck_assert_int_eq(err_exit_status(ERR_DATA), 65);
    ck_assert_int_eq(err_exit_status(ERR_STOPPED), 75);
    ck_assert_int_eq(err_http_status(ERR_INVALID), 422);
    ck_assert(!err_set(NULL, ERR_IO, "nobody listens"));
}
END_TEST

START_TEST(buffers_keep_their_maximum)
{
    struct buf b = buf_new(10);
    char *text;

    ck_assert(buf_str(&b, "12345") && buf_fmt(&b, "%d", 678) && !buf_str(&b, "xyz"));
    ck_assert_str_eq(buf_text(&b), "12345678");
    buf_consume(&b, 5);
    ck_assert_str_eq(buf_text(&b), "678");
    text = buf_take(&b);
    ck_assert_str_eq(text, "678");
    ck_assert_str_eq(buf_text(&b), "");
    free(text);
}
END_TEST

START_TEST(random_numbers_are_a_function_of_key_and_index)
{
    uint64_t k = rng_key(rng_key(1, RNG_CROP), 7), seen = 0;
    double sum = 0, squares = 0;
    const int n = 100000;

    ck_assert(rng_u64(k, 3) == rng_u64(k, 3) && rng_u64(k, 3) != rng_u64(k, 4));
    ck_assert(rng_key(1, 2) != rng_key(2, 1));
    /* The generator of the golden vectors, with the worked example of their description. */
    ck_assert_uint_eq(rng_u64(0x8919f785bc833b0fu, 0) >> 40, 4169535);
    for (int i = 0; i < n; i++) {
        double x = rng_normal(k, (uint64_t)i);

        sum += x;
        squares += x * x;
        seen |= (uint64_t)1 << rng_below(k, (uint64_t)i, 9);
        ck_assert(rng_uniform(k, (uint64_t)i) >= 0 && rng_uniform(k, (uint64_t)i) < 1);
    }
    ck_assert_uint_eq(seen, 0x1ff);
    ck_assert_double_eq_tol(sum / n, 0, 0.02);
    ck_assert_double_eq_tol(squares / n, 1, 0.02);
}
END_TEST

static void *produce(void *arg)
{
    static int numbers[1000];

    for (int i = 0; i < 1000; i++) {
        numbers[i] = i;
        if (!chan_send(arg, &numbers[i]))
            break;
    }
    chan_close(arg);
    return NULL;
}

START_TEST(channels_keep_order_and_end)
{
    struct chan *c = chan_new(3);
    pthread_t t;
    void *item;
    int expected = 0;

    ck_assert(!chan_try_recv(c, &item));
    ck_assert_int_eq(pthread_create(&t, NULL, produce, c), 0);
    while (chan_recv(c, &item))
        ck_assert_int_eq(*(int *)item, expected++);
    ck_assert_int_eq(expected, 1000);
    ck_assert(!chan_send(c, &expected));
    pthread_join(t, NULL);
    chan_free(c);
}
END_TEST

START_TEST(hashes_are_those_of_the_standard)
{
    char hex[SHA256_HEX];
    struct sha256 *s = sha256_new();

    sha256_of("abc", 3, hex);
    ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256_add(s, "a", 1);
    sha256_add(s, "bc", 2);
    sha256_end(s, hex);
    ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
END_TEST

/* Whatever the memory held before, and however large it is. */
START_TEST(aligned_memory_is_zero)
{
    static const size_t sizes[] = {0, 1, 4097, 300000, (2 << 20) + 24, (5 << 20) - 8};

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (int again = 0; again < 3; again++) {
            unsigned char *p = mem_try_aligned(64, sizes[i]);

            ck_assert_ptr_nonnull(p);
            ck_assert_uint_eq((uintptr_t)p % 64, 0);
            ck_assert_msg(sizes[i] == 0 || (p[0] == 0 && memcmp(p, p + 1, sizes[i] - 1) == 0),
                          "%zu bytes, time %d", sizes[i], again);
            memset(p, 7, sizes[i]);
            free(p);
        }
}
END_TEST

START_TEST(times_are_written_in_utc)
{
    char text[CLOCK_TEXT];

    ck_assert_str_eq(clock_text(1700000000123, text), "2023-11-14T22:13:20.123Z");
    ck_assert_str_eq(clock_text(0, text), "1970-01-01T00:00:00.000Z");
    ck_assert_str_eq(clock_text(-1, text), "1969-12-31T23:59:59.999Z");
    /* Some day of each month of 500 years, leap years of all kinds among them. */
    for (int64_t day = -30000; day < 150000; day += 29) {
        const int64_t ms = day * 86400000 + day * 7919 % 86400000;
        const time_t s = (time_t)((ms - (ms % 1000 + 1000) % 1000) / 1000);
        char want[CLOCK_TEXT];
        struct tm tm;

        strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S", gmtime_r(&s, &tm));
        ck_assert_msg(strncmp(clock_text(ms, text), want, strlen(want)) == 0, "%s is not %s", text,
                      want);
    }
    ck_assert(clock_mono_ns() <= clock_mono_ns());
}
END_TEST

START_TEST(times_are_read_by_their_zone)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: it is none */
    } cases[] = {
        {"2023-11-14T22:13:20.123Z", 1700000000123},
        {"2023-11-14t22:13:20z", 1700000000000},
        {"2023-11-14T23:43:20.1239+01:30", 1700000000123},
        {"2023-11-14T16:13:20-06:00", 1700000000000},
        {"1970-01-01T00:00:00Z", 0},
        {"2000-02-29T00:00:00Z", 951782400000},
        {"2024-03-01T00:00:00.5Z", 1709251200500},
        {"2023-11-14", -1},
        {"2023-11-14T22:13:20", -1},
        {"2023-11-14T22:13:20.Z", -1},
        {"2023-11-14T22:13:20Zx", -1},
        {"2023-13-14T22:13:20Z", -1},
        {"2023-12-31T00:00:00Z", 1703980800000},
        {"2023-02-29T00:00:00Z", -1},
        {"2100-02-29T00:00:00Z", -1},
        {"2026-04-31T00:00:00Z", -1},
        {"2023-11-14T24:13:20Z", -1},
        {"2023-11-14T22:13:20+1:30", -1},
        {"", -1},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t ms = -1;
        bool ok = clock_parse(cases[i].text, &ms);

        ck_assert_msg(ok == (cases[i].ms >= 0) && (!ok || ms == cases[i].ms), "%s: %d, %ld",
                      cases[i].text, ok, (long)ms);
    }
    for (int64_t ms = 0, got; ms < INT64_C(4000000000000); ms += 86399999) {
        char text[CLOCK_TEXT];

        ck_assert_msg(clock_parse(clock_text(ms, text), &got) && got == ms, "%s", text);
    }
}
END_TEST

enum {
    ITEMS = 1000
};

struct tally {
    int done[ITEMS], members[4];
};

static void count(void *arg, int member, int64_t item)
{
    struct tally *t = arg;

    t->done[item]++;
    t->members[member]++; /* its own */
}

START_TEST(a_crew_does_every_item_once)
{
    for (int members = 1; members <= 4; members++) {
        struct error err;
        struct crew *c = crew_new(members, &err);

        ck_assert_msg(c, "%s", err.msg);
        for (int64_t n = 0; n <= ITEMS; n = n * 3 + 1) {
            struct tally t = {0};
            int64_t all = 0;

            crew_run(c, n, count, &t);
            for (int64_t i = 0; i < ITEMS; i++)
                ck_assert_int_eq(t.done[i], i < n);
            for (int m = 0; m < 4; m++)
                all += t.members[m];
            ck_assert_int_eq(all, n);
        }
        crew_free(c);
    }
    crew_free(NULL);
}
END_TEST

/* Three times as many as a chunk has, of which some come back in between. */
START_TEST(a_pool_gives_zeroed_objects_that_nobody_else_has)
{
    enum {
        OBJECTS = 800,
        BYTES = 20
    };
    const uint64_t key = rng_key(unit_seed(), 4711);
    struct pool pool = {.left = 0};
    unsigned char *all[OBJECTS];

    for (size_t i = 0; i < OBJECTS; i++)
        all[i] = memset(pool_take(&pool, BYTES), (int)(i % 251), BYTES);
    for (uint64_t i = 0; i < 3 * OBJECTS; i++) {
        size_t at = rng_below(key, i, OBJECTS), other = rng_below(key, 100000 + i, OBJECTS);

        pool_give(&pool, all[at]);
        if (other != at) {
            pool_give(&pool, all[other]);
            all[other] = pool_take(&pool, BYTES);
        }
        all[at] = pool_take(&pool, BYTES);
        for (size_t k = 0; k < BYTES; k++)
            ck_assert_msg(!all[at][k] && !all[other][k], "object %zu or %zu", at, other);
        memset(all[at], (int)(at % 251), BYTES);
        memset(all[other], (int)(other % 251), BYTES);
    }
    for (size_t i = 0; i < OBJECTS; i++) {
        for (size_t k = 0; k < BYTES; k++)
            ck_assert_msg(all[i][k] == i % 251, "object %zu was changed", i);
        pool_give(&pool, all[i]);
    }
    pool_free(&pool);
}
END_TEST

/* What log_line writes for the text, behind the time. */
static void logged(const char *text, char out[256])
{
    int ends[2], kept = dup(STDERR_FILENO);
    char line[512];
    ssize_t n;

    ck_assert(pipe(ends) == 0 && dup2(ends[1], STDERR_FILENO) >= 0);
    log_line(LOG_LEVEL_WARN, "said=%s.", text);
    dup2(kept, STDERR_FILENO);
    n = read(ends[0], line, sizeof(line) - 1);
    ck_assert_int_gt(n, 0);
    line[n] = '\0';
    snprintf(out, 256, "%s", strstr(line, "said=") + 5);
    close(kept);
    close(ends[0]);
    close(ends[1]);
}

START_TEST(what_others_say_is_text_in_the_log)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"plain", "plain"},
        {"a\nb\x1b[31m\x7f", "a?b?[31m?"},
        {"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"\x9b"
         "31m \xc2\x9b",
         "?31m ??"},   /* CSI as a byte, and as a character */
        {"\xc3", "?"}, /* cut off */
        {"\xe2\x82 \xf0\x9f\x98", "?? ???"},
        {"\xc0\xaf \xe0\x80\xaf", "?? ???"},           /* too long */
        {"\xed\xa0\x80 \xf4\x90\x80\x80", "??? ????"}, /* a surrogate; beyond the last character */
        {"\xff\xfe \x80", "?? ?"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char got[256], want[64];

        logged(cases[i].text, got);
        snprintf(want, sizeof(want), "%s.\n", cases[i].want);
        ck_assert_msg(strcmp(got, want) == 0, "case %zu: %s", i, got);
    }
}
END_TEST

UNIT_MAIN(numbers_are_read_whole_or_not_at_all, unknown_names_get_a_suggestion,
          slips_of_the_hand_are_near, errors_carry_their_story, buffers_keep_their_maximum,
          random_numbers_are_a_function_of_key_and_index, channels_keep_order_and_end,
          hashes_are_those_of_the_standard, aligned_memory_is_zero, times_are_written_in_utc,
          times_are_read_by_their_zone, a_crew_does_every_item_once,
          a_pool_gives_zeroed_objects_that_nobody_else_has, what_others_say_is_text_in_the_log)
