#define _GNU_SOURCE
#include "daemon/hosts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/hostfile.h"
#include "daemon/probe.h"
#include "daemon/sched.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

struct host {
    char *name;
    int64_t slots;
    char why[256];       /* why it is down; "": it is up */
    int64_t since_ms;    /* wall clock: since when it is up or down */
    int64_t drained_ms;  /* wall clock: when a user closed it to jobs; 0: it is open */
    int64_t retry_at_ns; /* while it is down: when it is asked again */
    struct probe *probe; /* it is being asked */
};

struct hosts {
    VEC(struct host) list;
};

/* -- The list ---------------------------------------------------------------------------------- */

static void add(struct daemon *d, const char *name, int64_t slots)
{
    vec_push(&d->hosts->list,
             (struct host){.name = str_dup(name), .slots = slots, .since_ms = clock_wall_ms()});
}

static bool read_file(struct daemon *d, struct error *err)
{
    struct buf text;
    hostfile_list lines = {0};
    bool ok = hostfile_read(d->settings.hostfile, &text, &lines, err);

    d->settings.slots = 0;
    for (size_t i = 0; ok && i < lines.n; i++) {
        add(d, lines.at[i].name, lines.at[i].slots);
        d->settings.slots += lines.at[i].slots;
    }
    vec_free(&lines);
    buf_free(&text);
    return ok;
}

bool hosts_open(struct daemon *d, struct error *err)
{
    bool ok = true;

    d->hosts = NEW(struct hosts);
    if (d->settings.hostfile)
        ok = read_file(d, err);
    else
        add(d, HOST_ALONE, d->settings.slots);
    for (size_t i = 0; ok && i < d->hosts->list.n; i++) {
        struct host *h = &d->hosts->list.at[i];

        ok = store_drained(d->store, h->name, &h->drained_ms, err);
    }
    return ok;
}

void hosts_close(struct daemon *d)
{
    if (!d->hosts)
        return;
    for (size_t i = 0; i < d->hosts->list.n; i++) {
        probe_release(d->hosts->list.at[i].probe);
        free(d->hosts->list.at[i].name);
    }
    vec_free(&d->hosts->list);
    free(d->hosts);
    d->hosts = NULL;
}

static struct host *find(const struct daemon *d, const char *name)
{
    for (size_t i = 0; i < d->hosts->list.n; i++)
        if (strcmp(d->hosts->list.at[i].name, name) == 0)
            return &d->hosts->list.at[i];
    return NULL;
}

size_t hosts_count(const struct daemon *d)
{
    return d->hosts->list.n;
}

/* No job starts there. */
static bool is_closed(const struct host *h)
{
    return h->why[0] || h->drained_ms;
}

/* -- Slots ------------------------------------------------------------------------------------- */

char *hosts_placement(const struct daemon *d, const int64_t *given)
{
    struct buf b = buf_new(0);

    for (size_t i = 0; i < d->hosts->list.n; i++)
        if (given[i])
            buf_fmt(&b, "%s%s:%" PRId64, b.len ? "," : "", d->hosts->list.at[i].name, given[i]);
    return buf_take(&b);
}

bool hosts_are_others(const char *placement)
{
    return placement && (strchr(placement, ',') || !str_starts(placement, HOST_ALONE ":"));
}

/* How many ranks a placement gives to a host. */
static int64_t ranks_on(const char *placement, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = placement; p && *p; p = strchr(p, ',')) {
        p += *p == ',';
        if (strncmp(p, name, n) == 0 && p[n] == ':')
            return strtoll(p + n + 1, NULL, 10);
    }
    return 0;
}

static size_t index_of(const struct daemon *d, const char *name, size_t len)
{
    size_t i = 0;

    while (i < d->hosts->list.n &&
           (strncmp(d->hosts->list.at[i].name, name, len) != 0 || d->hosts->list.at[i].name[len]))
        i++;
    return i;
}

