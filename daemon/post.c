#define _GNU_SOURCE
#include "daemon/post.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/libcurl.h"
#include "proto/base/buf.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    CONNECT_S = 5,
    TOTAL_S = 10,
    ANSWER_BYTES = 500 /* that are kept of a reply */
};

struct posts {
    const struct libcurl *curl; /* NULL: nothing was sent yet */
    CURLM *multi;
    uv_loop_t *loop;
    uv_timer_t *timer;
    post_guard guard;
    void *arg;
    struct transfer *first;
};

struct transfer {
    struct posts *posts;
    struct transfer *next;
    CURL *easy;
    struct curl_slist *headers;
    struct error refused; /* what the guard said last */
    char detail[CURL_ERROR_SIZE];
    struct buf answer;
    post_done done;
    void *arg;
};

static void free_handle(uv_handle_t *h)
{
    free(h);
}

/* -- Sockets and time, as libcurl wants them watched ---------------------------------------------- */

static void take_results(struct posts *p);

static void on_socket(uv_poll_t *poll, int status, int events)
{
    struct posts *p = poll->data;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0, running, fd;

    flags |= events & UV_READABLE ? CURL_CSELECT_IN : 0;
    flags |= events & UV_WRITABLE ? CURL_CSELECT_OUT : 0;
    uv_fileno((uv_handle_t *)poll, &fd);
    p->curl->multi_socket_action(p->multi, fd, flags, &running);
    take_results(p);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *posts, void *watch)
{
    struct posts *p = posts;
    uv_poll_t *poll = watch;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (poll)
            uv_close((uv_handle_t *)poll, free_handle);
        p->curl->multi_assign(p->multi, fd, NULL);
        return 0;
    }
    if (!poll) {
        poll = NEW(uv_poll_t);
        uv_poll_init_socket(p->loop, poll, fd);
        poll->data = p;
        p->curl->multi_assign(p->multi, fd, poll);
    }
    uv_poll_start(
        poll, (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0),
        on_socket);
    return 0;
}

static void on_time(uv_timer_t *t)
{
    struct posts *p = t->data;
    int running;

    p->curl->multi_socket_action(p->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    take_results(p);
}

static int watch_time(CURLM *multi, long ms, void *posts)
{
    struct posts *p = posts;

    (void)multi;
    if (ms < 0)
        uv_timer_stop(p->timer);
    else
        uv_timer_start(p->timer, on_time, (uint64_t)ms, 0);
    return 0;
}

/* -- A transfer ----------------------------------------------------------------------------------- */

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct transfer *r = arg;

    (void)purpose;
    if (!r->posts->guard(&a->addr, r->posts->arg, &r->refused))
        return CURL_SOCKET_BAD;
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* The rest is dropped. */
static size_t take_answer(char *data, size_t size, size_t n, void *arg)
{
    struct transfer *r = arg;
    size_t room = ANSWER_BYTES - r->answer.len;

    buf_add(&r->answer, data, size * n < room ? size * n : room);
    return size * n;
}

static void free_transfer(struct transfer *r)
{
    const struct libcurl *curl = r->posts->curl;
    struct transfer **at = &r->posts->first;

    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    curl->multi_remove_handle(r->posts->multi, r->easy);
    curl->easy_cleanup(r->easy);
    curl->slist_free_all(r->headers);
    buf_free(&r->answer);
    free(r);
}

static void finish(struct transfer *r, CURLcode code)
{
    struct error err = {0};
    curl_off_t wait_s = 0;
    long status = 0;

    r->posts->curl->easy_getinfo(r->easy, CURLINFO_RETRY_AFTER, &wait_s);
    r->posts->curl->easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK) {
        status = 0;
        err_set(&err, ERR_UNREACHABLE, "%s",
                *r->detail ? r->detail : r->posts->curl->easy_strerror(code));
        if (r->refused.code)
            err = r->refused;
    } else {
        snprintf(err.msg, sizeof(err.msg), "%s", buf_text(&r->answer));
    }
    r->done((int)status, wait_s, &err, r->arg);
    free_transfer(r);
}

static void take_results(struct posts *p)
{
    const CURLMsg *m;
    int left;

    while ((m = p->curl->multi_info_read(p->multi, &left))) {
        CURLcode code = m->data.result;
        struct transfer *r;

        if (m->msg != CURLMSG_DONE)
            continue;
        p->curl->easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &r);
        finish(r, code);
    }
}

