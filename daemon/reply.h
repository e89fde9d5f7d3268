/* Answers with a body. What can be read again carries a strong entity tag, and a client that has the
 * body already is told so (If-None-Match: 304). */
#ifndef DAEMON_REPLY_H
#define DAEMON_REPLY_H

#include <sys/stat.h>

#include "daemon/etag.h"
#include "daemon/http.h"
#include "proto/base/json.h"

void reply_json(struct request *r, int status, struct json *take_body);
void reply_json_text(struct request *r, int status, char *take_text);
/* The same with a tag of the caller's, after a change too. */
void reply_json_etag(struct request *r, int status, const char *etag, char *take_text);
/* What can be changed, with a tag of what it is; `moves` are the members that change by themselves, which whoever decides
 * on a change need not have seen: it ends with NULL; NULL: none do. */
void reply_resource(struct request *r, int status, struct json *take_shown,
                    const char *const *moves);
/* False, and 412 was answered, where the request is to be carried out on another state than this one (RFC 9110, 13.1.1:
 * If-Match; 13.1.2: If-None-Match, mostly *). take_shown: what GET would show; NULL: there is none. */
bool reply_may_change(struct request *r, struct json *take_shown, const char *const *moves);
/* `type` as in the header; the bytes are copied. */
void reply_bytes(struct request *r, int status, const char *type, const void *data, size_t len);
/* Answers whose tag is known before they are made. Those of late are remembered, by tag and length (which 304 has to
 * tell), so that they need not be made again for a client that has them. */
struct reply_memory {
    struct {
        char etag[ETAG_SIZE];
        size_t len;
    } at[32];
    size_t next;
};
/* True when the client has it, and was told so. */
bool reply_if_known(struct request *r, const struct reply_memory *m, const char *etag);
void reply_tagged_text(struct request *r, struct reply_memory *m, const char *etag,
                       char *take_json);
/* For what is different every time: not to be kept. */
void reply_text(struct request *r, const char *type, const char *text);
/* A file, or the part of it that Range asks for. Takes fd, of which st is the state. */
void reply_file(struct request *r, const char *type, int take_fd, const struct stat *st);
/* The same of a file that grows: its body is what stands from byte `from` on. */
void reply_file_from(struct request *r, const char *type, int take_fd, const struct stat *st,
                     uint64_t from);
/* The same for a file that never changes, and whose hash is known. */
void reply_content(struct request *r, const char *type, int take_fd, const struct stat *st,
                   const char *sha256);

#endif
