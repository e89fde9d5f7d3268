#include "daemon/courier.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/audit.h"
#include "daemon/netblock.h"
#include "daemon/post.h"
#include "daemon/webhooks.h"
#include "proto/base/clock.h"
#include "proto/base/hmac.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

enum {
    AT_ONCE = 16,
    KEPT_MS = 7 * 24 * 3600 * 1000,
    REST_MS = 1000, /* when the state cannot be written: what was sent would go out again at once */
    FORBIDDEN = 403,
    GONE = 410,
    BUSY = 429,
    AWAY = 503
};

/* A message under way. */
struct errand {
    struct daemon *d;
    struct delivery m; /* without its texts; m.webhook 0: there is none */
    char webhook[WEBHOOK_ID_SIZE];
};

struct courier {
    struct posts *posts;
    uv_timer_t timer;
    VEC(struct netblock) allowed; /* although they are not public */
    struct errand errands[AT_ONCE];
    uint64_t rests_until; /* of the loop's clock: nothing is sent before */
};

static bool may_reach(const struct sockaddr *a, void *daemon, struct error *err)
{
    const struct courier *c = ((const struct daemon *)daemon)->courier;
    char text[NETBLOCK_TEXT];

    if (address_is_public(a))
        return true;
    for (size_t i = 0; i < c->allowed.n; i++)
        if (netblock_has(&c->allowed.at[i], a))
            return true;
    return err_set(err, ERR_FORBIDDEN,
                   "%s is not a public address; `distilld --webhook-network %s` would allow it",
                   address_text(a, text), text);
}

/* -- The end of a message -------------------------------------------------------------------------- */

static bool disable(struct daemon *d, const char *id, struct error *err)
{
    struct webhook w;
    bool ok;

    if (!webhook_find(d->store, id, &w, err))
        return err->code == ERR_NOT_FOUND;
    w.enabled = false;
    free(w.failure);
    w.failure = str_dup("its receiver answered 410 Gone");
    ok = webhook_update(d->store, &w, err);
    webhook_fini(&w);
    return ok;
}

static void judge(struct delivery *m, int status, int64_t wait_s, const char *message)
{
    int64_t now = clock_wall_ms();
    bool well = status >= 200 && status < 300, later = status == BUSY || status == AWAY;
    uint64_t seed;

    secret_bytes(&seed, sizeof(seed));
    m->tries++;
    m->status = status;
    m->message = well ? "" : message;
    m->state = well                                          ? "delivered"
               : status == GONE || m->tries >= WEBHOOK_TRIES ? "dead"
                                                             : "pending";
    m->done_ms = strcmp(m->state, "pending") == 0 ? 0 : now;
    m->next_ms = now + delivery_delay_ms(m->tries, later ? wait_s : 0, seed);
}

/* An attempt at reaching what is out of bounds, once for each message. */
static bool note_blocked(struct daemon *d, const struct errand *e, const struct error *why,
                         struct error *err)
{
    char *path = str_fmt("/api/v1/webhooks/%s", e->webhook), *what;
    bool ok;

    what = str_fmt("%.*s", (int)strcspn(why->msg, ";"), why->msg);
    ok = audit_own(d, "POST", path, FORBIDDEN, what, err);
    free(what);
    free(path);
    return ok;
}

static void on_done(int status, int64_t wait_s, const struct error *why, void *arg)
{
    struct errand *e = arg;
    struct daemon *d = e->d;
    struct error err;
    bool blocked;

    judge(&e->m, status, wait_s, why->msg);
    blocked = status == 0 && why->code == ERR_FORBIDDEN && e->m.tries == 1;
    /* What cannot be stored is delivered again. */
    if (!store_begin(d->store, &err) || !delivery_update(d->store, &e->m, &err) ||
        (blocked && !note_blocked(d, e, why, &err)) ||
        (status == GONE && !disable(d, e->webhook, &err)) || !store_commit(d->store, &err)) {
        store_rollback(d->store);
        log_error("a delivery is not recorded webhook=%s error=\"%s\"", e->webhook, err.msg);
        d->courier->rests_until = uv_now(&d->loop) + REST_MS;
    }
    if (strcmp(e->m.state, "delivered") != 0)
        log_warn("not delivered webhook=%s message=%" PRId64 " try=%" PRId64 " state=%s status=%d "
                 "error=\"%.200s\"",
                 e->webhook, e->m.id, e->m.tries, e->m.state, status, why->msg);
    e->m.webhook = 0;
    courier_soon(d);
}

/* -- Sending --------------------------------------------------------------------------------------- */

