/* Downloads that are cut off and go on, against a server that answers what it is told to. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client/download.h"
#include "proto/base/file.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"

enum {
    MOST = 4
};

/* Answers one connection after the other and keeps what was asked. */
struct stub {
    int fd;
    const char *const *answers;
    size_t n;
    char asked[MOST][2048];
    pthread_t thread;
};

static void read_request(int fd, char *to, size_t size)
{
    size_t len = 0;
    ssize_t n;

    do {
        n = read(fd, to + len, size - 1 - len);
        len += n > 0 ? (size_t)n : 0;
        to[len] = '\0';
    } while (n > 0 && !strstr(to, "\r\n\r\n"));
}

/* A bar stands for a pause. */
static void send_answer(int fd, const char *answer)
{
    while (*answer) {
        size_t n = strcspn(answer, "|");

        (void)!write(fd, answer, n);
        answer += n;
        if (*answer) {
            nanosleep(&(struct timespec){0, 150000000}, NULL);
            answer++;
        }
    }
}

static void *serve(void *arg)
{
    struct stub *s = arg;

    for (size_t i = 0; i < s->n; i++) {
        int fd = accept(s->fd, NULL, NULL);

        read_request(fd, s->asked[i], sizeof(s->asked[i]));
        send_answer(fd, s->answers[i]);
        close(fd);
    }
    return NULL;
}

static char *stub_start(struct stub *s, const char *const *answers, size_t n)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);

    *s = (struct stub){.answers = answers, .n = n, .fd = socket(AF_INET, SOCK_STREAM, 0)};
    ck_assert_int_eq(bind(s->fd, (struct sockaddr *)&at, len), 0);
    ck_assert_int_eq(listen(s->fd, MOST), 0);
    ck_assert_int_eq(getsockname(s->fd, (struct sockaddr *)&at, &len), 0);
    ck_assert_int_eq(pthread_create(&s->thread, NULL, serve, s), 0);
    return str_fmt("http://127.0.0.1:%d", ntohs(at.sin_port));
}

static void stub_stop(struct stub *s)
{
    pthread_join(s->thread, NULL);
    close(s->fd);
}

static char *in_dir(const char *name)
{
    return str_path(unit_dir(), name);
}

static bool exists(const char *name)
{
    char *path = in_dir(name);
    bool there = file_exists(path);

    free(path);
    return there;
}

static void check_holds(const char *name, const char *text, size_t row)
{
    char *path = in_dir(name);
    struct buf b = buf_new(0);
    struct error err = {0};

    ck_assert_msg(file_read(path, &b, &err), "row %zu: %s", row, err.msg);
    ck_assert_msg(strcmp(buf_text(&b), text) == 0, "row %zu: %s holds \"%s\"", row, name,
                  buf_text(&b));
    buf_free(&b);
    free(path);
}

static bool fetch_as(struct ctl c, bool quiet, struct error *err)
{
    char *path = in_dir("file");
    const struct download d = {.url = "/api/v1/jobs/job_1/artifacts/a%2Ffile",
                               .name = "a/file",
                               .path = path,
                               .quiet = quiet};
    int64_t bytes;
    bool ok = download(&c, &d, &bytes, err);

    ck_assert(!ok || bytes == 10);
    ctl_fini(&c);
    free(path);
    return ok;
}

static bool fetch(const char *server, struct error *err)
{
    return fetch_as((struct ctl){.server = server}, true, err);
}

static void remove_all(void)
{
    static const char *const names[] = {"file", "file.part", "file.part.etag"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char *path = in_dir(names[i]);

        unlink(path);
        free(path);
    }
}

#define CUT "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: \"v1\"\r\n\r\n01234"
#define CUT_REST \
    "HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nContent-Range: bytes 5-9/10\r\n\r\n56"
#define REST                                                                     \
    "HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nContent-Range: bytes " \
    "5-9/10\r\n\r\n56789"
#define LAST \
    "HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\nContent-Range: bytes 7-9/10\r\n\r\n789"
#define OTHER    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: \"v2\"\r\n\r\nabcdefghij"
#define NO_RANGE "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n"

