#define _GNU_SOURCE
#include "daemon/warden.h"

#include <math.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/hub.h"
#include "daemon/oom.h"
#include "daemon/secret.h"
#include "daemon/threads.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"

enum {
    STACKS_MS = 2000,
    WHY_SIZE = 512
};

static const double first_word_s = 60; /* to start as many processes takes its time */

struct warden {
    struct warden_config cfg;
    char token[SECRET_SIZE];
    struct watch watch;
    struct hub *hub;
};

static void say(const struct warden *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(const struct warden *w, const char *fmt, ...)
{
    struct buf line = buf_new(0);
    char text[WHY_SIZE];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    buf_fmt(&line, "distill-shim: %s\n", text);
    file_write_all(w->cfg.log, "log", buf_text(&line), line.len, NULL);
    buf_free(&line);
}

struct warden *warden_open(const struct warden_config *cfg, struct error *err)
{
    struct warden *w = NEW(struct warden);
    const struct watch_limits limits = {.stall_s = cfg->stall_s,
                                        .first_s = fmax(cfg->stall_s, first_word_s),
                                        .silence_s = cfg->silence_s,
                                        .heartbeat_s = watch_heartbeat(cfg->stall_s),
                                        .lease_s = cfg->lease_s};

    w->cfg = *cfg;
    watch_init(&w->watch, cfg->ranks, &limits, clock_mono_s());
    if (!cfg->token_file || secret_read(cfg->token_file, w->token, err))
        w->hub = hub_open(
            &(struct hub_config){.address = cfg->address, .token = w->token, .watch = &w->watch},
            err);
    if (w->hub)
        return w;
    warden_close(w);
    return NULL;
}

void warden_close(struct warden *w)
{
    if (!w)
        return;
    hub_close(w->hub);
    watch_free(&w->watch);
    free(w);
}

const char *warden_address(const struct warden *w)
{
    return hub_address(w->hub);
}

int warden_fd(const struct warden *w)
{
    return hub_fd(w->hub);
}

int warden_wait_ms(const struct warden *w)
{
    return (int)(1000 * w->watch.limits.heartbeat_s);
}

/* Once when it falls silent, and once when it speaks again. */
static void tell_silence(struct warden *w, size_t rank, double now)
{
    struct watch_rank *r = &w->watch.ranks[rank];
    bool silent = watch_is_silent(&w->watch, rank, now);
    char state[32];

    if (silent == r->told)
        return;
    r->told = silent;
    if (!silent) {
        say(w, "rank %zu is back", rank);
    } else if (r->remote) {
        say(w, "rank %zu on host %s has been silent for %.0f s", rank, r->host, now - r->heard_s);
    } else {
        process_state(r->pid, state, sizeof(state));
        say(w, "rank %zu (process %ld) has been silent for %.0f s: it is %s", rank, (long)r->pid,
            now - r->heard_s, state);
    }
}

static void describe(const struct warden *w, size_t rank, double now, char *out)
{
    const struct watch_rank *r = &w->watch.ranks[rank];
    char state[32];
    size_t n;

    watch_describe(&w->watch, rank, now, out, WHY_SIZE);
    n = strlen(out);
    if (r->known && !r->remote && !r->gone) {
        process_state(r->pid, state, sizeof(state));
        snprintf(out + n, WHY_SIZE - n, "; its process %ld is %s", (long)r->pid, state);
    }
}

void warden_look(struct warden *w, struct attempt_exit *e)
{
    double now = clock_mono_s();
    char why[WHY_SIZE];

    watch_look(&w->watch, now);
    hub_serve(w->hub, now);
    if (!e)
        return;
    for (size_t i = 0; i < w->cfg.ranks; i++)
        tell_silence(w, i, now);
    switch (watch_judge(&w->watch, now)) {
    case WATCH_WELL: return;
    case WATCH_HUNG: e->class = FAILURE_HANG; break;
    case WATCH_LOST_HOST: e->class = FAILURE_LOST_HOST; break;
    }
    for (size_t i = 0; i < w->cfg.ranks; i++)
        if (watch_is_at_fault(&w->watch, i, now)) {
            describe(w, i, now, why);
            say(w, "%s", why);
            if (!e->message[0])
                snprintf(e->message, sizeof(e->message), "%s", why);
        }
}

static void tell_threads(struct warden *w, size_t rank)
{
    const struct watch_rank *r = &w->watch.ranks[rank];
    struct buf text = buf_new(1 << 20);

    if (!r->known || r->remote || r->gone)
        return;
    say(w, "rank %zu does not write its stacks; the kernel says:", rank);
    threads_describe(r->pid, &text);
    file_write_all(w->cfg.log, "log", buf_text(&text), text.len, NULL);
    buf_free(&text);
}

void warden_write_stacks(struct warden *w)
{
    double until = clock_mono_s() + STACKS_MS * 1e-3;
    struct pollfd p = {.fd = hub_fd(w->hub), .events = POLLIN};

    say(w, "each rank writes its stacks to its log");
    hub_ask_stacks(w->hub);
    while (hub_owed_stacks(w->hub) && clock_mono_s() < until) {
        poll(&p, 1, 50);
        hub_serve(w->hub, clock_mono_s());
    }
    for (size_t i = 0; i < w->cfg.ranks; i++)
        if (hub_owes_stacks(w->hub, i))
            tell_threads(w, i);
}

void warden_hang_up(struct warden *w)
{
    hub_hang_up(w->hub);
}

bool warden_has_survivors(struct warden *w)
{
    double now = clock_mono_s();

    hub_serve(w->hub, now);
    for (size_t i = 0; i < w->cfg.ranks; i++)
        if (watch_may_live(&w->watch, i, now))
            return true;
    return false;
}

void warden_account(const struct warden *w, struct attempt_exit *e)
{
    for (size_t i = 0; i < w->cfg.ranks && !e->class; i++) {
        const struct watch_rank *r = &w->watch.ranks[i];

        if (!r->remote || r->gone)
            continue;
        e->class = FAILURE_LOST_HOST;
        snprintf(e->message, sizeof(e->message),
                 "rank %zu on host %s cannot be reached; its lease has run out", i, r->host);
        say(w, "%s", e->message);
    }
}

int warden_culprit(const struct warden *w, int named)
{
    const struct watch *seen = &w->watch;
    int rank = seen->gave_up >= 0 ? seen->gave_up : named >= 0 ? named : seen->first_gone;

    return rank < (int)seen->n ? rank : -1;
}

bool warden_failed_alone(const struct warden *w, int rank)
{
    return !w->watch.ranks[rank].parted;
}

const char *warden_host(const struct warden *w, int rank)
{
    return w->watch.ranks[rank].host;
}

int warden_out_of_memory(const struct warden *w, int64_t since_ns)
{
    for (size_t i = 0; i < w->cfg.ranks; i++) {
        const struct watch_rank *r = &w->watch.ranks[i];

        if (r->known && !r->remote && oom_ended(r->pid, since_ns))
            return (int)i;
    }
    return -1;
}
