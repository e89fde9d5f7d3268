/* What every command gets: the global options, the two terminals, the server. */
#ifndef CLIENT_CTL_H
#define CLIENT_CTL_H

#include "client/http.h"
#include "client/out.h"
#include "proto/base/opt.h"
#include "proto/wire/problems.h"

struct ctl {
    /* global options */
    const char *server, *token_file, *state, *ca;
    bool json, help, version;

    struct term out, err;
    char *base;          /* the server's address, once ctl_http was called */
    char *token;         /* NULL: none, or not needed so far */
    struct http *http;   /* once ctl_http was called */
    struct json *errors; /* [{"pointer","detail"}]: what is wrong with a spec */
    struct json *lines;  /* {pointer: line} of a spec that was YAML */
};

/* A command is a row. Its options are parsed into a zeroed block of `size` bytes. */
struct command {
    const char *name;
    const char *summary; /* one line */
    const char *text;    /* what else its help says; may be NULL */
    const struct opt *rows;
    size_t n_rows, size;
    bool (*run)(struct ctl *c, const void *opts, struct error *err);
};

extern const struct opt ctl_options[];
extern const size_t ctl_n_options;

void ctl_fini(struct ctl *c);
/* Finds address and token (options, environment, state folder); NULL when that failed. */
struct http *ctl_http(struct ctl *c, struct error *err);
/* The access token, also where the connection does without it; NULL with err, or when there is none. */
const char *ctl_token(struct ctl *c, struct error *err);
/* Forgets the connection, so that the address is looked up again: a daemon that has restarted may listen
 * on another port. */
void ctl_renew(struct ctl *c);
/* http_call to that server; keeps the list of errors of a refusal in c->errors. */
struct json *ctl_call(struct ctl *c, const char *method, const char *path, const struct json *body,
                      struct error *err);
/* Any request to it, as by http_ask. */
struct json *ctl_ask(struct ctl *c, struct http_request *r, struct error *err);
/* {"items": [...]} of all pages of a list. */
struct json *ctl_list(struct ctl *c, const char *path, struct error *err);
/* Prints all items of a list: as a table with a row for each, or as JSON where that was asked for. */
bool ctl_print_list(struct ctl *c, const char *path, struct out_table table,
                    void (*row)(struct out_table *t, const struct json *item), struct error *err);
/* ctl_call for /api/v1/jobs/ID + rest. */
struct json *ctl_job(struct ctl *c, const char *method, const char *id, const char *rest,
                     struct error *err);
/* Keeps the problems as c->errors, if there are any; true when there were none. */
bool ctl_no_problems(struct ctl *c, const struct problems *p, struct error *err);

#endif
