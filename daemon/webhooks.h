/* Webhooks: addresses that are told when a job changes its state. What is to be told is written in the
 * transaction of the change (an outbox), so that no change is told that did not happen, and none that happened is
 * forgotten; it is delivered at least once, and each message has an id by which a receiver knows it again. */
#ifndef DAEMON_WEBHOOKS_H
#define DAEMON_WEBHOOKS_H

#include "daemon/daemon.h"
#include "daemon/secret.h"

enum {
    WEBHOOK_KEY_BYTES = 32,
    WEBHOOK_ID_SIZE = 20, /* "wh_", 16 hexadecimal digits, and the NUL */
    WEBHOOK_TRIES = 35    /* of a message, over about a day */
};

struct webhook {
    int64_t seq; /* order of registration; 0: there is none */
    char id[WEBHOOK_ID_SIZE];
    char *url;
    struct json *states;      /* that it is told of: an array of names. NULL: its row is damaged */
    char secret[SECRET_SIZE]; /* the key of signatures in hexadecimal */
    char project[REF_NAME_SIZE]; /* it is told of no other's jobs; "": of all */
    bool enabled;
    char *failure; /* why the daemon disabled it; NULL */
    int64_t created_ms;
    int64_t pending; /* messages that wait; only read */
};

void webhook_fini(struct webhook *w);

/* Sets seq, id and secret. */
bool webhook_add(struct store *s, struct webhook *w, struct error *err);
/* url, states, enabled and failure. */
bool webhook_update(struct store *s, const struct webhook *w, struct error *err);
/* With its messages. */
bool webhook_remove(struct store *s, const struct webhook *w, struct error *err);
/* ERR_NOT_FOUND, by webhook_missing. */
bool webhook_find(struct store *s, const char *id, struct webhook *out, struct error *err);
bool webhook_missing(const char *id, struct error *err);
bool webhook_of(struct store *s, int64_t seq, struct webhook *out, struct error *err);
/* At most `limit` that came before `before` (0: all), newest first. project: only this one's; NULL: all. */
bool webhooks_page(struct store *s, const char *project, int64_t before, int64_t limit,
                   void (*fn)(const struct webhook *w, void *arg), void *arg, struct error *err);
/* The API's Webhook, without its secret. */
struct json *webhook_json(const struct webhook *w);
/* Of its signatures. */
void webhook_key(const struct webhook *w, unsigned char key[WEBHOOK_KEY_BYTES]);
/* The key as receivers are given it: "whsec_" and base64. free() */
char *webhook_secret_text(const struct webhook *w);

struct delivery {
    int64_t id;
    int64_t webhook; /* its seq */
    int64_t event;   /* id of the change in the job's history; 0: a test */
    const char *job, *type, *body;
    const char *state; /* pending, delivered or dead */
    int64_t tries, created_ms, next_ms, done_ms;
    int64_t status;      /* of the last answer; 0: there was none */
    const char *message; /* what went wrong last */
};
typedef void (*delivery_fn)(const struct delivery *m, void *arg);

/* Whether there is one that may be told of something. */
bool deliveries_wanted(struct store *s, bool *out, struct error *err);
/* A message for each webhook that is told of this state. Belongs into the transaction that stores the change. */
bool deliveries_note(struct store *s, const struct job *j, uint64_t event, int64_t now_ms,
                     struct error *err);
/* A message of no job; whatever states the webhook is told of. */
bool delivery_test(struct store *s, const struct webhook *w, int64_t now_ms, struct error *err);
/* Of each webhook that is enabled the message that comes first, if it is due. */
bool deliveries_due(struct store *s, int64_t now_ms, delivery_fn fn, void *arg, struct error *err);
/* When the next of those firsts that are not due yet will be; INT64_MAX: there is none. */
int64_t deliveries_next_ms(struct store *s, int64_t now_ms);
/* After a try: state, tries, next_ms, done_ms, status, message. */
bool delivery_update(struct store *s, const struct delivery *m, struct error *err);
/* ERR_NOT_FOUND */
bool delivery_again(struct store *s, const struct webhook *w, int64_t id, int64_t now_ms,
                    struct error *err);
bool deliveries_page(struct store *s, const struct webhook *w, int64_t before, int64_t limit,
                     delivery_fn fn, void *arg, struct error *err);
/* Those that came to their end before then. */
bool deliveries_forget(struct store *s, int64_t before_ms, struct error *err);
struct json *delivery_json(const struct delivery *m);

/* How long after the try of that number, counted from 1, the next one follows: a second, doubled up to an hour,
 * and a fifth of it more or less, by the seed; no sooner than the receiver has asked for (wait_s), up to an hour. */
int64_t delivery_delay_ms(int64_t tries, int64_t wait_s, uint64_t seed);

#endif
