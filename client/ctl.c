#include "client/ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/url.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

static const char default_server[] = "http://127.0.0.1:8470";
static const char local_url[] = "http://127.0.0.1"; /* whatever is reached by a UNIX socket */

enum {
    SMALL_FILE = 4096
};

const struct opt ctl_options[] = {
    OPT(struct ctl, server, OPT_TEXT, "server",
        "address of distilld, or unix:PATH of its socket; without it STATE/api.sock or "
        "STATE/address, else http://127.0.0.1:8470",
        .value = "URL", .env = "DISTILLD_SERVER"),
    OPT(struct ctl, token_file, OPT_TEXT, "token-file",
        "file with the access token; without it STATE/token", .value = "F",
        .env = "DISTILLD_TOKEN_FILE"),
    OPT(struct ctl, state, OPT_TEXT, "state", "state folder of a distilld on this machine",
        .value = "DIR", .env = "DISTILLD_STATE"),
    OPT(struct ctl, ca, OPT_TEXT, "ca",
        "certificates by one of which that of an https server must be signed; without it those of "
        "the system",
        .value = "FILE", .env = "DISTILLD_CA"),
    OPT(struct ctl, json, OPT_FLAG, "json", "print JSON, for programs"),
    OPT(struct ctl, help, OPT_FLAG, "help", "print this help", .letter = 'h'),
    OPT(struct ctl, version, OPT_FLAG, "version", "print the version"),
};
const size_t ctl_n_options = ARRAY_LEN(ctl_options);

void ctl_renew(struct ctl *c)
{
    http_close(c->http);
    free(c->base);
    free(c->token);
    c->http = NULL;
    c->base = c->token = NULL;
}

void ctl_fini(struct ctl *c)
{
    ctl_renew(c);
    js_free(c->errors);
    js_free(c->lines);
}

/* The first line of a small file. */
static char *first_line(const char *path, struct error *err)
{
    struct buf text = buf_new(SMALL_FILE);
    char *line = NULL;

    if (file_read(path, &text, err)) {
        line = str_ndup(buf_text(&text), strcspn(buf_text(&text), "\r\n"));
        if (!*line) {
            err_set(err, ERR_INVALID, "%s is empty", path);
            free(line);
            line = NULL;
        }
    }
    buf_free(&text);
    return line;
}

static char *state_line(const struct ctl *c, const char *name, struct error *err)
{
    char *path = str_path(c->state, name), *line = first_line(path, err);

    free(path);
    return line;
}

/* A state folder without an address is one whose daemon does not run. */
static char *find_server(const struct ctl *c, struct error *err)
{
    char *line, *url;

    if (c->server)
        return str_dup(c->server);
    if (!c->state)
        return str_dup(default_server);
    line = state_line(c, "address", err);
    if (!line) {
        err_wrap(err, "no distilld runs in %s", c->state);
        if (err)
            err->code = ERR_UNREACHABLE;
        return NULL;
    }
    url = strstr(line, "://") ? str_dup(line) : str_fmt("http://%s", line);
    free(line);
    return url;
}

static bool find_token(struct ctl *c, struct error *err)
{
    if (c->token_file)
        c->token = first_line(c->token_file, err);
    else if (c->state)
        c->token = state_line(c, "token", err);
    else
        return true;
    return c->token || err_named_file(err) || err_wrap(err, "reading the access token");
}

const char *ctl_token(struct ctl *c, struct error *err)
{
    if (!c->token)
        find_token(c, err);
    return c->token;
}

/* The UNIX socket by which the server is reached without a token, or NULL: whoever names a server or a token
 * means that. free() */
static char *find_socket(const struct ctl *c)
{
    char *path;

    if (c->server || c->token_file || !c->state)
        return NULL;
    path = str_path(c->state, "api.sock");
    if (access(path, R_OK | W_OK) == 0)
        return path;
    free(path);
    return NULL;
}

static struct http *open_server(struct ctl *c, const char *socket, struct error *err)
{
    struct http_server to = {.url = c->base, .socket = socket};

    if (socket)
        to.url = local_url;
    if ((!socket || c->token_file) && !find_token(c, err))
        return NULL;
    to.token = c->token;
    to.ca = c->ca;
    if (c->ca && access(c->ca, R_OK) != 0) {
        err_set(err, ERR_INVALID, "--ca %s: %s", c->ca, strerror(errno));
        return NULL;
    }
    return http_open(&to, err);
}

struct http *ctl_http(struct ctl *c, struct error *err)
{
    char *socket;

    if (c->http)
        return c->http;
    ctl_renew(c);
    c->base = find_server(c, err);
    if (!c->base)
        return NULL;
    socket = find_socket(c);
    if (str_starts(c->base, "unix:"))
        socket = str_dup(c->base + strlen("unix:"));
    c->http = open_server(c, socket, err);
    free(socket);
    return c->http;
}

struct json *ctl_ask(struct ctl *c, struct http_request *r, struct error *err)
{
    struct http *h = ctl_http(c, err);
    struct json *answer = h ? http_ask(h, r, err) : NULL;
    const struct json *errors = h ? js_get(http_problem(h), "errors") : NULL;

    if (errors) {
        js_free(c->errors);
        c->errors = js_copy(errors);
    }
    return answer;
}

struct json *ctl_call(struct ctl *c, const char *method, const char *path, const struct json *body,
                      struct error *err)
{
    struct http_request r = {.method = method, .path = path, .body = body};

    return ctl_ask(c, &r, err);
}

/* Adds the items of one page to `all`; the token of the next page, or NULL with or without err. */
static char *read_page(struct ctl *c, const char *list, const char *token, struct json *all,
                       struct error *err)
{
    struct buf path = buf_new(0);
    struct json *page;
    const char *next;
    char *copy;

    buf_str(&path, list);
    url_query(&path, "page_token", token);
    page = ctl_call(c, NULL, buf_text(&path), NULL, err);
    for (size_t i = 0; i < js_len(js_get(page, "items")); i++)
        js_push(all, js_copy(js_at(js_get(page, "items"), i)));
    next = js_string(js_get(page, "next_page_token"), NULL);
    copy = next ? str_dup(next) : NULL;
    js_free(page);
    buf_free(&path);
    return copy;
}

struct json *ctl_list(struct ctl *c, const char *path, struct error *err)
{
    struct json *all = js_new_object(), *items = js_new_array();
    char *token = NULL;

    js_set(all, "items", items);
    err_clear(err);
    do {
        char *next = read_page(c, path, token, items, err);

        free(token);
        token = next;
    } while (token);
    if (err->code == ERR_NONE)
        return all;
    js_free(all);
    return NULL;
}

bool ctl_print_list(struct ctl *c, const char *path, struct out_table table,
                    void (*row)(struct out_table *t, const struct json *item), struct error *err)
{
    struct json *all = ctl_list(c, path, err);

    if (all && c->json)
        out_json(all);
    else if (all)
        out_list(table, js_get(all, "items"), row, &c->out);
    js_free(all);
    return all;
}

struct json *ctl_job(struct ctl *c, const char *method, const char *id, const char *rest,
                     struct error *err)
{
    char *path = url_job(id, rest);
    struct json *answer = ctl_call(c, method, path, NULL, err);

    free(path);
    return answer;
}

bool ctl_no_problems(struct ctl *c, const struct problems *p, struct error *err)
{
    if (!p->list.n)
        return true;
    js_free(c->errors);
    c->errors = problems_json(p);
    return err_set(err, ERR_INVALID, "the job is not valid: %zu problem%s", p->list.n,
                   p->list.n == 1 ? "" : "s");
}
