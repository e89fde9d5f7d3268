/* Pages of a list by the key of their last row: a page does not shift when rows are added. */
#ifndef DAEMON_PAGE_H
#define DAEMON_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"

enum {
    PAGE_TOKEN_SIZE = 40
};

/* The token of the page that follows row `seq` in the list that `filter` describes. It is good for that
 * list only, and nobody can make one up who does not know the secret. */
void page_token(const char *secret, const char *filter, int64_t seq, char out[PAGE_TOKEN_SIZE]);
bool page_token_read(const char *secret, const char *filter, const char *token, int64_t *seq);

/* &name=value, percent-encoded; nothing for a NULL value. */
void page_add_parameter(struct buf *b, const char *name, const char *value);

#endif
