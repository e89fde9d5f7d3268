/* daemon: webhooks: which addresses may be reached, signatures, pauses, and the outbox. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/courier.h"
#include "daemon/db.h"
#include "daemon/netblock.h"
#include "daemon/post.h"
#include "daemon/webhooks.h"
#include "proto/base/clock.h"
#include "proto/base/hmac.h"
#include "proto/base/str.h"
#include "tests/unit/daemon_rig.h"
#include "tests/unit/unit.h"

static bool is_public(const char *text)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct sockaddr_in four = {.sin_family = AF_INET};
    char back[NETBLOCK_TEXT];

    if (inet_pton(AF_INET, text, &four.sin_addr) == 1) {
        ck_assert_str_eq(address_text((const struct sockaddr *)&four, back), text);
        return address_is_public((const struct sockaddr *)&four);
    }
    ck_assert_msg(inet_pton(AF_INET6, text, &six.sin6_addr) == 1, "%s", text);
    return address_is_public((const struct sockaddr *)&six);
}

START_TEST(only_public_addresses_are_reached)
{
    static const char *const inside[] = {
        "127.0.0.1",
        "127.255.255.254",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "fdff::1",
        "ff02::1",
        "::ffff:10.1.2.3",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::a01:203",
        "2002:7f00:1::",
        "2001:db8::1",
    };
    static const char *const outside[] = {
        "8.8.8.8",    "172.15.255.255", "172.32.0.1",           "9.255.255.255",  "11.0.0.0",
        "100.63.0.1", "100.128.0.1",    "2606:4700:4700::1111", "::ffff:8.8.8.8", "223.255.255.255",
    };
    const struct sockaddr local = {.sa_family = AF_UNIX};

    for (size_t i = 0; i < ARRAY_LEN(inside); i++)
        ck_assert_msg(!is_public(inside[i]), "%s", inside[i]);
    for (size_t i = 0; i < ARRAY_LEN(outside); i++)
        ck_assert_msg(is_public(outside[i]), "%s", outside[i]);
    ck_assert(!address_is_public(&local));
}
END_TEST

START_TEST(blocks_are_read_or_refused)
{
    static const struct {
        const char *text;
        unsigned bits;
        const char *error;
    } cases[] = {
        {"10.0.0.0/8", 104, NULL},
        {"10.1.2.3", 128, NULL},
        {"0.0.0.0/0", 96, NULL},
        {"fc00::/7", 7, NULL},
        {"::1", 128, NULL},
        {"10.0.0.0/33", 0, "from 0 to 32"},
        {"::/129", 0, "from 0 to 128"},
        {"10.0.0.0/", 0, "from 0 to 32"},
        {"10.0.0", 0, "expected ADDRESS"},
        {"", 0, "expected ADDRESS"},
        {"host", 0, "expected ADDRESS"},
        {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb", 0, "expected ADDRESS"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct netblock b;
        struct error err = {0};
        bool ok = netblock_parse(cases[i].text, &b, &err);

        ck_assert_msg(ok == !cases[i].error, "%s: %s", cases[i].text, err.msg);
        if (ok)
            ck_assert_uint_eq(b.bits, cases[i].bits);
        else
            ck_assert_msg(strstr(err.msg, cases[i].error), "%s: %s", cases[i].text, err.msg);
    }
}
END_TEST

/* RFC 4231, 4.2 and 4.3; RFC 4648, 10. */
START_TEST(signatures_are_those_of_the_rfcs)
{
    static const char want[] = "sDRMYdjbOFNcqK/OrwvxK4gdwgDJgz2nJuk3bC4yz/c=";
    static const struct {
        const char *text, *base64;
    } words[] = {{"", ""},        {"f", "Zg=="},        {"fo", "Zm8="},
                 {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"foobar", "Zm9vYmFy"}};
    unsigned char key[20], sum[SHA256_BYTES];
    char text[BASE64_SIZE(SHA256_BYTES)];

    memset(key, 0x0b, sizeof(key));
    hmac_sha256(key, sizeof(key), "Hi There", 8, sum);
    ck_assert_str_eq(base64(sum, sizeof(sum), text), want);
    hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, sum);
    ck_assert_str_eq(base64(sum, sizeof(sum), text),
                     "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=");
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        ck_assert_str_eq(base64(words[i].text, strlen(words[i].text), text), words[i].base64);
}
END_TEST

START_TEST(pauses_grow_to_an_hour_and_last_a_day)
{
    int64_t all = 0;

    for (int64_t t = 1; t < WEBHOOK_TRIES; t++) {
        int64_t most = t <= 12 ? 1000 << (t - 1) : 3600 * 1000;
        int64_t delay = delivery_delay_ms(t, 0, 7);

        ck_assert_msg(delay >= most * 8 / 10 - 1 && delay <= most * 12 / 10, "try %lld: %lld",
                      (long long)t, (long long)delay);
        all += delay;
    }
    ck_assert(all > 20 * 3600 * 1000LL && all < 28 * 3600 * 1000LL);
}
END_TEST

START_TEST(a_receiver_may_ask_for_a_pause_up_to_an_hour)
{
    ck_assert_int_eq(delivery_delay_ms(1, 60, 7), 60 * 1000);
    ck_assert_int_eq(delivery_delay_ms(1, INT64_MAX, 7), 3600 * 1000);
    ck_assert_int_eq(delivery_delay_ms(8, 1, 7), delivery_delay_ms(8, 0, 7));
}
END_TEST

static void collect(const struct delivery *m, void *text)
{
    buf_fmt(text, "%lld:%s:%lld ", (long long)m->webhook, m->type, (long long)m->event);
}

