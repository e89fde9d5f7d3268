/* A page of a list (page.h) as an answer: {"items", "next_page_token"} and Link: rel="next". */
#ifndef DAEMON_LISTING_H
#define DAEMON_LISTING_H

#include "daemon/daemon.h"
#include "daemon/etag.h"
#include "proto/base/jw.h"

struct listing {
    struct buf text;
    struct jw items;
    size_t n, limit; /* ask for limit + 1 rows: the last tells that there are more */
    int64_t before;  /* where the page begins; 0: at the first row */
    int64_t last;
    bool more;
    char etag[ETAG_SIZE]; /* "": by the bytes of the answer */
};

/* Reads page_size and page_token. query: the list's own parameters, as page_add_parameter makes them.
 * False when the answer was given. */
bool listing_begin(struct daemon *d, struct request *r, const char *query, struct listing *l);
/* Makes the answer carry a tag that stands for the state of all jobs, and gives it at once to a client that has the
 * page already: false, and the list is dropped. After listing_begin. */
bool listing_of_jobs(struct daemon *d, struct request *r, const char *query, struct listing *l);
/* True while there is room for a row, which listing_add then takes. */
bool listing_has_room(struct listing *l);
void listing_add(struct listing *l, int64_t seq, struct json *take_item);
/* The same for a row that is written into what this returns. */
struct jw *listing_write(struct listing *l, int64_t seq);
/* path: of the list. */
void listing_reply(struct daemon *d, struct request *r, struct listing *l, const char *path,
                   const char *query);
/* The same in two steps, between which the answer gets members of its own: in what the first one returns. */
struct jw *listing_end(struct daemon *d, struct request *r, struct listing *l, const char *path,
                       const char *query);
void listing_send(struct daemon *d, struct request *r, struct listing *l);
void listing_drop(struct listing *l);

#endif
