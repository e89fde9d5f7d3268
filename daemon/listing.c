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
    l->text = buf_new(0);
    l->items = jw_new(&l->text);
    jw_begin_object(&l->items, NULL);
    jw_begin_array(&l->items, "items");
    return true;
}

bool listing_of_jobs(struct daemon *d, struct request *r, const char *query, struct listing *l)
{
    const char *size = http_query(r, "page_size"), *token = http_query(r, "page_token");
    char *page =
        str_fmt("%s\n%s\n%s\n%s", query, size ? size : "", token ? token : "", r->caller.project);

    etag_of_revision(d->started_ms, events_next_id(d->events) + d->untold, page, l->etag);
    free(page);
    if (!reply_if_known(r, &d->lists, l->etag))
        return true;
    listing_drop(l);
    return false;
}

bool listing_has_room(struct listing *l)
{
    l->more = l->n == l->limit;
    return !l->more;
}

struct jw *listing_write(struct listing *l, int64_t seq)
{
    l->last = seq;
    l->n++;
    return &l->items;
}

void listing_add(struct listing *l, int64_t seq, struct json *take_item)
{
    char *text = js_text(take_item, JS_COMPACT);

    jw_json(listing_write(l, seq), NULL, text);
    free(text);
    js_free(take_item);
}

struct jw *listing_end(struct daemon *d, struct request *r, struct listing *l, const char *path,
                       const char *query)
{
    char token[PAGE_TOKEN_SIZE];

    jw_end_array(&l->items);
    if (l->more) {
        char *link;

        page_token(d->token, query, l->last, token);
        link = str_fmt("<%s?page_size=%zu&page_token=%s%s>; rel=\"next\"", path, l->limit, token,
                       query);
        http_add_header(r, "Link", link);
        free(link);
    }
    jw_string(&l->items, "next_page_token", l->more ? token : NULL);
    return &l->items;
}

void listing_send(struct daemon *d, struct request *r, struct listing *l)
{
    jw_end_object(&l->items);
    if (l->etag[0])
        reply_tagged_text(r, &d->lists, l->etag, buf_take(&l->text));
    else
        reply_json_text(r, 200, buf_take(&l->text));
}

void listing_reply(struct daemon *d, struct request *r, struct listing *l, const char *path,
                   const char *query)
{
    listing_end(d, r, l, path, query);
    listing_send(d, r, l);
}

void listing_drop(struct listing *l)
{
    buf_free(&l->text);
}
