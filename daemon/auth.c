#include "daemon/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/secret.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

#define COOKIE "distilld_session"

enum {
    SESSION_S = 30 * 24 * 3600,
    HOST_MAX = 256
};

/* The name in "name", "name:port" or "[address]:port". */
static bool host_name(const char *header, char name[HOST_MAX])
{
    const char *start = header, *end;

    if (*header == '[') {
        start++;
        end = strchr(start, ']');
    } else {
        end = start + strcspn(start, ":");
    }
    if (!end || end == start || end - start >= HOST_MAX)
        return false;
    memcpy(name, start, (size_t)(end - start));
    name[end - start] = '\0';
    return true;
}

static bool host_allowed(const struct daemon *d, const char *header)
{
    static const char *const loopback[] = {"127.0.0.1", "localhost", "::1"};
    char name[HOST_MAX];

    if (!header || !host_name(header, name))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(loopback); i++)
        if (strcmp(name, loopback[i]) == 0)
            return true;
    for (size_t i = 0; i < d->settings.hosts.n; i++)
        if (strcmp(name, d->settings.hosts.at[i]) == 0)
            return true;
    return false;
}

static bool has_token(const struct daemon *d, const struct request *r)
{
    static const char scheme[] = "Bearer ";
    const char *header = http_header(r, "Authorization");

    return header && str_starts(header, scheme) && secret_equal(header + strlen(scheme), d->token);
}

static bool has_session(const struct daemon *d, const struct request *r)
{
    const char *header = http_header(r, "Cookie"), *at;
    char value[SECRET_SIZE], hex[SHA256_HEX];
    size_t n;

    for (at = header; at; at = strchr(at, ';')) {
        at += strspn(at, "; ");
        if (!str_starts(at, COOKIE "="))
            continue;
        at += strlen(COOKIE "=");
        n = strcspn(at, "; ");
        if (n >= sizeof(value))
            return false;
        memcpy(value, at, n);
        value[n] = '\0';
        sha256_of(value, n, hex);
        return store_session_valid(d->store, hex, clock_wall_ms());
    }
    return false;
}

bool auth_check(struct daemon *d, const struct request *r, enum access access, struct error *err)
{
    const char *host = http_header(r, "Host");

    if (!host_allowed(d, host))
        return err_set(err, ERR_FORBIDDEN, "this daemon does not answer for the host \"%.200s\"",
                       host ? host : "");
    if (access == ACCESS_PUBLIC || has_token(d, r))
        return true;
    if (access == ACCESS_TOKEN || !has_session(d, r))
        return err_set(err, ERR_UNAUTHORIZED, "a valid access token is needed");
    if (access == ACCESS_READ || http_header(r, AUTH_PAGE_HEADER))
        return true;
    return err_set(err, ERR_FORBIDDEN, "a browser session changes nothing without the header %s",
                   AUTH_PAGE_HEADER);
}

char *auth_open_session(struct daemon *d, struct error *err)
{
    char secret[SECRET_SIZE], hex[SHA256_HEX];
    int64_t now = clock_wall_ms();

    secret_new("dws_", secret);
    sha256_of(secret, strlen(secret), hex);
    if (!store_session_add(d->store, hex, now, now + SESSION_S * INT64_C(1000), err))
        return NULL;
    return str_fmt(COOKIE "=%s; Path=/; Max-Age=%d; HttpOnly; SameSite=Strict", secret, SESSION_S);
}