static const char *due(struct daemon *d, int64_t now, struct buf *out)
{
    struct error err;

    buf_reset(out);
    ck_assert_msg(deliveries_due(d->store, now, collect, out, &err), "%s", err.msg);
    return buf_text(out);
}

static struct webhook hook(struct daemon *d, const char *states)
{
    struct webhook w = {.url = str_dup("http://a.example/"),
                        .states = js_parse(states, strlen(states), NULL),
                        .enabled = true,
                        .created_ms = 1};
    struct error err;

    ck_assert_msg(webhook_add(d->store, &w, &err), "%s", err.msg);
    return w;
}

START_TEST(the_outbox_has_what_was_asked_for_in_order)
{
    struct daemon d;
    struct job *j = rig_job(1);
    struct buf text = buf_new(0);
    struct webhook ends, all, gone;
    struct error err;

    rig_open(&d, "webhooks", 16);
    ends = hook(&d, "[\"failed\"]");
    all = hook(&d, "[\"queued\",\"running\",\"failed\"]");
    ck_assert(deliveries_note(d.store, j, 5, 1000, &err));
    j->state = JOB_RUNNING;
    ck_assert(deliveries_note(d.store, j, 6, 1000, &err));
    j->state = JOB_FAILED;
    ck_assert(deliveries_note(d.store, j, 7, 1000, &err));
    j->state = JOB_CANCELLED;
    ck_assert(deliveries_note(d.store, j, 8, 1000, &err));

    /* The first of each; nothing before its time, unless the clock has gone back by days. */
    ck_assert_str_eq(due(&d, 1000, &text), "1:job.failed:7 2:job.queued:5 ");
    ck_assert_str_eq(due(&d, 999, &text), "");
    ck_assert_str_eq(due(&d, 1000 - 3 * 3600 * 1000, &text), "1:job.failed:7 2:job.queued:5 ");
    ck_assert_int_eq(deliveries_next_ms(d.store, 999), 1000);
    ck_assert_int_eq(deliveries_next_ms(d.store, 1000), INT64_MAX);

    /* A change that is undone is told to nobody. */
    ck_assert(store_begin(d.store, &err));
    j->state = JOB_QUEUED;
    ck_assert(deliveries_note(d.store, j, 9, 500, &err));
    store_rollback(d.store);
    ck_assert_str_eq(due(&d, 999, &text), "");

    ck_assert(delivery_update(
        d.store, &(struct delivery){.id = 1, .state = "delivered", .message = ""}, &err));
    ck_assert_str_eq(due(&d, 1000, &text), "1:job.failed:7 2:job.running:6 ");
    all.enabled = false;
    ck_assert(webhook_update(d.store, &all, &err));
    ck_assert_str_eq(due(&d, 1000, &text), "1:job.failed:7 ");
    ck_assert(webhook_remove(d.store, &ends, &err));
    ck_assert_str_eq(due(&d, 1000, &text), "");
    ck_assert(!webhook_find(d.store, ends.id, &gone, &err) && err.code == ERR_NOT_FOUND);
    webhook_fini(&gone);
    webhook_fini(&ends);
    webhook_fini(&all);
    buf_free(&text);
    job_destroy(j);
    rig_close(&d);
}
END_TEST

/* A receiver must not be asked thousands of times because a disk is full here. */
START_TEST(what_cannot_be_recorded_is_not_sent_again_at_once)
{
    static const char full[] = "CREATE TRIGGER full BEFORE UPDATE ON delivery BEGIN SELECT"
                               " raise(ABORT, 'no room'); END";
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), peer, n = 0;
    socklen_t len = sizeof(a);
    struct webhook w;
    struct db_stmt *q;
    struct daemon d;
    struct error err;
    double end = clock_mono_s() + 60;

    ck_assert(bind(fd, (struct sockaddr *)&a, len) == 0 && listen(fd, 16) == 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    rig_open(&d, "unrecorded", 16);
    vec_push(&d.settings.webhook_networks, "127.0.0.0/8");
    ck_assert_msg(courier_start(&d, &err), "%s", err.msg);
    w = hook(&d, "[\"failed\"]");
    free(w.url);
    w.url = str_fmt("http://127.0.0.1:%d/", ntohs(a.sin_port));
    ck_assert(webhook_update(d.store, &w, &err) && delivery_test(d.store, &w, 1000, &err));
    q = db_prepare(store_state(d.store), full, &err);
    ck_assert_msg(q && db_run(q, &err), "%s", err.msg);
    courier_soon(&d);
    /* The next one may come a second after the first. */
    for (;;) {
        uv_run(&d.loop, UV_RUN_NOWAIT);
        if (clock_mono_s() > end)
            break;
        if ((peer = accept(fd, NULL, NULL)) >= 0) {
            close(peer);
            if (n++ == 0)
                end = clock_mono_s() + 0.9;
        }
        usleep(3000);
    }
    ck_assert_int_eq(n, 1);
    courier_stop(&d);
    webhook_fini(&w);
    close(fd);
    rig_close(&d);
    vec_free(&d.settings.webhook_networks);
}
END_TEST

UNIT_MAIN(only_public_addresses_are_reached, blocks_are_read_or_refused,
          signatures_are_those_of_the_rfcs, pauses_grow_to_an_hour_and_last_a_day,
          a_receiver_may_ask_for_a_pause_up_to_an_hour, the_outbox_has_what_was_asked_for_in_order,
          what_cannot_be_recorded_is_not_sent_again_at_once)
