#include "daemon/limits.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/limiter.h"
#include "daemon/problem.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"

enum {
    RATE = 100,  /* requests a second, where no option says otherwise */
    BURST_S = 4, /* seconds of the rate that may come at once */
    MINUTE_S = 60
};

struct limits {
    struct limit_set set;
    struct limiter *addresses, *tokens, *failures; /* failures NULL: no limit */
};

struct limits *limits_new(const struct limit_set *set)
{
    struct limits *l = NEW(struct limits);

    l->set = *set;
    l->addresses = limiter_new(set->address.rate, set->address.burst);
    l->tokens = limiter_new(set->token.rate, set->token.burst);
    if (set->failure.rate > 0)
        l->failures = limiter_new(set->failure.rate, set->failure.burst);
    return l;
}

struct limits *limits_open(const struct settings *s)
{
    double rate = s->requests_per_second ? (double)s->requests_per_second : RATE;
    double failures = (double)s->auth_failures;
    const struct limit requests = {rate, BURST_S * rate};

    return limits_new(&(struct limit_set){.address = requests,
                                          .token = requests,
                                          .failure = {failures / MINUTE_S, failures},
                                          .all = s->requests_per_second != 0});
}

void limits_close(struct limits *l)
{
    if (!l)
        return;
    limiter_free(l->addresses);
    limiter_free(l->tokens);
    limiter_free(l->failures);
    free(l);
}

static bool refuse(struct request *r, double wait_s, const char *what, const char *whose)
{
    const int64_t seconds = (int64_t)fmax(1, ceil(wait_s));

    problem_reply_later(r, "rate_limited", seconds, "too many %s %s; ask again in %" PRId64 " s",
                        what, whose, seconds);
    return false;
}

/* The quota is what may come at once, and the window the time in which it comes back. */
static void tell(struct request *r, const char *name, const struct limit *limit, double left,
                 double full_s)
{
    char text[96];

    snprintf(text, sizeof(text), "\"%s\";q=%.0f;w=%.0f", name, floor(limit->burst),
             ceil(limit->burst / limit->rate));
    http_add_header(r, "RateLimit-Policy", text);
    snprintf(text, sizeof(text), "\"%s\";r=%.0f;t=%.0f", name, floor(left), ceil(full_s));
    http_add_header(r, "RateLimit", text);
}

/* Takes one of a limit, and says what is left. */
static bool admit(struct request *r, const char *name, const struct limit *limit, struct limiter *l,
                  const char *key, const char *what)
{
    const double now = clock_mono_s();
    double wait, left, full;
    bool ok = limiter_take(l, key, now, &wait);

    left = limiter_left(l, key, now, &full);
    tell(r, name, limit, left, full);
    return ok || refuse(r, wait, what, key);
}

static bool is_local(const struct request *r)
{
    uid_t uid;

    return http_local(r, &uid);
}

bool limits_admit_address(struct daemon *d, struct request *r)
{
    struct limits *l = d->limits;
    char network[HTTP_PEER_SIZE];
    double now = clock_mono_s(), wait;
    bool loopback;

    if (!l || is_local(r))
        return true;
    loopback = http_network(r, network);
    if (l->failures && !limiter_has(l->failures, network, now, &wait))
        return refuse(r, wait, "wrong tokens from", network);
    return (loopback && !l->set.all) ||
           admit(r, "address", &l->set.address, l->addresses, network, "requests from");
}

bool limits_admit_caller(struct daemon *d, struct request *r)
{
    struct limits *l = d->limits;

    if (!l || r->caller.local || !r->caller.id[0] ||
        (!l->set.all && strcmp(r->caller.id, TOKEN_ROOT) == 0))
        return true;
    return admit(r, "token", &l->set.token, l->tokens, r->caller.id, "requests with the token");
}

void limits_note_failure(struct daemon *d, struct request *r)
{
    struct limits *l = d->limits;
    char network[HTTP_PEER_SIZE];
    double wait;

    if (!l || !l->failures || is_local(r) ||
        (!http_header(r, "Authorization") && !http_header(r, "Cookie")))
        return;
    http_network(r, network);
    limiter_take(l->failures, network, clock_mono_s(), &wait);
}
