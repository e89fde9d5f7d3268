/* daemon: what HTTP says in its headers: ranges, entity tags; what a peer may take. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/accept.h"
#include "daemon/conns.h"
#include "daemon/etag.h"
#include "daemon/hashes.h"
#include "daemon/range.h"
#include "proto/base/rng.h"
#include "tests/unit/unit.h"

START_TEST(one_range_of_bytes_is_understood)
{
    static const struct {
        const char *text;
        uint64_t size;
        enum range_kind want;
        uint64_t from, count;
    } cases[] = {
        {"bytes=0-0", 10, RANGE_PART, 0, 1},
        {"bytes=0-9", 10, RANGE_PART, 0, 10},
        {"bytes=0-10", 10, RANGE_PART, 0, 10},
        {"bytes=9-", 10, RANGE_PART, 9, 1},
        {"bytes=-3", 10, RANGE_PART, 7, 3},
        {"bytes=-10", 10, RANGE_PART, 0, 10},
        {"bytes=-11", 10, RANGE_PART, 0, 10},
        {" Bytes= 2-4 ", 10, RANGE_PART, 2, 3},
        {"bytes=5-99999999999999999999999", 10, RANGE_PART, 5, 5},
        {"bytes=-99999999999999999999999", 10, RANGE_PART, 0, 10},
        {"bytes=0-18446744073709551615", UINT64_MAX, RANGE_PART, 0, UINT64_MAX},
        {"bytes=10-", 10, RANGE_OUTSIDE, 0, 0},
        {"bytes=10-12", 10, RANGE_OUTSIDE, 0, 0},
        {"bytes=18446744073709551616-", 10, RANGE_OUTSIDE, 0, 0},
        {"bytes=-0", 10, RANGE_OUTSIDE, 0, 0},
        {"bytes=0-", 0, RANGE_OUTSIDE, 0, 0},
        {"bytes=-1", 0, RANGE_OUTSIDE, 0, 0},
        {"bytes=4-3", 10, RANGE_WHOLE, 0, 0},
        {"bytes=0-1,3-4", 10, RANGE_WHOLE, 0, 0},
        {"bytes=-", 10, RANGE_WHOLE, 0, 0},
        {"bytes=", 10, RANGE_WHOLE, 0, 0},
        {"bytes", 10, RANGE_WHOLE, 0, 0},
        {"", 10, RANGE_WHOLE, 0, 0},
        {"lines=0-1", 10, RANGE_WHOLE, 0, 0},
        {"bytes=0x1-2", 10, RANGE_WHOLE, 0, 0},
        {"bytes=+1-2", 10, RANGE_WHOLE, 0, 0},
        {"bytes=1--2", 10, RANGE_WHOLE, 0, 0},
        {"bytes=1-2x", 10, RANGE_WHOLE, 0, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t from = 0, count = 0;
        enum range_kind got =
            range_parse(cases[i].text, strlen(cases[i].text), cases[i].size, &from, &count);

        ck_assert_msg(got == cases[i].want, "\"%s\": %d", cases[i].text, (int)got);
        ck_assert_msg(got != RANGE_PART || (from == cases[i].from && count == cases[i].count),
                      "\"%s\": %llu + %llu", cases[i].text, (unsigned long long)from,
                      (unsigned long long)count);
    }
}
END_TEST

START_TEST(whatever_is_asked_for_lies_within_the_file)
{
    static const char letters[] = "bytes=0123456789-,  9";
    uint64_t key = rng_key(unit_seed(), 1);

    for (uint64_t round = 0; round < 20000; round++) {
        uint64_t size = rng_below(key, round, 30), from, count;
        char text[24] = "bytes=";
        size_t len = 6 + rng_below(key, 100000 + round, 12);

        for (size_t i = rng_below(key, 200000 + round, 8); i < len; i++)
            text[i] = letters[rng_below(key, 300000 + round * 32 + i, strlen(letters))];
        if (range_parse(text, len, size, &from, &count) == RANGE_PART)
            ck_assert_msg(count > 0 && from < size && count <= size - from, "\"%.*s\" of %d",
                          (int)len, text, (int)size);
    }
}
END_TEST

START_TEST(tags_are_found_in_lists)
{
    static const struct {
        const char *text;
        bool want;
    } cases[] = {
        {"\"a\"", true},
        {"*", true},
        {" \"x\" , \"a\"", true},
        {"W/\"a\"", true},
        {"\"x\",*", true},
        {"\t\"a\"\t,", true},
        {"", false},
        {"a", false},
        {"\"A\"", false},
        {"\"a\" \"b\"", false},
        {"\"ab\"", false},
        {",,", false},
        {"w/\"a\"", false},
        {"**", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        ck_assert_msg(etag_listed(cases[i].text, strlen(cases[i].text), "\"a\"") == cases[i].want,
                      "%s", cases[i].text);
}
END_TEST

START_TEST(other_bytes_have_another_tag)
{
    char a[ETAG_SIZE], b[ETAG_SIZE];
    struct stat st = {.st_ino = 7, .st_size = 10, .st_ctim = {100, 5}}, other;

    etag_of_bytes("x", 1, a);
    etag_of_bytes("x", 1, b);
    ck_assert_str_eq(a, b);
    etag_of_bytes("y", 1, b);
    ck_assert_str_ne(a, b);
    ck_assert(a[0] == '"' && a[strlen(a) - 1] == '"');

    ck_assert(etag_of_file(&st, 200000, a));
    for (int i = 0; i < 4; i++) {
        other = st;
        other.st_ino += i == 0;
        other.st_size += i == 1;
        other.st_ctim.tv_sec += i == 2;
        other.st_ctim.tv_nsec += i == 3;
        ck_assert(etag_of_file(&other, 200000, b));
        ck_assert_msg(strcmp(a, b) != 0, "change %d", i);
    }
    /* It was changed just now, and may be again within the same tick. */
    ck_assert(!etag_of_file(&st, 100001, a));
}
END_TEST

