/* Access tokens beside that of STATE/token: "dst_ID_SECRET", each with a scope, a name and an end. The state
 * holds the hash of the secret only. */
#ifndef DAEMON_TOKENS_H
#define DAEMON_TOKENS_H

#include "daemon/daemon.h"
#include "daemon/secret.h"

enum {
    TOKEN_NAME_MAX = 64,
    TOKEN_DEFAULT_S = 90 * 24 * 3600,
    TOKEN_LONGEST_S = 365 * 24 * 3600,
    TOKEN_OVERLAP_MAX_S = 7 * 24 * 3600
};

struct token {
    int64_t seq;
    char id[TOKEN_ID_SIZE], name[TOKEN_NAME_MAX + 1];
    enum scope scope;
    char project[REF_NAME_SIZE]; /* "": it is for all */
    int64_t created_ms, expires_ms;
    int64_t used_ms, revoked_ms; /* 0: never */
    int64_t overlap_ms;          /* until then the secret before the present one works too */
};

/* The daemon's memory of what it has not written yet, and the timer that does. */
struct tokens;
struct tokens *tokens_open(struct daemon *d);
/* Writes what is left; before the loop's last turn. NULL is fine. */
void tokens_close(struct daemon *d);

/* What the text of a bearer token allows; fills `who`. ERR_UNAUTHORIZED. */
bool token_check(struct daemon *d, const char *text, struct caller *who, struct error *err);
/* Whether what was found out about `who` still holds. For what goes on for long, which is asked again soon
 * after that may have changed (daemon_wake_streams). */
bool token_holds(struct daemon *d, struct caller *who);

/* Sets id, seq and created_ms, and writes the secret, which is known nowhere else. */
bool token_add(struct daemon *d, struct token *t, char secret[SECRET_SIZE], struct error *err);
bool token_find(struct daemon *d, const char *id, struct token *out, struct error *err);
/* The same again is fine. */
bool token_revoke(struct daemon *d, struct token *t, struct error *err);
/* Another secret; the present one works for overlap_s more. ERR_CONFLICT when the token is over. */
bool token_rotate(struct daemon *d, struct token *t, int64_t overlap_s, char secret[SECRET_SIZE],
                  struct error *err);
/* At most `limit` of those before `before` (0: all), newest first. */
bool tokens_page(struct daemon *d, int64_t before, int64_t limit,
                 void (*fn)(const struct token *t, void *arg), void *arg, struct error *err);

struct json *token_json(const struct token *t, int64_t now_ms);

/* Sessions of browsers, by the hash of their cookie. One ends with its time, and with the secret for which it was
 * given. A new one makes those forgotten that are over. */
bool session_add(struct daemon *d, const char *sha256, const struct caller *who, int64_t expires_ms,
                 struct error *err);
bool session_check(struct daemon *d, const char *sha256, struct caller *who);
/* That of the caller, and what was opened with it. */
bool session_end(struct daemon *d, const struct caller *who, struct error *err);

#endif
