#define _GNU_SOURCE
#include "tests/bench/load.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "proto/base/file.h"
#include "proto/base/opt.h"
#include "proto/base/socket.h"
#include "proto/base/str.h"

static const struct opt rows[] = {
    OPT(struct load_options, address, OPT_TEXT, "address", "of the daemon",
        .value = "HOST:PORT|unix:PATH"),
    OPT(struct load_options, token_file, OPT_TEXT, "token-file", "with a user's token",
        .value = "FILE"),
    OPT(struct load_options, method, OPT_TEXT, "method", "of requests", .value = "METHOD",
        .fallback = "GET"),
    OPT(struct load_options, path, OPT_TEXT, "path", "of requests", .value = "PATH",
        .fallback = "/api/v1/jobs"),
    OPT(struct load_options, body_file, OPT_TEXT, "body", "JSON that is sent", .value = "FILE"),
    OPT(struct load_options, etag, OPT_TEXT, "etag", "sent as If-None-Match", .value = "TAG"),
    OPT(struct load_options, connections, OPT_INT, "connections", "at a time", .value = "N",
        .fallback = "16", .lo = 1, .hi = 65536),
    OPT(struct load_options, seconds, OPT_REAL, "seconds", "that it goes on", .value = "S",
        .fallback = "5"),
    OPT(struct load_options, keys, OPT_FLAG, "keys", "each request has an Idempotency-Key"),
    OPT(struct load_options, pages, OPT_FLAG, "pages", "follow next_page_token"),
    OPT(struct load_options, help, OPT_FLAG, "help", "print this help"),
};

static const struct {
    const char *name, *text;
    int (*run)(const struct load_options *o);
} kinds[] = {
    {"requests", "one after the other on each connection", load_requests},
    {"stream", "clients of the event stream; a job is submitted each second", load_stream},
    {"slow", "connections that send a header byte by byte", load_slow},
    {"worker", "metrics, as rank 0 of an attempt", load_worker},
};

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double samples_at(samples *s, double q)
{
    if (!s->n)
        return 0;
    qsort(s->at, s->n, sizeof(*s->at), compare);
    return s->at[(size_t)(q * (double)(s->n - 1))];
}

int load_connect(const char *address)
{
    char *where = str_fmt("%s%s", str_starts(address, "unix:") ? "" : "tcp:", address);
    struct error err;
    int fd = socket_connect(where, &err);

    free(where);
    if (fd < 0) {
        fprintf(stderr, "load: %s\n", err.msg);
        exit(5);
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

static const char *token_of(const struct load_options *o)
{
    static char token[256];
    struct buf b = buf_new(sizeof(token) - 1);
    struct error err;

    if (token[0])
        return token;
    if (!o->token_file || !file_read(o->token_file, &b, &err)) {
        fprintf(stderr, "load: --token-file: %s\n", o->token_file ? err.msg : "is needed");
        exit(2);
    }
    snprintf(token, sizeof(token), "%.*s", (int)strcspn(buf_text(&b), "\n"), buf_text(&b));
    buf_free(&b);
    return token;
}

void load_request(struct buf *out, const struct load_options *o, const char *method,
                  const char *path, const char *more_headers, const struct buf *body)
{
    buf_fmt(out, "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n%s", method, path,
            str_starts(o->address, "unix:") ? "localhost" : o->address, token_of(o), more_headers);
    if (body)
        buf_fmt(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n", body->len);
    else
        buf_str(out, "\r\n");
    if (body)
        buf_add(out, body->data, body->len);
}

static void print_help(const struct opt_set *all)
{
    struct buf b = buf_new(0);

    buf_str(&b, "usage: load KIND [OPTION]...\n\n");
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        buf_fmt(&b, "  %-10s %s\n", kinds[i].name, kinds[i].text);
    buf_str(&b, "\n");
    opt_help(all, &b);
    fputs(buf_text(&b), stdout);
    buf_free(&b);
}

int main(int argc, char **argv)
{
    struct load_options o = {0};
    const struct opt_set all = OPT_SET(rows, &o);
    struct opt_words words = {argv + 2, argc > 1 ? (size_t)argc - 2 : 0};
    struct rlimit files;
    struct error err;

    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    for (size_t i = 0; argc > 1 && i < ARRAY_LEN(kinds); i++) {
        if (strcmp(argv[1], kinds[i].name) != 0)
            continue;
        if (!opt_defaults(&all, &err) || !opt_parse(&all, 1, &words, &err)) {
            fprintf(stderr, "load: %s\n", err.msg);
            return 2;
        }
        if (!o.help)
            return kinds[i].run(&o);
    }
    print_help(&all);
    return o.help || (argc > 1 && strcmp(argv[1], "--help") == 0) ? 0 : 2;
}
