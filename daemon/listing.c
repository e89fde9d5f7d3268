#include "daemon/listing.h"

#include <stdlib.h>

#include "daemon/api.h"
#include "daemon/page.h"
#include "daemon/problem.h"
#include "proto/base/str.h"

enum {
    PAGE_DEFAULT = 100,
    PAGE_MAX = 500
};

bool listing_begin(struct daemon *d, struct request *r, const char *query, struct listing *l)
{
    const char *token = http_query(r, "page_token");
    int64_t limit;

    *l = (struct listing){.before = 0};
    if (!api_number(r, "page_size", 1, PAGE_MAX, PAGE_DEFAULT, &limit))
        return false;
    if (token && !page_token_read(d->token, query, token, &l->before)) {
        problem_reply(r, "bad_request", NULL,
                      "page_token: expected the next_page_token of a page of the same list, got "
                      "\"%.60s\"",
                      token);
        return false;
    }
    l->limit = (size_t)limit;
    l->items = js_new_array();
    return true;
}

bool listing_has_room(struct listing *l)
{
    l->more = l->n == l->limit;
    return !l->more;
}

void listing_add(struct listing *l, int64_t seq, struct json *take_item)
{
    js_push(l->items, take_item);
    l->last = seq;
    l->n++;
}

void listing_reply(struct daemon *d, struct request *r, struct listing *l, const char *path,
                   const char *query)
{
    struct json *answer = js_new_object();
    char token[PAGE_TOKEN_SIZE];

    js_set(answer, "items", l->items);
    if (l->more) {
        char *link;

        page_token(d->token, query, l->last, token);
        link = str_fmt("<%s?page_size=%zu&page_token=%s%s>; rel=\"next\"", path, l->limit, token,
                       query);
        http_add_header(r, "Link", link);
        free(link);
    }
    js_set(answer, "next_page_token", l->more ? js_new_string(token) : js_new_null());
    reply_json(r, 200, answer);
}

void listing_drop(struct listing *l)
{
    js_free(l->items);
    l->items = NULL;
}
