/* What the first line and the headers of a request must be before anything else looks at it. Where another program in
 * front of the daemon could read them differently, and so see other requests in the same bytes, the request is refused
 * and its connection closed (RFC 9112, 11.2): libmicrohttpd 0.9.75 takes the first of several lengths, and knows none of
 * these rules. */
#include "daemon/http_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"

enum line {
    LINE_HOST,
    LINE_LENGTH,
    LINE_ENCODING,
    LINE_REQUEST_ID,
    LINE_EXPECT,
    LINE_CODING,
    LINE_AUTHORIZATION,
    LINE_KEY,
    LINE_COUNT
};

static const char *const line_names[LINE_COUNT] = {
    [LINE_HOST] = "Host",
    [LINE_LENGTH] = "Content-Length",
    [LINE_ENCODING] = "Transfer-Encoding",
    [LINE_REQUEST_ID] = "X-Request-Id",
    [LINE_EXPECT] = "Expect",
    [LINE_CODING] = "Content-Encoding",
    [LINE_AUTHORIZATION] = "Authorization",
    [LINE_KEY] = "Idempotency-Key",
};

struct walk {
    struct request *request;
    size_t bytes;
    const char *end; /* of what was read last */
    struct {
        size_t n;
        const char *value; /* of the first */
    } lines[LINE_COUNT];
};

bool http_host_name(const char *text, char name[HTTP_HOST_SIZE])
{
    const bool brackets = *text == '[';
    const char *start = text + brackets, *end = start + strcspn(start, brackets ? "]" : ":");
    const char *port = end + (brackets && *end);

    if (end == start || end - start >= HTTP_HOST_SIZE || (brackets && !*end) ||
        (*port && (*port != ':' || port[1 + strspn(port + 1, "0123456789")])))
        return false;
    memcpy(name, start, (size_t)(end - start));
    name[end - start] = '\0';
    return true;
}

static bool is_token(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "!#$%&'*+-.^_`|~";

    return *name && !name[strspn(name, letters)];
}

static bool has_controls(const char *value)
{
    for (; *value; value++)
        if (((unsigned char)*value < ' ' && *value != '\t') || *value == 0x7f)
            return true;
    return false;
}

/* libmicrohttpd takes a NUL for the end of what it reads, and drops what stands behind it in the line. Between that and
 * `next` it leaves nothing but blanks and its own NULs. */
static void check_rest(struct walk *w, const char *next)
{
    for (; w->end < next; w->end++)
        if (*w->end && *w->end != ' ' && *w->end != '\t') {
            http_refuse(w->request, "bad_request",
                        "expected an address and headers without NUL, got one before \"%.20s\"",
                        w->end);
            return;
        }
}

static void add_line(struct walk *w, const char *name, const char *value)
{
    for (size_t i = 0; i < LINE_COUNT; i++)
        if (strcasecmp(name, line_names[i]) == 0 && w->lines[i].n++ == 0)
            w->lines[i].value = value;
}

static enum MHD_Result on_header(void *arg, enum MHD_ValueKind kind, const char *name,
                                 const char *value)
{
    struct walk *w = arg;

    (void)kind;
    w->bytes += strlen(name) + strlen(value) + 2;
    if (!is_token(name))
        http_refuse(w->request, "bad_request",
                    "expected a header NAME: VALUE, without blanks in its name, got \"%.60s\"",
                    name);
    else if (has_controls(value))
        http_refuse(w->request, "bad_request", "the header %.60s has control characters", name);
    /* Both stand where they came in, the name first. Of a header that goes on in another line libmicrohttpd appends
     * that line to the name, which is then a copy. */
    else if (name > value)
        http_refuse(w->request, "bad_request",
                    "expected each header in one line, got one that goes on in the next: %.60s",
                    name);
    else
        check_rest(w, name);
    w->end = value + strlen(value);
    add_line(w, name, value);
    return MHD_YES;
}

static bool is_printable(const char *text)
{
    const char *end = text + strlen(text);
    size_t len;

    while (text < end && (len = *text == '\t' ? 1 : str_printable(text, (size_t)(end - text))) > 0)
        text += len;
    return text == end;
}

static bool decodes(const char *text)
{
    char *copy = str_dup(text);
    bool ok = http_decode(copy) && is_printable(copy);

    free(copy);
    return ok;
}

static enum MHD_Result on_parameter(void *arg, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    struct walk *w = arg;
    const char *text = value ? value : name;

    (void)kind;
    check_rest(w, name);
    value = value ? value : "";
    w->bytes += strlen(name) + strlen(value) + 2;
    if (!decodes(name) || !decodes(value))
        http_refuse(w->request, "bad_request",
                    "%.40s: expected percent-escapes of two hexadecimal digits, which make UTF-8 "
                    "without control characters, got \"%.60s\"",
                    name, value);
    w->end = text + strlen(text);
    return MHD_YES;
}

