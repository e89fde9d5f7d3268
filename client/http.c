#define _GNU_SOURCE
#include "client/http.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/problem.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    MAX_ANSWER = 256 << 20,
    MAX_PROBLEM = 1 << 20,
    CONNECT_SECONDS = 5,
    SILENT_SECONDS = 40, /* the server's heartbeat comes every 15 s */
    ALIVE_SECONDS = 30   /* between questions whether a silent server is there */
};

struct http {
    CURL *curl;
    char *server, *token, *ca;
    char *socket;      /* "unix:PATH", or NULL */
    char *socket_path; /* for libcurl */
    int folder;        /* of it; -1: none */
    struct json *problem;
    const char *key;
    bool lost;
};

/* One request under way. */
struct transfer {
    CURL *curl;
    const struct http_request *request;
    struct buf refusal; /* the body of an answer that is no success */
    bool begun;         /* a success whose headers are known */
    bool stopped;       /* by begin, sink or tick */
    struct error err;   /* theirs */
    char message[CURL_ERROR_SIZE];
};

/* Addresses of sockets hold about a hundred bytes, and a folder may lie deeper than that: its name is that of a
 * descriptor. */
static void take_socket(struct http *h, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash ? str_ndup(path, (size_t)(slash - path) + 1) : str_dup(".");

    h->socket = str_fmt("unix:%s", path);
    h->folder = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    h->socket_path = h->folder < 0
                         ? str_dup(path)
                         : str_fmt("/proc/self/fd/%d/%s", h->folder, slash ? slash + 1 : path);
    free(dir);
}

struct http *http_open(const struct http_server *to, struct error *err)
{
    struct http *h;

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        err_set(err, ERR_FAILED, "libcurl does not start");
        return NULL;
    }
    h = NEW(struct http);
    h->curl = curl_easy_init();
    ASSERT(h->curl);
    h->server = str_dup(to->url);
    while (str_ends(h->server, "/"))
        h->server[strlen(h->server) - 1] = '\0';
    h->token = to->token ? str_dup(to->token) : NULL;
    h->ca = to->ca ? str_dup(to->ca) : NULL;
    h->folder = -1;
    if (to->socket)
        take_socket(h, to->socket);
    return h;
}

void http_close(struct http *h)
{
    if (!h)
        return;
    curl_easy_cleanup(h->curl);
    curl_global_cleanup();
    js_free(h->problem);
    free(h->server);
    free(h->token);
    free(h->ca);
    free(h->socket);
    free(h->socket_path);
    if (h->folder >= 0)
        close(h->folder);
    free(h);
}

const struct json *http_problem(const struct http *h)
{
    return h->problem;
}

const char *http_answer_header(struct http *h, const char *name)
{
    struct curl_header *found;

    return curl_easy_header(h->curl, name, 0, CURLH_HEADER, -1, &found) == CURLHE_OK ? found->value
                                                                                     : NULL;
}

void http_set_key(struct http *h, const char *key)
{
    h->key = key;
}

bool http_lost(const struct http *h)
{
    return h->lost;
}

static long status_of(CURL *curl)
{
    long status = 0;

    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

long http_answer_status(struct http *h)
{
    return status_of(h->curl);
}

static bool success(CURL *curl)
{
    return status_of(curl) / 100 == 2;
}

static bool begin(struct transfer *t)
{
    const struct http_request *r = t->request;

    if (!t->begun && r->begin)
        t->stopped = !r->begin(r->arg, &t->err);
    t->begun = true;
    return !t->stopped;
}

static size_t on_bytes(char *bytes, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;

    n *= size;
    if (!success(t->curl))
        return buf_add(&t->refusal, bytes, n) ? n : 0;
    t->stopped = !begin(t) || !t->request->sink(bytes, n, t->request->arg, &t->err);
    return t->stopped ? 0 : n;
}

static int on_progress(void *arg, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up_now)
{
    struct transfer *t = arg;

    (void)up_total;
    (void)up_now;
    if (!t->stopped && (success(t->curl) || now == 0))
        t->stopped = !t->request->tick((double)now, (double)total, t->request->arg, &t->err);
    return t->stopped;
}

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
    char *line = str_fmt("%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(list, line);

    ASSERT(longer);
    free(line);
    return longer;
}

static struct curl_slist *headers(const struct http *h, const struct http_request *r)
{
    struct curl_slist *list =
        add_header(NULL, "Accept", r->accept ? r->accept : "application/json");

    if (h->token) {
        char *bearer = str_fmt("Bearer %s", h->token);

        list = add_header(list, "Authorization", bearer);
        free(bearer);
    }
    if (r->body || r->bytes)
        list = add_header(list, "Content-Type", r->bytes ? r->type : "application/json");
    if (r->upload_offset)
        list = add_header(list, "Upload-Offset", r->upload_offset);
    if (h->key) {
        char *quoted = str_fmt("\"%s\"", h->key);

        list = add_header(list, "Idempotency-Key", quoted);
        free(quoted);
    }
    if (r->last_id && *r->last_id)
        list = add_header(list, "Last-Event-ID", r->last_id);
    if (r->range)
        list = add_header(list, "Range", r->range);
    if (r->if_match)
        list = add_header(list, "If-Match", r->if_match);
    if (r->if_range)
        list = add_header(list, "If-Range", r->if_range);
    return list;
}

static bool is_loopback(const char *server)
{
    static const char *const hosts[] = {"://127.", "://localhost", "://[::1]"};

    for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
        if (strstr(server, hosts[i]))
            return true;
    return false;
}

static void configure(struct http *h, struct transfer *t, const char *url, struct curl_slist *list)
{
    CURL *c = h->curl;

    curl_easy_reset(c);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_USERAGENT, "distillctl/" PACKAGE_VERSION);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, t->request->patient ? 0L : 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)SILENT_SECONDS);
    curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(c, CURLOPT_TCP_KEEPIDLE, (long)ALIVE_SECONDS);
    curl_easy_setopt(c, CURLOPT_TCP_KEEPINTVL, (long)ALIVE_SECONDS);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->message);
    /* The token is for the server alone: proxies of the environment are for other hosts. */
    if (is_loopback(h->server))
        curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (h->ca)
        curl_easy_setopt(c, CURLOPT_CAINFO, h->ca);
    if (h->socket)
        curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, h->socket_path);
    if (t->request->tick) {
        curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
        curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
    }
}

