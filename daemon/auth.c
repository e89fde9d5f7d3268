#include "daemon/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "daemon/secret.h"
#include "daemon/tokens.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

#define COOKIE "distilld_session"

enum {
    SESSION_S = 30 * 24 * 3600
};

static bool host_allowed(const struct daemon *d, const char *header)
{
    static const char *const loopback[] = {"127.0.0.1", "localhost", "::1"};
    char name[HTTP_HOST_SIZE];

    if (!header || !http_host_name(header, name))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(loopback); i++)
        if (strcasecmp(name, loopback[i]) == 0)
            return true;
    for (size_t i = 0; i < d->settings.hosts.n; i++)
        if (strcasecmp(name, d->settings.hosts.at[i]) == 0)
            return true;
    return false;
}

static const char *bearer(const struct request *r)
{
    static const char scheme[] = "Bearer ";
    const char *header = http_header(r, "Authorization");

    return header && strncasecmp(header, scheme, strlen(scheme)) == 0 ? header + strlen(scheme)
                                                                      : NULL;
}

/* The value of a session's cookie, or NULL. Which port stands in its name makes no difference. */
static const char *session_value(const char *cookie)
{
    if (!str_starts(cookie, COOKIE))
        return NULL;
    cookie += strlen(COOKIE);
    if (*cookie == '_')
        cookie += 1 + strspn(cookie + 1, "0123456789");
    return *cookie == '=' ? cookie + 1 : NULL;
}

/* Of several cookies one that is good will do: others may be those of a daemon that is no more. */
static bool has_session(struct daemon *d, const struct request *r, struct caller *who)
{
    char value[SECRET_SIZE], hex[SHA256_HEX];
    const char *at, *start;

    for (at = http_header(r, "Cookie"); at; at = strchr(at, ';')) {
        at += strspn(at, "; ");
        start = session_value(at);
        if (!start || strcspn(start, "; ") >= sizeof(value))
            continue;
        snprintf(value, sizeof(value), "%.*s", (int)strcspn(start, "; "), start);
        sha256_of(value, strlen(value), hex);
        if (session_check(d, hex, who))
            return true;
    }
    return false;
}

/* By the UNIX socket the kernel says who it is. */
static bool identify_local(uid_t uid, struct caller *who, struct error *err)
{
    uid_t own = geteuid();

    if (uid != 0 && uid != own)
        return err_set(err, ERR_FORBIDDEN,
                       "by the UNIX socket only root and user %lu ask without a token, not user "
                       "%lu",
                       (unsigned long)own, (unsigned long)uid);
    *who = (struct caller){.scope = SCOPE_ADMIN, .local = true, .expires_ms = INT64_MAX};
    snprintf(who->id, sizeof(who->id), "uid:%lu", (unsigned long)uid);
    return true;
}

/* Who asks. A token that is shown counts, and nothing beside it. */
static bool identify(struct daemon *d, const struct request *r, struct caller *who,
                     struct error *err)
{
    const char *token = bearer(r);
    uid_t uid;

    if (token)
        return token_check(d, token, who, err);
    if (http_local(r, &uid))
        return identify_local(uid, who, err);
    if (!has_session(d, r, who))
        return err_set(err, ERR_UNAUTHORIZED, "a valid access token is needed");
    if (who->scope > SCOPE_OPERATE)
        who->scope = SCOPE_OPERATE;
    return true;
}

static bool is_reading(const struct request *r)
{
    return strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;
}

/* Of the accesses that ask for one. */
static enum scope scope_of(enum access access)
{
    static const enum scope scopes[] = {
        [ACCESS_READ] = SCOPE_READ,       [ACCESS_SUBMIT] = SCOPE_SUBMIT,
        [ACCESS_OPERATE] = SCOPE_OPERATE, [ACCESS_ADMIN] = SCOPE_ADMIN,
        [ACCESS_TOKEN] = SCOPE_READ,
    };

    return scopes[access];
}

static bool may(const struct request *r, enum access access, struct error *err)
{
    const struct caller *who = &r->caller;
    enum scope needed = scope_of(access);

    if (who->scope < needed)
        return err_set(err, ERR_FORBIDDEN, "this needs the scope %s; %s %s has %s",
                       scope_name(needed), who->session ? "the session for" : "the token", who->id,
                       scope_name(who->scope));
    return !who->session || is_reading(r) || http_header(r, AUTH_PAGE_HEADER) ||
           err_set(err, ERR_FORBIDDEN, "a browser session changes nothing without the header %s",
                   AUTH_PAGE_HEADER);
}

bool auth_check(struct daemon *d, struct request *r, enum access access, struct error *err)
{
    const char *host = http_header(r, "Host");

    if (r->target_host && host_allowed(d, host))
        host = r->target_host; /* both must be ours */
    if (!host_allowed(d, host))
        return err_set(err, ERR_FORBIDDEN, "this daemon does not answer for the host \"%.200s\"",
                       host ? host : "");
    if (access == ACCESS_PUBLIC)
        return true;
    if (access == ACCESS_TOKEN && !bearer(r))
        return err_set(err, ERR_UNAUTHORIZED, "a valid access token is needed");
    return identify(d, r, &r->caller, err) && may(r, access, err);
}

/* The port as the browser has it in the address, or "". It keeps cookies by name and host alone, so that two daemons on one
 * host, or behind two tunnels, would take each other's place. */
static const char *port_of(const struct request *r)
{
    const char *host = r->target_host ? r->target_host : http_header(r, "Host");
    const char *colon = host ? strrchr(host, ':') : NULL;

    return colon && colon[1] && !colon[1 + strspn(colon + 1, "0123456789")] ? colon + 1 : "";
}

/* The line of Set-Cookie. */
static char *cookie(const struct daemon *d, const struct request *r, const char *value, int seconds)
{
    const char *port = port_of(r);

    return str_fmt(COOKIE "%s%s=%s; Path=/; Max-Age=%d; HttpOnly; SameSite=Strict%s",
                   *port ? "_" : "", port, value, seconds,
                   d->settings.tls_certificate ? "; Secure" : "");
}

char *auth_open_session(struct daemon *d, const struct request *r, struct error *err)
{
    char secret[SECRET_SIZE], hex[SHA256_HEX];
    int64_t ends = clock_wall_ms() + SESSION_S * INT64_C(1000);

    secret_new("dws_", secret);
    sha256_of(secret, strlen(secret), hex);
    if (!session_add(d, hex, &r->caller, ends, err))
        return NULL;
    return cookie(d, r, secret, SESSION_S);
}

char *auth_end_session(struct daemon *d, const struct request *r, struct error *err)
{
    if (!r->caller.session) {
        err_set(err, ERR_INVALID, "expected the cookie of a session, got none that counts");
        return NULL;
    }
    return session_end(d, &r->caller, err) ? cookie(d, r, "", 0) : NULL;
}
