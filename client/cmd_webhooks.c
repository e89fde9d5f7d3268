/* webhooks: addresses that are told when a job changes its state. */
#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"
#include "client/ctl.h"
#include "client/url.h"
#include "proto/base/clock.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/base/table.h"

struct webhooks {
    const char *action, *subject, *delivery;
    opt_list states;
};

static const struct opt rows[] = {
    OPT(struct webhooks, action, ARG_MAYBE, "ACTION",
        "list (default), add, show, test, deliveries, redeliver, enable, disable or rm"),
    OPT(struct webhooks, subject, ARG_MAYBE, "WEBHOOK", "its id; add: the URL"),
    OPT(struct webhooks, delivery, ARG_MAYBE, "DELIVERY", "redeliver: the number of the delivery"),
    OPT(struct webhooks, states, OPT_MANY, "state",
        "add: tell of this state (default: succeeded, failed and cancelled)", .value = "STATE"),
};

static const struct out_column columns[] = {
    {"ID", false, false},     {"ENABLED", false, false}, {"PENDING", true, false},
    {"STATES", false, false}, {"AGE", true, false},      {"URL", false, false},
};
static const struct out_column delivery_columns[] = {
    {"DELIVERY", true, false}, {"STATE", false, false},   {"TRIES", true, false},
    {"STATUS", true, false},   {"AGE", true, false},      {"TYPE", false, false},
    {"JOB", false, false},     {"MESSAGE", false, false},
};

/* of: "" or what follows the webhook's own address. */
static char *url_of(const struct webhooks *o, const char *of)
{
    struct buf b = buf_new(0);

    buf_str(&b, "/api/v1/webhooks/");
    url_escape(&b, o->subject);
    buf_str(&b, of);
    return buf_take(&b);
}

static void add_age(struct out_table *t, const struct json *of)
{
    double age = out_age(js_string(js_get(of, "created_at"), NULL), clock_wall_ms());
    char text[OUT_TEXT];

    out_cell(t, "%s", out_duration(age, text));
}

static void add_row(struct out_table *t, const struct json *w)
{
    const struct json *states = js_get(w, "states");
    struct buf names = buf_new(0);

    for (size_t i = 0; i < js_len(states); i++)
        buf_fmt(&names, "%s%s", i ? "," : "", js_string(js_at(states, i), "?"));
    out_cell(t, "%s", js_string(js_get(w, "id"), "?"));
    out_cell(t, "%s", js_bool(js_get(w, "enabled"), false) ? "yes" : "no");
    out_cell(t, "%lld", (long long)js_int(js_get(w, "pending"), 0));
    out_cell(t, "%s", buf_text(&names));
    add_age(t, w);
    out_cell(t, "%s", js_string(js_get(w, "url"), "?"));
    buf_free(&names);
}

static void add_delivery(struct out_table *t, const struct json *m)
{
    out_cell(t, "%lld", (long long)js_int(js_get(m, "id"), 0));
    out_cell(t, "%s", js_string(js_get(m, "state"), "?"));
    out_cell(t, "%lld", (long long)js_int(js_get(m, "tries"), 0));
    out_cell(t, "%lld", (long long)js_int(js_get(m, "status"), 0));
    add_age(t, m);
    out_cell(t, "%s", js_string(js_get(m, "type"), "?"));
    out_cell(t, "%s", js_string(js_get(m, "job"), "-"));
    out_cell(t, "%.60s", js_string(js_get(m, "message"), ""));
}

static bool list(struct ctl *c, const struct webhooks *o, struct error *err)
{
    (void)o;
    return ctl_print_list(c, "/api/v1/webhooks", OUT_TABLE(columns), add_row, err);
}

static bool deliveries(struct ctl *c, const struct webhooks *o, struct error *err)
{
    char *url = url_of(o, "/deliveries");
    bool ok = ctl_print_list(c, url, OUT_TABLE(delivery_columns), add_delivery, err);

    free(url);
    return ok;
}

static bool show(struct ctl *c, const struct webhooks *o, struct error *err)
{
    char *url = url_of(o, "");
    struct json *w = ctl_call(c, NULL, url, NULL, err);

    if (w)
        out_json(w);
    js_free(w);
    free(url);
    return w;
}

