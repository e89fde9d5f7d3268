#include "client/cmd.h"
#include "client/ctl.h"
#include "client/url.h"
#include "proto/base/str.h"

/* The token stands in the fragment, which a browser sends to nobody; the page exchanges it for a
 * session and takes it out of the address. */
static bool run(struct ctl *c, const void *opts, struct error *err)
{
    struct json *version = ctl_call(c, NULL, "/api/v1/version", NULL, err), *j;
    const char *token;
    struct buf url = buf_new(0);

    (void)opts;
    if (!version)
        return false;
    js_free(version);
    if (str_starts(c->base, "unix:"))
        return err_set(err, ERR_INVALID, "%s: a browser needs an address; name --state instead",
                       c->base);
    err_clear(err);
    token = ctl_token(c, err);
    if (!token && err->code)
        return false;
    buf_fmt(&url, "%s/", c->base);
    if (token) {
        buf_str(&url, "#token=");
        url_escape(&url, token);
    }
    if (c->json) {
        j = js_new_object();
        js_set(j, "url", js_new_string(buf_text(&url)));
        out_json(j);
        js_free(j);
    } else {
        printf("%s\n", buf_text(&url));
    }
    buf_free(&url);
    return true;
}

const struct command cmd_dashboard = {
    .name = "dashboard",
    .summary = "Print the address of the dashboard",
    .text = "Open it in a browser on this machine. The address holds the access token: "
            "whoever has it can read the jobs.",
    .run = run,
};
