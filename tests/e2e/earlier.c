/* Plays what another release has left running, as far as a daemon sees it: a shim, which holds the lock of its attempt,
 * and the rank 0 of a worker, which says what was recorded of one. It ends when the worker is asked to stop or the shim
 * gets SIGTERM; then the shim's record of the end is put there.
 *
 * usage: earlier ATTEMPT-DIR SOCKET FRAMES EXIT.JSON [FORMAT]
 * FRAMES: what the worker sent, a frame a line in hexadecimal digits, the hello first. FORMAT: another one for the hello. */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "daemon/attempt.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/socket.h"
#include "proto/base/str.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/frame.h"

typedef Distilld__Envelope Envelope;

enum {
    LOOK_MS = 50
};

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
    (void)number;
    ended = 1;
}

static _Noreturn void give_up(const struct error *err)
{
    fprintf(stderr, "earlier: %s\n", err->msg);
    exit(1);
}

static size_t unhex(const char *line, unsigned char *out)
{
    size_t n = 0;
    unsigned byte;

    for (; *line && *line != '\n' && sscanf(line, "%2x", &byte) == 1; line += 2)
        out[n++] = (unsigned char)byte;
    return n;
}

static void send_payload(int fd, const void *payload, size_t len)
{
    struct buf frame = buf_new(0);

    frame_write(&frame, payload, len);
    ASSERT(send(fd, frame.data, frame.len, MSG_NOSIGNAL) == (ssize_t)frame.len);
    buf_free(&frame);
}

/* The hello of a release that speaks otherwise. */
static void send_hello(int fd, const unsigned char *payload, size_t len, unsigned format)
{
    Envelope *e = distilld__envelope__unpack(NULL, len, payload);
    unsigned char *changed;

    ASSERT(e && e->body_case == DISTILLD__ENVELOPE__BODY_HELLO);
    e->hello->has_format = 1;
    e->hello->format = format;
    changed = mem_calloc(distilld__envelope__get_packed_size(e), 1);
    send_payload(fd, changed, distilld__envelope__pack(e, changed));
    free(changed);
    distilld__envelope__free_unpacked(e, NULL);
}

/* The n-th line; NULL behind the last. */
static const char *line_at(const char *text, size_t n)
{
    for (; text && n > 0; n--) {
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    return text && *text ? text : NULL;
}

static void say(int fd, const char *line, unsigned format)
{
    unsigned char *payload = mem_calloc(strlen(line), 1);
    size_t len = unhex(line, payload);

    if (format)
        send_hello(fd, payload, len, format);
    else
        send_payload(fd, payload, len);
    free(payload);
}

/* Everything else, once the hello was welcome. */
static void say_all(int fd, const char *frames)
{
    const char *line;

    for (size_t n = 1; (line = line_at(frames, n)) != NULL; n++)
        say(fd, line, 0);
}

static void heed(int fd, const Envelope *e, const char *frames)
{
    if (e->body_case == DISTILLD__ENVELOPE__BODY_WELCOME)
        say_all(fd, frames);
    if (e->body_case == DISTILLD__ENVELOPE__BODY_STOP)
        ended = 1;
}

/* Until the daemon has gone, or it is told to end. */
static void listen_to(int fd, const char *frames)
{
    struct buf in = buf_new(FRAME_MAX);
    char bytes[4096];
    const unsigned char *payload;
    size_t len, used;
    ssize_t n = 1;

    while (!ended && n > 0) {
        struct pollfd p = {.fd = fd, .events = POLLIN};

        if (poll(&p, 1, LOOK_MS) <= 0)
            continue;
        n = recv(fd, bytes, sizeof(bytes), 0);
        buf_add(&in, bytes, n > 0 ? (size_t)n : 0);
        while (frame_read(in.data, in.len, &payload, &len, &used, NULL) == FRAME_READY) {
            Envelope *e = distilld__envelope__unpack(NULL, len, payload);

            heed(fd, e, frames);
            distilld__envelope__free_unpacked(e, NULL);
            buf_consume(&in, used);
        }
    }
    buf_free(&in);
}

static void play(const char *path, const char *frames, unsigned format)
{
    char *address = str_fmt("unix:%s", path);

    while (!ended) {
        int fd = socket_connect(address, NULL);

        if (fd >= 0) {
            say(fd, line_at(frames, 0), format);
            listen_to(fd, frames);
            close(fd);
        }
        nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000}, NULL);
    }
    free(address);
}

int main(int argc, char **argv)
{
    struct buf frames = buf_new(0), end = buf_new(0);
    struct error err = {0};
    char *record;
    int lock;

    if (argc < 5)
        return 2;
    signal(SIGTERM, on_signal);
    signal(SIGPIPE, SIG_IGN);
    lock = attempt_lock(argv[1], false, &err);
    if (lock < 0 || !file_read(argv[3], &frames, &err) || !file_read(argv[4], &end, &err))
        give_up(&err);
    play(argv[2], buf_text(&frames), argc > 5 ? (unsigned)strtoul(argv[5], NULL, 10) : 0);
    record = str_path(argv[1], "exit.json");
    if (!file_replace(record, buf_text(&end), end.len, 0644, &err))
        give_up(&err);
    free(record);
    buf_free(&frames);
    buf_free(&end);
    close(lock);
    return 0;
}
