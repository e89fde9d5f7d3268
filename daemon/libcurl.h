/* libcurl, as far as post.c uses it. It is loaded when the first webhook wants it: with what it needs in turn (LDAP,
 * Kerberos, SSH, ..) it is half of the libraries of the daemon, which most daemons never use, and pay for with time at
 * the start and with memory. */
#ifndef DAEMON_LIBCURL_H
#define DAEMON_LIBCURL_H

#include <curl/curl.h>

#include "proto/base/error.h"

/* clang-format off */
#define LIBCURL_FUNCTIONS(ROW)                                                                     \
    ROW(easy_cleanup) ROW(easy_getinfo) ROW(easy_init) ROW(easy_setopt) ROW(easy_strerror)         \
    ROW(free) ROW(global_init)                                                                     \
    ROW(multi_add_handle) ROW(multi_assign) ROW(multi_cleanup) ROW(multi_info_read)                \
    ROW(multi_init) ROW(multi_remove_handle) ROW(multi_setopt) ROW(multi_socket_action)            \
    ROW(slist_append) ROW(slist_free_all)                                                          \
    ROW(url) ROW(url_cleanup) ROW(url_get) ROW(url_set)
/* clang-format on */

/* curl_NAME is the member NAME. */
struct libcurl {
#define MEMBER(name) __typeof__(curl_##name) *name;
    LIBCURL_FUNCTIONS(MEMBER)
#undef MEMBER
};

/* ERR_UNSUPPORTED when it is not installed, or lacks something. */
const struct libcurl *libcurl_load(struct error *err);

#endif