static void set_method(CURL *c, const struct http_request *r, const char *body)
{
    if (r->method)
        curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, r->method);
    if (r->bytes) {
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->n_bytes);
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, r->bytes);
    } else if (body) {
        curl_easy_setopt(c, CURLOPT_COPYPOSTFIELDS, body);
    } else if (r->method) {
        curl_easy_setopt(c, CURLOPT_COPYPOSTFIELDS, "");
    }
}

/* Whether it broke off after the connection stood. */
static bool was_lost(CURL *curl, CURLcode rc)
{
    curl_off_t connected = 0;

    curl_easy_getinfo(curl, CURLINFO_CONNECT_TIME_T, &connected);
    return rc == CURLE_GOT_NOTHING || rc == CURLE_RECV_ERROR || rc == CURLE_SEND_ERROR ||
           rc == CURLE_PARTIAL_FILE || (rc == CURLE_OPERATION_TIMEDOUT && connected > 0);
}

static bool judge(struct http *h, struct transfer *t, CURLcode rc, struct error *err)
{
    if (rc == CURLE_OK && success(h->curl))
        begin(t); /* an empty body */
    if (t->stopped) {
        if (err && t->err.code)
            *err = t->err;
        return !t->err.code;
    }
    if (rc != CURLE_OK)
        return err_set(err, ERR_UNREACHABLE, "%s: %s%s", h->socket ? h->socket : h->server,
                       *t->message ? t->message : curl_easy_strerror(rc),
                       rc == CURLE_COULDNT_CONNECT ? " (does distilld run there?)" : "");
    if (success(h->curl))
        return true;
    h->problem = js_parse(buf_text(&t->refusal), t->refusal.len, NULL);
    return problem_error(status_of(h->curl), h->problem, h->server, err);
}

bool http_send(struct http *h, const struct http_request *r, struct error *err)
{
    struct transfer t = {.curl = h->curl, .request = r, .refusal = buf_new(MAX_PROBLEM)};
    char *url = str_fmt("%s%s", h->server, r->path);
    char *body = r->body ? js_text(r->body, JS_COMPACT) : NULL;
    struct curl_slist *list = headers(h, r);
    CURLcode rc;
    bool ok;

    js_free(h->problem);
    h->problem = NULL;
    configure(h, &t, url, list);
    set_method(h->curl, r, body);
    rc = curl_easy_perform(h->curl);
    h->lost = was_lost(h->curl, rc);
    ok = judge(h, &t, rc, err);
    curl_slist_free_all(list);
    buf_free(&t.refusal);
    free(body);
    free(url);
    return ok;
}

static bool collect(const char *bytes, size_t len, void *arg, struct error *err)
{
    return buf_add(arg, bytes, len) ||
           err_set(err, ERR_TOO_LARGE, "the answer is larger than %d MB", MAX_ANSWER >> 20);
}

struct json *http_ask(struct http *h, struct http_request *r, struct error *err)
{
    struct buf answer = buf_new(MAX_ANSWER);
    struct json *j = NULL;

    r->sink = collect;
    r->arg = &answer;
    if (http_send(h, r, err)) {
        j = answer.len ? js_parse(answer.data, answer.len, err) : js_new_null();
        if (!j) {
            err_wrap(err, "%s%s", h->server, r->path);
            err->code = ERR_FAILED;
        }
    }
    buf_free(&answer);
    return j;
}

struct json *http_call(struct http *h, const char *method, const char *path,
                       const struct json *body, struct error *err)
{
    struct http_request r = {.method = method, .path = path, .body = body};

    return http_ask(h, &r, err);
}