START_TEST(the_media_type_that_is_wanted_more_is_chosen)
{
    static const struct {
        const char *accept;
        bool want;
    } cases[] = {
        {NULL, false},
        {"", false},
        {"*/*", false},
        {"text/csv", true},
        {"Text/CSV ; header=present", true},
        {"text/*", true},
        {"text/csv, */*", true},
        {"*/*,text/csv", true},
        {"text/csv;q=0", false},
        {"text/csv; Q=0.0, */*", false},
        {"text/csv;q=0.5, application/json", false},
        {"text/csv, application/json", false},
        {"application/json;q=0.9 ,\ttext/csv", true},
        {"application/json;q=0.001,text/csv;q=0.002", true},
        {"text/*;q=0.2, application/json;q=0.3", false},
        {"*/*;q=0.9, application/json;q=0.1", true},
        {"text/csv;q=0, text/*", false},
        {"text/csvx, application/json", false},
        {"xtext/csv", false},
        {"application/json;x=\"a,text/csv;q=1\"", false},
        {"a;x=\"\\\",\";q=0.1, text/csv", true},
        {";;,,q=1,/,*", false},
        {"text/csv;x=\"", true},
        {"text/csv;x=\"\\", true},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        ck_assert_msg(accept_prefers(cases[i].accept, "text/csv", "application/json") ==
                          cases[i].want,
                      "%s", cases[i].accept);
}
END_TEST

/* A descriptor that cannot be read shows what is remembered. */
START_TEST(a_file_is_hashed_once)
{
    struct hashes *h = hashes_new();
    char first[SHA256_HEX], hex[SHA256_HEX];
    int fd = open("/bin/sh", O_RDONLY), blind = open("/bin/sh", O_PATH),
        other = open("/bin/ls", O_PATH);

    ck_assert(fd >= 0 && blind >= 0 && other >= 0);
    ck_assert(!hashes_of_file(h, blind, NULL, hex));
    ck_assert(hashes_of_file(h, fd, NULL, first));
    ck_assert(hashes_of_file(h, blind, NULL, hex));
    ck_assert_str_eq(hex, first);
    ck_assert(!hashes_of_file(h, other, NULL, hex));
    ck_assert(hashes_of_file(NULL, fd, NULL, hex));
    ck_assert_str_eq(hex, first);
    close(other);
    close(blind);
    close(fd);
    hashes_free(h);
}
END_TEST

static struct sockaddr_storage peer(const char *text)
{
    struct sockaddr_storage s = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&s;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&s;

    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        s.ss_family = AF_INET;
    } else {
        ck_assert_int_eq(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
        s.ss_family = AF_INET6;
    }
    return s;
}

static struct conn *arrive(struct conns *c, const char *from)
{
    struct sockaddr_storage s = peer(from);

    return conns_add(c, -1, (struct sockaddr *)&s, 0);
}

static bool admitted(const struct conns *c, const char *from)
{
    struct sockaddr_storage s = peer(from);

    return conns_admit(c, (struct sockaddr *)&s);
}

static void leave_all(struct conns *c)
{
    while (c->first)
        conns_remove(c->first);
}

START_TEST(an_address_has_so_many_connections)
{
    struct conns c = {.limits = {.per_address = 3}};
    struct conn *first = arrive(&c, "192.0.2.1"), *n;

    for (int i = 1; i < 6; i++) {
        ck_assert(admitted(&c, "192.0.2.1"));
        n = arrive(&c, i % 2 ? "192.0.2.1" : "::ffff:192.0.2.1"); /* both ways to write it */
        ck_assert_msg(n->surplus == (i >= 3), "connection %d", i);
    }
    ck_assert(!admitted(&c, "192.0.2.1")); /* twice as many: not even refused */
    ck_assert(!arrive(&c, "192.0.2.2")->surplus);
    ck_assert(!arrive(&c, "2001:db8::1")->surplus);
    /* Who leaves makes room. */
    conns_remove(first);
    ck_assert(admitted(&c, "192.0.2.1"));
    leave_all(&c);
    ck_assert(!arrive(&c, "192.0.2.1")->surplus);
    leave_all(&c);
}
END_TEST

START_TEST(loopback_is_limited_only_by_word)
{
    static const char *const from[] = {"127.0.0.1", "::1", "::ffff:127.9.9.9", "192.0.2.1"};

    for (size_t k = 0; k < ARRAY_LEN(from); k++) {
        struct conns c = {.limits = {.per_address = 0}};

        for (int i = 0; i < 100; i++)
            ck_assert_msg(arrive(&c, from[k])->surplus == (k == 3 && i >= 64), "%s: %d", from[k],
                          i);
        leave_all(&c);
        c.limits.per_address = 1;
        arrive(&c, from[k]);
        ck_assert(arrive(&c, from[k])->surplus);
        leave_all(&c);
    }
}
END_TEST

START_TEST(every_step_has_its_time)
{
    struct conns c = {.limits = {.header_ms = 10000, .body_ms = 30000}};
    struct conn *n = arrive(&c, "127.0.0.1");

    ck_assert(!conn_is_late(&c, n, 10000) && conn_is_late(&c, n, 10001));
    conn_enter(n, CONN_IDLE,
               5000); /* silence is libmicrohttpd's; drops of a header are not silence */
    ck_assert(!conn_is_late(&c, n, 45000) && conn_is_late(&c, n, 45001));
    conn_enter(n, CONN_BODY, 0);
    ck_assert(!conn_is_late(&c, n, 30000) && conn_is_late(&c, n, 30001));
    n->received = 40 * 1024;
    ck_assert(!conn_is_late(&c, n, 40000) && conn_is_late(&c, n, 41000));
    /* An answer that moves, or waits for news, takes as long as it takes. */
    conn_enter(n, CONN_ANSWER, 0);
    for (int64_t s = 0, unsent = 5000; unsent >= 0; s += 200, unsent -= 1000) {
        conn_note_unsent(n, (int)unsent, s * 1000);
        ck_assert(!conn_is_late(&c, n, s * 1000 + 300000));
    }
    conn_note_unsent(n, 0, 9000000);
    conn_note_unsent(n, 700, 9001000);
    conn_note_unsent(n, 700, 9301000);
    ck_assert(!conn_is_late(&c, n, 9301000) && conn_is_late(&c, n, 9301001));
    leave_all(&c);
}
END_TEST

UNIT_MAIN(the_media_type_that_is_wanted_more_is_chosen, a_file_is_hashed_once,
          one_range_of_bytes_is_understood, whatever_is_asked_for_lies_within_the_file,
          tags_are_found_in_lists, other_bytes_have_another_tag, an_address_has_so_many_connections,
          loopback_is_limited_only_by_word, every_step_has_its_time)