/* The key is told this once. */
static bool add(struct ctl *c, const struct webhooks *o, struct error *err)
{
    struct json *body = js_new_object(), *states = js_new_array(), *w;

    js_set(body, "url", js_new_string(o->subject));
    for (size_t i = 0; i < o->states.n; i++)
        js_push(states, js_new_string(o->states.at[i]));
    js_set(body, "states", o->states.n ? states : js_new_null());
    if (!o->states.n)
        js_free(states);
    w = ctl_call(c, "POST", "/api/v1/webhooks", body, err);
    if (w && c->json)
        out_json(w);
    else if (w)
        printf("id:     %s\nsecret: %s\nThe secret is not shown again; with it the receiver checks "
               "the header webhook-signature.\n",
               js_string(js_get(w, "id"), ""), js_string(js_get(w, "secret"), ""));
    js_free(w);
    js_free(body);
    return w;
}

static bool send_to(struct ctl *c, const char *method, const struct webhooks *o, const char *of,
                    const struct json *body, struct error *err)
{
    char *url = url_of(o, of);
    struct json *answer = ctl_call(c, method, url, body, err);

    js_free(answer);
    free(url);
    return answer;
}

static bool test(struct ctl *c, const struct webhooks *o, struct error *err)
{
    return send_to(c, "POST", o, ":test", NULL, err);
}

static bool redeliver(struct ctl *c, const struct webhooks *o, struct error *err)
{
    struct buf of = buf_new(0);
    bool ok;

    if (!o->delivery)
        return err_set(err, ERR_INVALID,
                       "webhooks redeliver: DELIVERY is missing; `distillctl webhooks deliveries "
                       "%s` lists them",
                       o->subject);
    buf_str(&of, "/deliveries/");
    url_escape(&of, o->delivery);
    buf_str(&of, ":redeliver");
    ok = send_to(c, "POST", o, buf_text(&of), NULL, err);
    buf_free(&of);
    return ok;
}

static bool set_enabled(struct ctl *c, const struct webhooks *o, bool enabled, struct error *err)
{
    struct json *body = js_new_object();
    bool ok;

    js_set(body, "enabled", js_new_bool(enabled));
    ok = send_to(c, "PATCH", o, "", body, err);
    js_free(body);
    return ok;
}

static bool enable(struct ctl *c, const struct webhooks *o, struct error *err)
{
    return set_enabled(c, o, true, err);
}

static bool disable(struct ctl *c, const struct webhooks *o, struct error *err)
{
    return set_enabled(c, o, false, err);
}

static bool rm(struct ctl *c, const struct webhooks *o, struct error *err)
{
    return send_to(c, "DELETE", o, "", NULL, err);
}

static const struct action {
    const char *name;
    const char *needs; /* NULL: nothing */
    bool (*run)(struct ctl *c, const struct webhooks *o, struct error *err);
} actions[] = {
    {"list", NULL, list},
    {"add", "URL", add},
    {"show", "WEBHOOK", show},
    {"test", "WEBHOOK", test},
    {"deliveries", "WEBHOOK", deliveries},
    {"redeliver", "WEBHOOK", redeliver},
    {"enable", "WEBHOOK", enable},
    {"disable", "WEBHOOK", disable},
    {"rm", "WEBHOOK", rm},
};

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct webhooks *o = opts;
    const char *name = o->action ? o->action : "list";
    const struct action *a = table_find(TABLE(actions), name);

    if (!a)
        return table_unknown(TABLE(actions), "action", name, err);
    if (a->needs && !o->subject)
        return err_set(err, ERR_INVALID, "webhooks %s: %s is missing", name, a->needs);
    return a->run(c, o, err);
}

const struct command cmd_webhooks = {
    .name = "webhooks",
    .summary = "Have addresses told when jobs change their state",
    .text = "The server posts a JSON object to the URL, signed as the Standard Webhooks "
            "specification says, and tries again for about a day until the answer is 2xx. Each "
            "message may come more than once, with the same webhook-id. Addresses that are not "
            "public must be allowed by `distilld --webhook-network`.\n",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct webhooks),
    .run = run,
};