/* Adds the ranks of a placement, each counted `times`, to those of each host. It is read once, because passes of
 * the queue do this for every job that runs. */
static void add_ranks(const struct daemon *d, const char *placement, int64_t times, int64_t *ranks)
{
    for (const char *p = placement; p && *p; p = strchr(p, ',')) {
        size_t len, at;

        p += *p == ',';
        len = strcspn(p, ":");
        at = index_of(d, p, len);
        if (at < d->hosts->list.n && p[len])
            ranks[at] += times * strtoll(p + len + 1, NULL, 10);
    }
}

/* Slots that jobs hold of each host; free() */
static int64_t *used(const struct daemon *d)
{
    int64_t *n = NEW_ARRAY(int64_t, d->hosts->list.n);

    for (size_t i = 0; i < d->busy.n; i++) {
        const struct job *j = d->busy.at[i]->job;

        if (j->state != JOB_QUEUED)
            add_ranks(d, j->placement, j->threads, n);
    }
    return n;
}

int64_t hosts_used(const struct daemon *d)
{
    int64_t n = 0, *each = used(d);

    for (size_t i = 0; i < d->hosts->list.n; i++)
        n += each[i];
    free(each);
    return n;
}

struct place_host *hosts_free(const struct daemon *d)
{
    struct place_host *all = NEW_ARRAY(struct place_host, d->hosts->list.n);
    int64_t *held = used(d);

    for (size_t i = 0; i < d->hosts->list.n; i++) {
        const struct host *h = &d->hosts->list.at[i];

        if (!is_closed(h))
            all[i] = (struct place_host){h->slots, h->slots - held[i]};
    }
    free(held);
    return all;
}

int64_t *hosts_ranks(const struct daemon *d, const char *placement)
{
    int64_t *ranks = NEW_ARRAY(int64_t, d->hosts->list.n);

    add_ranks(d, placement, 1, ranks);
    for (size_t i = 0; i < d->hosts->list.n; i++)
        if (is_closed(&d->hosts->list.at[i]))
            ranks[i] = 0;
    return ranks;
}

int64_t hosts_room(const struct daemon *d, int64_t threads)
{
    int64_t room = 0;

    for (size_t i = 0; i < d->hosts->list.n; i++)
        if (!is_closed(&d->hosts->list.at[i]))
            room += d->hosts->list.at[i].slots / threads;
    return room;
}

bool hosts_can_take(const struct daemon *d, int64_t ranks, int64_t threads, struct error *err)
{
    int64_t room = 0;

    for (size_t i = 0; i < d->hosts->list.n; i++)
        room += d->hosts->list.at[i].slots / threads;
    if (ranks <= room)
        return true;
    if (ranks * threads > d->settings.slots)
        return err_set(err, ERR_INVALID,
                       "%" PRId64 " ranks x %" PRId64 " threads need %" PRId64
                       " slots; this daemon has %" PRId64,
                       ranks, threads, ranks * threads, d->settings.slots);
    return err_set(err, ERR_INVALID,
                   "%" PRId64 " ranks x %" PRId64 " threads do not fit: the threads of a rank need "
                   "slots on one host, and the %zu hosts have room for %" PRId64 " such ranks",
                   ranks, threads, d->hosts->list.n, room);
}

/* -- Hosts that are down ----------------------------------------------------------------------- */

static void mark_down(struct daemon *d, struct host *h, const char *why)
{
    if (!h->why[0]) {
        h->since_ms = clock_wall_ms();
        log_warn("a host is down host=%s reason=\"%s\"", h->name, why);
    }
    snprintf(h->why, sizeof(h->why), "%s", why);
    h->retry_at_ns = clock_mono_ns() + (int64_t)(d->settings.host_retry_s * 1e9);
}

static void on_answer(struct daemon *d, const char *name, const char *why)
{
    struct host *h = find(d, name);

    ASSERT(h);
    h->probe = NULL;
    if (why[0]) {
        mark_down(d, h, why);
    } else if (h->why[0]) {
        log_info("a host is up again host=%s", h->name);
        h->why[0] = '\0';
        h->since_ms = clock_wall_ms();
    }
    sched_soon(d);
}

