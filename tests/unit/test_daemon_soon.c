/* daemon: what is done soon, on a loop that others use, too. */
#include <unistd.h>

#include "daemon/soon.h"
#include "tests/unit/unit.h"

enum {
    TURNS = 5
};

struct busy {
    struct soon soon;
    int calls;
    bool again; /* it asks for the next call itself, each time */
};

static void work(void *arg)
{
    struct busy *b = arg;

    b->calls++;
    if (b->again)
        soon_call(&b->soon);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
    (void)events;
    ck_assert_int_eq(status, 0);
    ++*(int *)p->data;
}

static void close_all(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

static void end(uv_loop_t *loop)
{
    uv_walk(loop, close_all, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(loop), 0);
}

START_TEST(whoever_asks_often_is_called_once)
{
    struct busy b = {.calls = 0};
    uv_loop_t loop;

    uv_loop_init(&loop);
    soon_init(&b.soon, &loop, work, &b);
    for (int i = 0; i < 3; i++)
        soon_call(&b.soon);
    ck_assert_int_eq(b.calls, 0);
    uv_run(&loop, UV_RUN_DEFAULT); /* which ends, as nothing is left to do */
    ck_assert_int_eq(b.calls, 1);
    soon_call(&b.soon);
    soon_forget(&b.soon);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(b.calls, 1);
    end(&loop);
}
END_TEST

START_TEST(what_is_never_done_leaves_others_their_turns)
{
    struct busy b = {.again = true};
    int seen = 0, fds[2];
    uv_loop_t loop;
    uv_poll_t poll;

    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq((int)write(fds[1], "x", 1), 1);
    uv_loop_init(&loop);
    uv_poll_init(&loop, &poll, fds[0]);
    poll.data = &seen;
    uv_poll_start(&poll, UV_READABLE, on_poll);
    soon_init(&b.soon, &loop, work, &b);
    soon_call(&b.soon);
    for (int i = 0; i < TURNS; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_int_eq(b.calls, TURNS);
    ck_assert_int_eq(seen, TURNS);
    end(&loop);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(nothing_is_begun_when_the_loop_ends)
{
    struct busy b = {.calls = 0};
    uv_loop_t loop;

    uv_loop_init(&loop);
    soon_init(&b.soon, &loop, work, &b);
    uv_close((uv_handle_t *)&b.soon.idle, NULL);
    soon_call(&b.soon);
    end(&loop);
    ck_assert_int_eq(b.calls, 0);
}
END_TEST

UNIT_MAIN(whoever_asks_often_is_called_once, what_is_never_done_leaves_others_their_turns,
          nothing_is_begun_when_the_loop_ends)
