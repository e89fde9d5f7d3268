/* daemon: the ring of events and the places of its readers. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/events.h"
#include "daemon/ids.h"
#include "daemon/secret.h"
#include "proto/base/rng.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"

static const char job_a[] = "job_0000000000000000000000000A";

static bool note_reserved(uint64_t below, void *arg)
{
    *(uint64_t *)arg = below;
    return true;
}

START_TEST(every_reader_sees_all_in_order_or_is_told)
{
    /* Readers of any speed: what they read rises by one, except after LAGGED. */
    struct events *e = events_new(1000, 16, 1 << 20, NULL, NULL);
    struct event_cursor readers[3] = {{1000}, {1000}, {1000}};
    uint64_t next[3] = {1000, 1000, 1000};
    size_t lagged[3] = {0};

    for (uint64_t i = 0; i < 4000; i++) {
        events_publish(e, "state", job_a, "default", "{}");
        for (uint64_t r = 0; r < 3; r++) {
            struct event *ev;
            enum events_result got = EVENTS_READY;

            if (r && rng_below(rng_key(unit_seed(), r), i, r == 1 ? 4 : 40))
                continue;
            while ((got = events_read(e, &readers[r], &ev)) != EVENTS_NONE) {
                if (got == EVENTS_LAGGED) {
                    lagged[r]++;
                    ck_assert_uint_gt(readers[r].next, next[r]);
                    next[r] = readers[r].next;
                    continue;
                }
                ck_assert_msg(ev->id == next[r], "reader %d: %" PRIu64 " instead of %" PRIu64,
                              (int)r, ev->id, next[r]);
                next[r]++;
                event_unref(ev);
            }
        }
    }
    ck_assert_uint_eq(next[0], 5000);
    ck_assert_uint_eq(lagged[0], 0);
    ck_assert_uint_gt(lagged[2], 0);
    events_free(e);
}
END_TEST

START_TEST(a_frame_outlives_the_ring_while_it_is_sent)
{
    struct events *e = events_new(1, 2, 1 << 20, NULL, NULL);
    struct event_cursor c = {1};
    struct event *ev;

    events_publish(e, "log", job_a, "default", "{\"text\":\"x\"}");
    ck_assert_int_eq(events_read(e, &c, &ev), EVENTS_READY);
    for (int i = 0; i < 5; i++)
        events_publish(e, "hb", "", "default", "{}");
    ck_assert_str_eq(ev->kind, "log");
    ck_assert_str_eq(ev->job, job_a);
    ck_assert_str_eq(ev->text, "id: 1\nevent: log\ndata: {\"text\":\"x\"}\n\n");
    event_unref(ev);
    events_free(e);
}
END_TEST

START_TEST(resumes_only_where_nothing_is_missing)
{
    struct events *e = events_new(100, 4, 1 << 20, NULL, NULL);

    ck_assert(events_cover(e, 99));
    ck_assert(!events_cover(e, 98));
    ck_assert(!events_cover(e, 100));
    for (int i = 0; i < 10; i++)
        events_publish(e, "state", job_a, "default", "{}");
    /* 106 to 109 are held. */
    ck_assert(!events_cover(e, 104));
    ck_assert(events_cover(e, 105));
    ck_assert(events_cover(e, 109));
    ck_assert(!events_cover(e, 110));
    ck_assert(!events_cover(e, UINT64_MAX));
    events_free(e);
}
END_TEST

START_TEST(the_ring_is_bounded_in_bytes_too)
{
    struct events *e = events_new(1, 1000, 4096, NULL, NULL);
    char data[1000];

    memset(data, 'x', sizeof(data) - 1);
    data[sizeof(data) - 1] = '\0';
    for (int i = 0; i < 20; i++)
        events_publish(e, "log", job_a, "default", data);
    ck_assert(events_cover(e, 20));
    ck_assert(!events_cover(e, 15));
    events_free(e);
}
END_TEST

START_TEST(ids_of_the_next_run_are_above_all_of_this_one)
{
    uint64_t reserved = 0;
    struct events *e = events_new(1, 4, 1 << 20, note_reserved, &reserved);

    /* The id that comes next too: history is stored under it before it is published. */
    for (uint64_t i = 0; i < 2 * EVENTS_BLOCK + 3; i++) {
        ck_assert_msg(reserved > events_next_id(e), "id %" PRIu64 " was not reserved",
                      events_next_id(e));
        events_publish(e, "hb", "", "default", "{}");
    }
    events_free(e);
}
END_TEST

START_TEST(job_ids_rise_whatever_the_clock_does)
{
    char last[JOB_ID_SIZE] = "", id[JOB_ID_SIZE];

    for (uint64_t i = 0; i < 1000; i++) {
        id_next(last, 1700000000000 + (int64_t)rng_below(unit_seed(), i, 10), id);
        ck_assert_msg(id_valid(id), "%s", id);
        ck_assert_msg(strcmp(id, last) > 0, "%s after %s", id, last);
        memcpy(last, id, sizeof(id));
    }
    ck_assert(!id_valid("job_0000000000000000000000000"));
    ck_assert(!id_valid("job_0000000000000000000000000U"));
    ck_assert(!id_valid("../_0000000000000000000000000A"));
}
END_TEST

START_TEST(a_token_is_made_once_and_compared_whole)
{
    char *path = str_path(unit_dir(), "token"), first[SECRET_SIZE], again[SECRET_SIZE];
    struct error err;

    ck_assert_ok(secret_keep(path, "dst_", first, &err), err);
    ck_assert_ok(secret_keep(path, "dst_", again, &err), err);
    ck_assert_str_eq(first, again);
    ck_assert_uint_eq(strlen(first), 68);
    ck_assert(secret_equal(first, again));
    again[67] ^= 1;
    ck_assert(!secret_equal(first, again));
    again[67] = '\0';
    ck_assert(!secret_equal(first, again));
    ck_assert(!secret_equal(first, ""));
    free(path);
}
END_TEST

UNIT_MAIN(every_reader_sees_all_in_order_or_is_told, a_frame_outlives_the_ring_while_it_is_sent,
          resumes_only_where_nothing_is_missing, the_ring_is_bounded_in_bytes_too,
          ids_of_the_next_run_are_above_all_of_this_one, job_ids_rise_whatever_the_clock_does,
          a_token_is_made_once_and_compared_whole)