static void check_framing(struct walk *w, bool is_old)
{
    const size_t hosts = w->lines[LINE_HOST].n, lengths = w->lines[LINE_LENGTH].n;
    const size_t encodings = w->lines[LINE_ENCODING].n;
    const char *host = w->lines[LINE_HOST].value, *encoding = w->lines[LINE_ENCODING].value;
    char name[HTTP_HOST_SIZE];

    if (hosts > 1 || (hosts == 0 && !is_old))
        http_refuse(w->request, "bad_request", "expected one header Host, got %zu", hosts);
    else if (host && !http_host_name(host, name))
        http_refuse(w->request, "bad_request", "expected Host: NAME or NAME:PORT, got \"%.60s\"",
                    host);
    else if (lengths > 1)
        http_refuse(w->request, "bad_request", "expected one header Content-Length, got %zu",
                    lengths);
    else if (lengths && encodings)
        http_refuse(w->request, "bad_request",
                    "expected either Content-Length or Transfer-Encoding, got both");
    else if (encodings && is_old)
        http_refuse(w->request, "bad_request", "HTTP/1.0 has no Transfer-Encoding");
    else if (encodings > 1 || (encodings && strcasecmp(encoding, "chunked") != 0))
        http_refuse(w->request, "bad_request",
                    "expected one header Transfer-Encoding: chunked, got %zu, the first with "
                    "\"%.60s\"",
                    encodings, encoding);
}

/* Of headers that say who asks for what, no program in front of the daemon may have read another one. */
static void check_single(struct walk *w)
{
    static const enum line singles[] = {LINE_AUTHORIZATION, LINE_KEY};

    for (size_t i = 0; i < ARRAY_LEN(singles); i++)
        if (w->lines[singles[i]].n > 1)
            http_refuse(w->request, "bad_request", "expected one header %s, got %zu",
                        line_names[singles[i]], w->lines[singles[i]].n);
}

static void check_coding(struct walk *w)
{
    const char *coding = w->lines[LINE_CODING].value;

    if (w->lines[LINE_CODING].n > 1 || (coding && strcasecmp(coding, "identity") != 0))
        http_refuse(w->request, "unsupported_media_type",
                    "expected a body as it is, without Content-Encoding, got \"%.60s\"", coding);
}

/* In HTTP/1.0 nothing is expected. */
static void check_expectation(struct walk *w, bool is_old)
{
    const char *expect = w->lines[LINE_EXPECT].value;

    if (expect && !is_old && strcasecmp(expect, "100-continue") != 0)
        http_refuse(w->request, "expectation_failed",
                    "expected Expect: 100-continue, got \"%.60s\"", expect);
}

/* What clients send to proxies, RFC 9112 (3.2.2) wants taken from all: "http://HOST/path". */
static void check_target(struct http_exchange *x)
{
    static const char *const schemes[] = {"http://", "https://"};
    struct request *r = &x->request;
    char name[HTTP_HOST_SIZE];

    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        const char *host = r->path + strlen(schemes[i]);
        size_t len;

        if (strncasecmp(r->path, schemes[i], strlen(schemes[i])) != 0)
            continue;
        len = strcspn(host, "/");
        r->target_host = str_ndup(host, len);
        vec_push(&x->texts, r->target_host);
        r->path = host[len] ? host + len : "/";
        if (!http_host_name(r->target_host, name))
            http_refuse(r, "bad_request", "expected an address %sNAME/ or %sNAME:PORT/, got %.60s",
                        schemes[i], schemes[i], r->target_host);
        return;
    }
}

/* As the client calls it, if that can stand in a log; else by a number that no other request has. */
static void name_request(struct http_exchange *x, const char *given)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    struct request *r = &x->request;
    const size_t len = given ? strlen(given) : 0;

    if (len && len < sizeof(r->id) && strspn(given, plain) == len)
        memcpy(r->id, given, len + 1);
    else
        snprintf(r->id, sizeof(r->id), "%016" PRIx64, x->http->next_id++);
}

/* From the method to the empty line. */
static size_t header_bytes(const struct http_exchange *x)
{
    return MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)
        ->header_size;
}

void http_check(struct http_exchange *x, const char *version)
{
    struct request *r = &x->request;
    struct walk parameters = {.request = r, .bytes = strlen(r->path)}, headers = {.request = r};
    const bool is_old = strcmp(version, MHD_HTTP_VERSION_1_0) == 0;

    parameters.end = r->path + strlen(r->path);
    headers.end = version + strlen(version);
    check_target(x);
    MHD_get_connection_values(x->connection, MHD_GET_ARGUMENT_KIND, on_parameter, &parameters);
    check_rest(&parameters, version);
    MHD_get_connection_values(x->connection, MHD_HEADER_KIND, on_header, &headers);
    check_rest(&headers, r->method + header_bytes(x));
    name_request(x, headers.lines[LINE_REQUEST_ID].value);
    check_single(&headers);
    check_coding(&headers);
    check_framing(&headers, is_old);
    check_expectation(&headers, is_old);
    if (x->conn->surplus)
        http_refuse(r, "too_many_connections", "there are too many connections from your address");
    else if (parameters.bytes > HTTP_URI_MAX)
        http_refuse(r, "uri_too_long", "an address may have at most %d bytes, got %zu",
                    HTTP_URI_MAX, parameters.bytes);
    else if (headers.bytes > HTTP_HEADERS_MAX)
        http_refuse(r, "headers_too_large", "headers may have at most %d bytes, got %zu",
                    HTTP_HEADERS_MAX, headers.bytes);
}