static void set_options(const struct libcurl *curl, struct transfer *r, const struct post *post)
{
    CURL *c = r->easy;

    curl->easy_setopt(c, CURLOPT_PRIVATE, r);
    curl->easy_setopt(c, CURLOPT_ERRORBUFFER, r->detail);
    curl->easy_setopt(c, CURLOPT_URL, post->url);
    curl->easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl->easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl->easy_setopt(c, CURLOPT_PROXY, "");
    curl->easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl->easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    curl->easy_setopt(c, CURLOPT_TIMEOUT, (long)TOTAL_S);
    /* A connection that is kept would not be shown to the guard again. */
    curl->easy_setopt(c, CURLOPT_FORBID_REUSE, 1L);
    curl->easy_setopt(c, CURLOPT_USERAGENT, "distilld/" PACKAGE_VERSION);
    curl->easy_setopt(c, CURLOPT_HTTPHEADER, r->headers);
    curl->easy_setopt(c, CURLOPT_COPYPOSTFIELDS, post->body);
    curl->easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl->easy_setopt(c, CURLOPT_OPENSOCKETDATA, r);
    curl->easy_setopt(c, CURLOPT_WRITEFUNCTION, take_answer);
    curl->easy_setopt(c, CURLOPT_WRITEDATA, r);
}

/* Before the first of them. */
static bool begin(struct posts *p, struct error *err)
{
    if (p->curl)
        return true;
    p->curl = libcurl_load(err);
    if (!p->curl)
        return false;
    p->multi = p->curl->multi_init();
    ASSERT(p->multi);
    p->curl->multi_setopt(p->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    p->curl->multi_setopt(p->multi, CURLMOPT_SOCKETDATA, p);
    p->curl->multi_setopt(p->multi, CURLMOPT_TIMERFUNCTION, watch_time);
    p->curl->multi_setopt(p->multi, CURLMOPT_TIMERDATA, p);
    return true;
}

static void start(struct posts *p, const struct post *post, post_done done, void *arg)
{
    struct transfer *r = NEW(struct transfer);

    *r = (struct transfer){.posts = p,
                           .next = p->first,
                           .easy = p->curl->easy_init(),
                           .answer = buf_new(0),
                           .done = done,
                           .arg = arg};
    ASSERT(r->easy);
    p->first = r;
    r->headers = p->curl->slist_append(NULL, "Content-Type: application/json");
    for (size_t i = 0; i < post->n_headers; i++)
        r->headers = p->curl->slist_append(r->headers, post->headers[i]);
    set_options(p->curl, r, post);
    p->curl->multi_add_handle(p->multi, r->easy);
}

bool post_send(struct posts *p, const struct post *post, post_done done, void *arg,
               struct error *err)
{
    if (!begin(p, err))
        return false;
    start(p, post, done, arg);
    return true;
}

static bool check_parts(const struct libcurl *curl, CURLU *u, const char *url, struct error *err)
{
    static const CURLUPart secrets[] = {CURLUPART_USER, CURLUPART_PASSWORD};
    char *scheme = NULL, *part = NULL;
    bool ok = curl->url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
              curl->url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              (strcmp(scheme, "https") == 0 || strcmp(scheme, "http") == 0);

    if (!ok)
        err_set(err, ERR_INVALID, "expected https://HOST/..., got \"%.200s\"", url);
    for (size_t i = 0; ok && i < ARRAY_LEN(secrets); i++)
        ok = curl->url_get(u, secrets[i], &part, 0) != CURLUE_OK ||
             err_set(err, ERR_INVALID,
                     "must not have a name or password in it: it is shown to "
                     "whoever may read; the signature says who sends");
    curl->free(part);
    curl->free(scheme);
    return ok;
}

bool post_check_url(const char *url, struct error *err)
{
    const struct libcurl *curl = libcurl_load(err);
    CURLU *u = curl ? curl->url() : NULL;
    bool ok = u && check_parts(curl, u, url, err);

    if (u)
        curl->url_cleanup(u);
    return ok;
}

/* -- All of them ---------------------------------------------------------------------------------- */

struct posts *posts_new(uv_loop_t *loop, post_guard guard, void *arg)
{
    struct posts *p = NEW(struct posts);

    *p = (struct posts){.loop = loop, .timer = NEW(uv_timer_t), .guard = guard, .arg = arg};
    uv_timer_init(loop, p->timer);
    p->timer->data = p;
    return p;
}

void posts_free(struct posts *p)
{
    if (!p)
        return;
    while (p->first)
        free_transfer(p->first);
    if (p->curl)
        p->curl->multi_cleanup(p->multi);
    uv_close((uv_handle_t *)p->timer, free_handle);
    free(p);
}