START_TEST(what_was_cut_off_goes_on)
{
    /* The last answer makes the file whole; all before it leave a part. */
    static const struct {
        const char *answers[MOST];
        size_t n, runs;
        const char *holds;
        const char *asks[MOST]; /* what a request must have in it */
    } rows[] = {
        {{OTHER}, 1, 1, "abcdefghij", {"GET /api/v1/jobs/job_1/artifacts/a%2Ffile HTTP"}},
        {{CUT, REST}, 2, 2, "0123456789", {"GET", "Range: bytes=5-\r\nIf-Range: \"v1\"\r\n"}},
        {{CUT, CUT_REST, LAST}, 3, 3, "0123456789", {"GET", "bytes=5-", "bytes=7-"}},
        {{CUT, OTHER}, 2, 2, "abcdefghij", {"GET", "bytes=5-"}},
        {{CUT, NO_RANGE, OTHER}, 3, 2, "abcdefghij", {"GET", "bytes=5-", "GET"}},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct stub s;
        char *server = stub_start(&s, rows[i].answers, rows[i].n);

        remove_all();
        for (size_t run = 0; run < rows[i].runs; run++) {
            struct error err = {0};
            bool last = run + 1 == rows[i].runs;

            ck_assert_msg(fetch(server, &err) == last, "row %zu, run %zu: %s", i, run, err.msg);
            ck_assert_msg(exists("file") == last && exists("file.part") == !last &&
                              exists("file.part.etag") == !last,
                          "row %zu, run %zu: wrong files", i, run);
            ck_assert(last || err.code == ERR_UNREACHABLE);
        }
        stub_stop(&s);
        check_holds("file", rows[i].holds, i);
        for (size_t k = 0; k < rows[i].n; k++)
            ck_assert_msg(strstr(s.asked[k], rows[i].asks[k]), "row %zu: asked %s", i, s.asked[k]);
        ck_assert(!strstr(s.asked[0], "Range"));
        free(server);
    }
}
END_TEST

START_TEST(what_cannot_go_on_is_not_kept)
{
    static const struct {
        const char *answer, *says;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234", "5 bytes"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: W/\"v1\"\r\n\r\n01234", "5 bytes"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: \"v1\"\r\n\r\n", "10 bytes"},
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}", "404"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct stub s;
        char *server = stub_start(&s, &rows[i].answer, 1);
        struct error err = {0};

        remove_all();
        ck_assert_error(fetch(server, &err), err, rows[i].says);
        stub_stop(&s);
        ck_assert_msg(!exists("file") && !exists("file.part") && !exists("file.part.etag"),
                      "row %zu leaves files", i);
        free(server);
    }
}
END_TEST

START_TEST(another_range_than_asked_for_is_refused)
{
    static const char *const answers[] = {CUT,
                                          "HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\n"
                                          "Content-Range: bytes 6-9/10\r\n\r\n6789"};
    struct stub s;
    char *server = stub_start(&s, answers, 2);
    struct error err = {0};

    remove_all();
    ck_assert(!fetch(server, &err));
    ck_assert_error(fetch(server, &err), err, "got \"bytes 6-9/10\"");
    stub_stop(&s);
    check_holds("file.part", "01234", 0);
    ck_assert(!exists("file"));
    free(server);
}
END_TEST

START_TEST(a_part_has_one_writer)
{
    char *part = in_dir("file.part"), *path = in_dir("file");
    struct file_writer mine, other;
    struct error err = {0};
    int64_t len;

    remove_all();
    ck_assert_ok(file_writer_reopen(&mine, path, part, 0600, &len, &err), err);
    ck_assert(file_writer_add(&mine, "mine", 4, &err));
    ck_assert_error(file_writer_reopen(&other, path, part, 0600, &len, &err), err,
                    "another process");
    ck_assert_error(fetch("http://127.0.0.1:1", &err), err, "another process");
    file_writer_keep(&mine);
    ck_assert_ok(file_writer_reopen(&other, path, part, 0600, &len, &err), err);
    ck_assert_int_eq(len, 4);
    ck_assert_ok(file_writer_commit(&other, &err), err);
    check_holds("file", "mine", 0);
    free(part);
    free(path);
}
END_TEST

/* What a slow download says on standard error; free(). */
static char *said_by(bool tty, bool quiet)
{
    static const char *const answer =
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0|1|2|3|4|5|6|7|8|9";
    struct stub s;
    char *server = stub_start(&s, &answer, 1), *file = in_dir("said");
    struct buf text = buf_new(0);
    struct error err = {0};

    remove_all();
    ck_assert_ptr_nonnull(freopen(file, "w", stderr));
    ck_assert_ok(fetch_as((struct ctl){.server = server, .err.tty = tty}, quiet, &err), err);
    stub_stop(&s);
    fflush(stderr);
    ck_assert_ok(file_read(file, &text, &err), err);
    free(server);
    free(file);
    return buf_take(&text);
}

START_TEST(slow_downloads_show_their_progress)
{
    char *drawn = said_by(true, false), *lines = said_by(false, false), *none = said_by(true, true);

    ck_assert_msg(strstr(drawn, "\r[#") && strstr(drawn, " of 10 B  ") &&
                      strstr(drawn, "B/s  ETA ") && !strchr(drawn, '\n') &&
                      str_ends(drawn, "\r\x1b[K"),
                  "%s", drawn);
    ck_assert_msg(str_starts(lines, "a/file:  ") && strstr(lines, "0 %  ") &&
                      strstr(lines, " of 10 B  ") && !strchr(lines, '\r') && str_ends(lines, "\n"),
                  "%s", lines);
    ck_assert_str_eq(none, "");
    free(drawn);
    free(lines);
    free(none);
}
END_TEST

UNIT_MAIN(what_was_cut_off_goes_on, what_cannot_go_on_is_not_kept,
          another_range_than_asked_for_is_refused, a_part_has_one_writer,
          slow_downloads_show_their_progress)