static void ask(struct daemon *d, struct host *h)
{
    if (!h->probe)
        h->probe = probe_host(d, h->name, on_answer);
}

void hosts_suspect(struct daemon *d, const char *placement)
{
    for (size_t i = 0; i < d->hosts->list.n; i++) {
        struct host *h = &d->hosts->list.at[i];

        if (!ranks_on(placement, h->name))
            continue;
        mark_down(
            d, h,
            "an attempt lost touch with its hosts; whether this one answers is not known yet");
        ask(d, h);
    }
}

void hosts_tick(struct daemon *d)
{
    for (size_t i = 0; i < d->hosts->list.n; i++) {
        struct host *h = &d->hosts->list.at[i];

        if (h->why[0] && clock_mono_ns() >= h->retry_at_ns)
            ask(d, h);
    }
}

/* -- Hosts that are drained ------------------------------------------------------------------------ */

bool hosts_drain(struct daemon *d, const char *name, bool drained, struct error *err)
{
    struct host *h = find(d, name);
    const int64_t ms = drained ? clock_wall_ms() : 0;

    if (!h)
        return err_set(err, ERR_NOT_FOUND, "there is no host %.100s", name);
    if (drained == (h->drained_ms != 0))
        return true;
    if (!store_set_drained(d->store, h->name, ms, err))
        return false;
    h->drained_ms = ms;
    log_info("a host is %s host=%s", drained ? "drained" : "open to jobs again", h->name);
    sched_soon(d);
    return true;
}

static const char *state_of(const struct host *h)
{
    return h->why[0] ? "down" : h->drained_ms ? "drained" : "up";
}

void hosts_describe_closed(const struct daemon *d, char *out, size_t size)
{
    const struct host *last = NULL;
    size_t n = 0;

    for (size_t i = 0; i < d->hosts->list.n; i++)
        if (is_closed(&d->hosts->list.at[i])) {
            last = &d->hosts->list.at[i];
            n++;
        }
    out[0] = '\0';
    if (n == 1)
        snprintf(out, size, "; host %s is %s", last->name, state_of(last));
    else if (n)
        snprintf(out, size, "; %zu of %zu hosts are down or drained", n, d->hosts->list.n);
}

/* -- The API ----------------------------------------------------------------------------------- */

static struct json *node_json(const struct host *h, int64_t held)
{
    static const char drained[] = "drained by a user: no job starts here until it is resumed";
    const bool down = h->why[0];
    struct json *j = js_new_object();
    char since[CLOCK_TEXT];

    js_set(j, "name", js_new_string(h->name));
    js_set(j, "slots", js_new_int(h->slots));
    js_set(j, "used", js_new_int(held));
    js_set(j, "state", js_new_string(state_of(h)));
    js_set(j, "reason", is_closed(h) ? js_new_string(down ? h->why : drained) : js_new_null());
    js_set(j, "drained", js_new_bool(h->drained_ms != 0));
    js_set(j, "since",
           js_new_string(clock_text(h->drained_ms && !down ? h->drained_ms : h->since_ms, since)));
    return j;
}

struct json *hosts_node_json(const struct daemon *d, const char *name)
{
    const struct host *h = find(d, name);
    int64_t *held = h ? used(d) : NULL;
    struct json *j = h ? node_json(h, held[h - d->hosts->list.at]) : NULL;

    free(held);
    return j;
}

struct json *hosts_json(const struct daemon *d)
{
    struct json *j = js_new_object(), *items = js_new_array();
    int64_t *held = used(d);

    for (size_t i = 0; i < d->hosts->list.n; i++)
        js_push(items, node_json(&d->hosts->list.at[i], held[i]));
    free(held);
    js_set(j, "items", items);
    return j;
}
