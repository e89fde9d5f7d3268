/* Entity tags (RFC 9110, 8.8.3). All of ours are strong: other bytes have another tag. */
#ifndef DAEMON_ETAG_H
#define DAEMON_ETAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

enum {
    ETAG_SIZE = 80
};

/* Of bytes at hand, by their hash: the same after a restart, and by whatever way they came about. */
void etag_of_bytes(const void *data, size_t len, char out[ETAG_SIZE]);
/* Of bytes that show more than can be changed: the first half is that of `state`, the second that of the bytes. */
void etag_of_state(const char *state, const void *data, size_t len, char out[ETAG_SIZE]);
/* Of a list, told apart by `query`, that changes only when the number does; from another run of the program, told
 * apart by `run`, it has another tag. */
void etag_of_revision(int64_t run, uint64_t revision, const char *query, char out[ETAG_SIZE]);
/* Of a file, by inode, size and time of change. False when the file has changed so lately that another
 * change might leave no trace in its times: then it has no tag yet. */
bool etag_of_file(const struct stat *st, int64_t wall_ms, char out[ETAG_SIZE]);

/* Whether If-None-Match (a list of tags, or *) names the tag; W/ makes no difference there. */
bool etag_listed(const char *text, size_t len, const char *etag);

/* Whether If-Match (a list of tags, or *) names one of the same state; weak ones never do. */
bool etag_matches(const char *text, size_t len, const char *etag);

#endif
