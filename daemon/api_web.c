/* The dashboard's files. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/api.h"
#include "daemon/problem.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

static const struct {
    const char *suffix, *type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
};

/* No script but our own files, no markup made from strings, no request to anyone else. */
static const char policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src "
    "'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'";

static const char *type_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (str_ends(name, types[i].suffix))
            return types[i].type;
    return NULL;
}

static bool is_plain(const char *name)
{
    static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

    return name[0] != '.' && strspn(name, chars) == strlen(name);
}

static void serve(struct daemon *d, struct request *r, const char *folder, const char *name)
{
    const char *type = is_plain(name) ? type_of(name) : NULL;
    char *path = str_fmt("%s/%s%s", d->settings.web, folder, name);
    int fd = type ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    struct stat st;

    free(path);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        http_add_header(r, "Content-Security-Policy", policy);
        http_add_header(r, "Referrer-Policy", "no-referrer");
        http_add_header(r, "Cross-Origin-Opener-Policy", "same-origin");
        reply_file(r, type, fd, &st);
        return;
    }
    if (fd >= 0)
        close(fd);
    problem_reply(r, "not_found", NULL, "there is nothing under %.200s", r->path);
}

void api_web(struct daemon *d, struct request *r)
{
    serve(d, r, "", r->params[0] ? r->params[0] : "index.html");
}

void api_web_vendor(struct daemon *d, struct request *r)
{
    serve(d, r, "vendor/", r->params[0]);
}
