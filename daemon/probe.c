#define _GNU_SOURCE
#include "daemon/probe.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    TIMEOUT_MS = 10000
};

struct probe {
    uv_process_t process;
    uv_timer_t timer;
    struct daemon *daemon;
    char *host;
    probe_answer answer;
    char why[128];
    int open; /* handles that are not closed yet */
};

static void on_closed(uv_handle_t *h)
{
    struct probe *p = h->data;

    if (--p->open)
        return;
    free(p->host);
    free(p);
}

static void finish(struct probe *p)
{
    uv_close((uv_handle_t *)&p->process, on_closed);
    uv_close((uv_handle_t *)&p->timer, on_closed);
    p->answer(p->daemon, p->host, p->why);
}

static void on_agent_exit(uv_process_t *process, int64_t status, int signal_number)
{
    struct probe *p = process->data;

    if (!p->why[0] && (status || signal_number))
        snprintf(p->why, sizeof(p->why), "the launch agent ended with status %d",
                 signal_number ? 128 + signal_number : (int)status);
    finish(p);
}

static void on_timeout(uv_timer_t *t)
{
    struct probe *p = t->data;

    if (uv_is_active((uv_handle_t *)&p->process)) {
        snprintf(p->why, sizeof(p->why), "no answer within %d s", TIMEOUT_MS / 1000);
        uv_process_kill(&p->process, SIGKILL);
    } else {
        finish(p); /* the agent could not be started */
    }
}

/* Like Open MPI, takes the agent apart at its spaces. */
static int start_agent(struct probe *p, const char *agent)
{
    char *text = str_dup(agent), *rest = text, command[] = "true";
    VEC(char *) words = {0};
    uv_process_options_t o = {.exit_cb = on_agent_exit};
    int code;

    for (char *word; (word = strsep(&rest, " "));)
        if (*word)
            vec_push(&words, word);
    vec_push(&words, p->host);
    vec_push(&words, command);
    vec_push(&words, NULL);
    o.file = words.at[0];
    o.args = words.at;
    code = uv_spawn(&p->daemon->loop, &p->process, &o);
    vec_free(&words);
    free(text);
    return code;
}

struct probe *probe_host(struct daemon *d, const char *host, probe_answer answer)
{
    struct probe *p = NEW(struct probe);
    int code;

    p->daemon = d;
    p->host = str_dup(host);
    p->answer = answer;
    p->open = 2;
    uv_timer_init(&d->loop, &p->timer);
    p->process.data = p->timer.data = p;
    code = start_agent(p, d->settings.launch_agent);
    if (code != 0)
        snprintf(p->why, sizeof(p->why), "the launch agent cannot be started: %s",
                 uv_strerror(code));
    uv_timer_start(&p->timer, on_timeout, code == 0 ? TIMEOUT_MS : 0, 0);
    return p;
}

void probe_release(struct probe *p)
{
    if (!p)
        return;
    if (uv_is_active((uv_handle_t *)&p->process))
        uv_process_kill(&p->process, SIGKILL);
    uv_close((uv_handle_t *)&p->process, on_closed);
    uv_close((uv_handle_t *)&p->timer, on_closed);
}