/* https://www.standardwebhooks.com: "v1," and the HMAC of ID.TIME.BODY in base64. */
static char *signature(const struct webhook *w, const char *id, int64_t time_s, const char *body)
{
    char *text = str_fmt("%s.%" PRId64 ".%s", id, time_s, body), *header;
    unsigned char key[WEBHOOK_KEY_BYTES], sum[SHA256_BYTES];
    char sum_text[BASE64_SIZE(sizeof(sum))];

    webhook_key(w, key);
    hmac_sha256(key, sizeof(key), text, strlen(text), sum);
    header = str_fmt("webhook-signature: v1,%s", base64(sum, sizeof(sum), sum_text));
    free(text);
    return header;
}

static void send_signed(struct daemon *d, const struct webhook *w, const struct delivery *m,
                        struct errand *e)
{
    const int64_t time_s = clock_wall_ms() / 1000;
    char *id = str_fmt("msg_%" PRId64, m->id);
    char *headers[] = {str_fmt("webhook-id: %s", id),
                       str_fmt("webhook-timestamp: %" PRId64, time_s),
                       signature(w, id, time_s, m->body)};
    const struct post post = {.url = w->url,
                              .headers = (const char *const *)headers,
                              .n_headers = ARRAY_LEN(headers),
                              .body = m->body};
    struct error err;

    if (!post_send(d->courier->posts, &post, on_done, e, &err))
        on_done(0, 0, &err, e);
    for (size_t i = 0; i < ARRAY_LEN(headers); i++)
        free(headers[i]);
    free(id);
}

/* The errand for a webhook; of 0: a free one. NULL: there is none. */
static struct errand *errand_of(struct courier *c, int64_t webhook)
{
    for (size_t i = 0; i < AT_ONCE; i++)
        if (c->errands[i].m.webhook == webhook)
            return &c->errands[i];
    return NULL;
}

/* A message is copied for the time after the statement that reads it. */
struct due {
    struct delivery m;
    char *body;
};
typedef VEC(struct due) due_list;

static void add_due(const struct delivery *m, void *list)
{
    due_list *due = list;

    vec_push(due, (struct due){*m, str_dup(m->body)});
}

static void deliver(struct daemon *d, const struct due *due)
{
    struct errand *e = errand_of(d->courier, 0);
    struct delivery m = due->m;
    struct webhook w;
    struct error err;

    if (!e || errand_of(d->courier, m.webhook))
        return;
    if (!webhook_of(d->store, m.webhook, &w, &err)) {
        log_error("a message cannot be delivered error=\"%s\"", err.msg);
        return;
    }
    *e = (struct errand){.d = d, .m = m};
    snprintf(e->webhook, sizeof(e->webhook), "%s", w.id);
    m.body = due->body;
    send_signed(d, &w, &m, e);
    webhook_fini(&w);
}

static void pass(uv_timer_t *t)
{
    struct daemon *d = t->data;
    const uint64_t rests_until = d->courier->rests_until;
    const int64_t now = clock_wall_ms();
    due_list due = {0};
    struct error err;
    int64_t next;
    bool ok;

    if (uv_now(&d->loop) < rests_until) {
        uv_timer_start(t, pass, rests_until - uv_now(&d->loop), 0);
        return;
    }
    ok = deliveries_due(d->store, now, add_due, &due, &err);
    if (!ok)
        log_error("messages of webhooks cannot be read error=\"%s\"", err.msg);
    for (size_t i = 0; i < due.n; i++) {
        deliver(d, &due.at[i]);
        free(due.at[i].body);
    }
    vec_free(&due);
    next = ok ? deliveries_next_ms(d->store, now) : now + REST_MS;
    if (next != INT64_MAX)
        uv_timer_start(t, pass, (uint64_t)(next - now), 0);
}

void courier_soon(struct daemon *d)
{
    if (d->courier && !d->stopping)
        uv_timer_start(&d->courier->timer, pass, 0, 0);
}

void courier_expire(struct daemon *d)
{
    struct error err;

    if (!deliveries_forget(d->store, clock_wall_ms() - KEPT_MS, &err))
        log_warn("old deliveries are kept error=\"%s\"", err.msg);
}

/* -- Start and stop -------------------------------------------------------------------------------- */

bool courier_start(struct daemon *d, struct error *err)
{
    const opt_list *networks = &d->settings.webhook_networks;

    d->courier = NEW(struct courier);
    uv_timer_init(&d->loop, &d->courier->timer);
    d->courier->timer.data = d;
    d->courier->posts = posts_new(&d->loop, may_reach, d);
    for (size_t i = 0; i < networks->n; i++) {
        struct netblock b;

        if (!netblock_parse(networks->at[i], &b, err))
            return err_wrap(err, "--webhook-network");
        vec_push(&d->courier->allowed, b);
    }
    courier_soon(d);
    return true;
}

static void close_courier(uv_handle_t *timer)
{
    struct daemon *d = timer->data;

    vec_free(&d->courier->allowed);
    free(d->courier);
    d->courier = NULL;
}

void courier_stop(struct daemon *d)
{
    if (!d->courier)
        return;
    posts_free(d->courier->posts);
    uv_close((uv_handle_t *)&d->courier->timer, close_courier);
}
