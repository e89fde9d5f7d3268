/* The hosts that jobs run on. */
#include "daemon/api.h"
#include "daemon/hosts.h"
#include "daemon/problem.h"

void api_nodes(struct daemon *d, struct request *r)
{
    reply_json(r, 200, hosts_json(d));
}

void api_node_get(struct daemon *d, struct request *r)
{
    struct json *node = hosts_node_json(d, r->params[0]);

    if (node)
        reply_json(r, 200, node);
    else
        problem_reply(r, "not_found", NULL, "there is no host \"%.60s\"", r->params[0]);
}

static void set_drained(struct daemon *d, struct request *r, bool drained)
{
    struct error err;

    if (hosts_drain(d, r->params[0], drained, &err))
        reply_json(r, 200, hosts_node_json(d, r->params[0]));
    else
        problem_reply_error(r, &err);
}

void api_node_drain(struct daemon *d, struct request *r)
{
    set_drained(d, r, true);
}

void api_node_resume(struct daemon *d, struct request *r)
{
    set_drained(d, r, false);
}
