/* distilld: the coordinator. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/abilities.h"
#include "daemon/attempts.h"
#include "daemon/audit.h"
#include "daemon/backup.h"
#include "daemon/courier.h"
#include "daemon/daemon.h"
#include "daemon/gc.h"
#include "daemon/hashes.h"
#include "daemon/heap.h"
#include "daemon/hosts.h"
#include "daemon/idempotency.h"
#include "daemon/intake.h"
#include "daemon/lifecycle.h"
#include "daemon/limits.h"
#include "daemon/listener.h"
#include "daemon/notify.h"
#include "daemon/roots.h"
#include "daemon/routes.h"
#include "daemon/salvage.h"
#include "daemon/sched.h"
#include "daemon/secret.h"
#include "daemon/snapshot.h"
#include "daemon/sse.h"
#include "daemon/strays.h"
#include "daemon/tls.h"
#include "daemon/tokens.h"
#include "daemon/uplink.h"
#include "daemon/uploads.h"
#include "daemon/worker_tool.h"
#include "daemon/writeback.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/socket.h"
#include "proto/base/str.h"

/* Copies, removals and searches may have half of them for long, and batches of jobs are still read. */
#define POOL_THREADS "8"

enum {
    RING_EVENTS = 16384,
    RING_BYTES = 32 << 20,
    HOUR_MS = 3600 * 1000,
    FIRST_MS = 300, /* the start, and whoever waits for it, comes first */
    LAST_MS = 100,
    EXIT_DISK = 74 /* EX_IOERR: an init system may start it again */
};

/* -- Start ------------------------------------------------------------------------------------- */

/* One daemon for a state folder: the lock is held until the process ends. */
static bool open_state(struct daemon *d, struct error *err)
{
    char *lock, *token;
    int fd;
    bool ok;

    if (!file_make_dirs(d->settings.state, 0700, err))
        return false;
    d->state_dir = realpath(d->settings.state, NULL);
    if (!d->state_dir)
        return err_set(err, ERR_IO, "%s: %s", d->settings.state, strerror(errno));
    lock = str_path(d->state_dir, "lock");
    fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        ok = err_set(err, ERR_IO, "open %s: %s", lock, strerror(errno));
    else
        ok = flock(fd, LOCK_EX | LOCK_NB) == 0 ||
             err_set(err, ERR_CONFLICT, "another distilld runs in %s", d->state_dir);
    free(lock);
    token = str_path(d->state_dir, "token");
    ok = ok && secret_keep(token, "dst_", d->token, err);
    free(token);
    return ok &&
           (d->settings.recover ? backup_recover(d->state_dir, err)
                                : backup_check(d->state_dir, err)) &&
           (d->store = store_open(d->state_dir, err)) && salvage_run(d, err);
}

static bool reserve_events(uint64_t below, void *arg)
{
    struct daemon *d = arg;
    struct error err;

    if (store_reserve_events(d->store, below, &err))
        return true;
    log_error("event ids cannot be reserved error=\"%s\"", err.msg);
    return false;
}

static bool open_events(struct daemon *d, struct error *err)
{
    uint64_t first;

    if (!store_first_event_id(d->store, &first, err))
        return false;
    d->events = events_new(first, RING_EVENTS, RING_BYTES, reserve_events, d);
    return true;
}

/* STATE/address is there while the daemon runs: how clients on this host find it. */
static bool publish_address(struct daemon *d, struct error *err)
{
    char *path = str_path(d->state_dir, "address"), *line = str_fmt("%s\n", d->address);
    bool ok = file_publish(path, line, strlen(line), 0644, err);

    free(line);
    free(path);
    return ok;
}

static struct http_limits http_limits_of(const struct settings *s)
{
    return (struct http_limits){.body_bytes = (size_t)s->body_bytes,
                                .connections = {.per_address = s->connections_per_address,
                                                .header_ms = s->header_timeout_s * 1000,
                                                .body_ms = s->body_timeout_s * 1000}};
}

static bool serve_on(struct daemon *d, const struct http_tls *tls, struct error *err)
{
    struct http_limits limits = http_limits_of(&d->settings);
    int fd = listener_open(d->settings.listen, err);

    if (fd < 0)
        return false;
    limits.tls = tls;
    d->address = listener_url(fd, tls);
    if (!publish_address(d, err)) {
        close(fd);
        return false;
    }
    d->http = http_start(&d->loop, fd, &limits, &routes_service, d, err);
    return d->http;
}

static bool open_http(struct daemon *d, struct error *err)
{
    const struct settings *s = &d->settings;
    struct http_tls tls;
    bool ok;

    if (!s->tls_certificate && !s->tls_key)
        return serve_on(d, NULL, err);
    ok = tls_load(s->tls_certificate, s->tls_key, &tls, err) && serve_on(d, &tls, err);
    if (ok)
        http_set_tls(d->http, &tls);
    else
        tls_unload(&tls);
    return ok;
}

static char *socket_path(const struct daemon *d)
{
    return d->settings.socket ? str_dup(d->settings.socket) : str_path(d->state_dir, "api.sock");
}

/* A server of its own: whoever fills the other one with connections leaves this one alone. */
static bool open_local(struct daemon *d, struct error *err)
{
    const struct http_limits limits = http_limits_of(&d->settings);
    char *path = socket_path(d), *address = str_fmt("unix:%s", path);
    int fd = socket_listen(address, err);

    if (fd >= 0)
        d->local = http_start(&d->loop, fd, &limits, &routes_service, d, err);
    free(address);
    free(path);
    return d->local;
}

static void close_local(struct daemon *d)
{
    char *path;

    if (!d->local)
        return;
    path = socket_path(d);
    unlink(path);
    free(path);
    http_stop(d->local);
    d->local = NULL;
}

static void start_timers(struct daemon *d)
{
    uv_timer_init(&d->loop, &d->tick);
    uv_timer_init(&d->loop, &d->schedule);
    uv_timer_init(&d->loop, &d->heartbeat);
    uv_timer_init(&d->loop, &d->last);
    uv_timer_init(&d->loop, &d->hourly);
    d->tick.data = d->schedule.data = d->heartbeat.data = d->hourly.data = d->last.data = d;
}

static void on_hour(uv_timer_t *t)
{
    idempotency_expire(t->data);
    uploads_expire(t->data);
    courier_expire(t->data);
    backup_hourly(t->data);
    purge_hourly(t->data);
    gc_hourly(t->data);
}

/* What the start has left undone, and whoever started it has to know. */
static void on_abilities(struct daemon *d, const struct error *err)
{
    if (err) {
        d->failure = *err;
        uv_stop(&d->loop);
        return;
    }
    heap_be_thrifty(false);
    log_info("distilld " PACKAGE_VERSION " is ready address=%s state=%s slots=%lld jobs=%zu",
             d->address, d->state_dir, (long long)d->settings.slots, d->active.n);
    d->ready = true;
    notify("READY=1");
}

static bool start(struct daemon *d, struct error *err)
{
    d->started_ms = clock_wall_ms();
    d->worker_calls = worker_calls_new();
    start_timers(d);
    intake_open(d);
    d->hashes = hashes_new();
    if (!open_state(d, err) || !open_events(d, err) || !blobs_open(d, err) ||
        !store_paused(d->store, &d->paused, err) || !lifecycle_load(d, err) ||
        !hosts_open(d, err) || !courier_start(d, err))
        return false;
    d->tokens = tokens_open(d);
    d->audit = audit_open(d);
    d->limits = limits_open(&d->settings);
    roots_open(d);
    d->purge = purge_open(d);
    d->gc = gc_open(d);
    abilities_open(d, on_abilities);
    d->uplink = uplink_start(d, err);
    if (!d->uplink || !open_local(d, err) || !open_http(d, err))
        return false;
    sse_start(d);
    writeback_start(d);
    uv_timer_start(&d->hourly, on_hour, FIRST_MS, HOUR_MS);
    attempts_watch(d);
    strays_look(d);
    sched_soon(d);
    return true;
}

/* -- SIGHUP ------------------------------------------------------------------------------------ */

struct reload {
    struct daemon *daemon;
    int argc;
    char **argv;
};

/* Connections keep the pair that they began with. */
static bool reload_tls(struct daemon *d, const struct settings *fresh, struct error *err)
{
    struct http_tls tls;

    if (!fresh->tls_certificate || !d->settings.tls_certificate)
        return true; /* it waits: settings_take */
    if (!tls_load(fresh->tls_certificate, fresh->tls_key, &tls, err))
        return false;
    if (http_set_tls(d->http, &tls))
        log_info("the certificate was read again");
    return true;
}

static bool reload(struct daemon *d, struct settings *fresh, struct error *err)
{
    struct http_limits limits;

    settings_complete(fresh);
    if (!settings_check(fresh, err) || !reload_tls(d, fresh, err) ||
        !settings_set_log_level(fresh, err))
        return false;
    settings_take(&d->settings, fresh);
    limits = http_limits_of(&d->settings);
    http_set_limits(d->http, &limits);
    http_set_limits(d->local, &limits);
    return true;
}

/* A file with a mistake changes nothing. */
static void on_reload(uv_signal_t *signal_handle, int number)
{
    const struct reload *r = signal_handle->data;
    struct daemon *d = r->daemon;
    struct settings fresh = {0};
    struct error err = {0};

    (void)number;
    if (d->stopping)
        return;
    if (d->ready)
        notify_reloading();
    if (settings_read(&fresh, r->argc, r->argv, &err) && reload(d, &fresh, &err))
        log_info("the configuration was read again");
    else
        log_error("the configuration stays as it was error=\"%s\"", err.msg);
    settings_free(&fresh);
    if (d->ready)
        notify("READY=1");
}

/* -- Stop -------------------------------------------------------------------------------------- */

static void on_signal(uv_signal_t *s, int number)
{
    struct daemon *d = s->data;

    log_info("stopping signal=%d; running jobs go on", number);
    notify("STOPPING=1");
    d->stopping = true;
    uv_stop(&d->loop);
}

static void on_last(uv_timer_t *t)
{
    struct daemon *d = t->data;

    d->stopping = true;
    uv_stop(&d->loop);
}

/* Those who wait get their refusals, then somebody else may start it again. Jobs go on. */
static void on_broken(void *daemon)
{
    struct daemon *d = daemon;

    log_error("the disk has failed to keep what was written; nothing more is accepted, and the "
              "daemon ends");
    d->broken = true;
    uv_timer_start(&d->last, on_last, LAST_MS, 0);
}

static void close_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

static void stop(struct daemon *d)
{
    char *address = d->address ? str_path(d->state_dir, "address") : NULL;

    d->stopping = true;
    if (address)
        unlink(address);
    free(address);
    if (d->events)
        events_on_publish(d->events, NULL, NULL);
    worker_calls_stop(d->worker_calls);
    turns_stop(d);
    http_stop(d->http);
    d->http = NULL;
    close_local(d);
    tokens_close(d);
    uplink_stop(d->uplink);
    attempts_release(d);
    hosts_close(d);
    courier_stop(d);
    uv_walk(&d->loop, close_handle, NULL);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    uv_loop_close(&d->loop);
    abilities_free(d);
    intake_free(d);
    gc_close(d->gc);
    hashes_free(d->hashes);
    purge_close(d->purge);
    daemon_drop_all(d);
    snapshot_forget(d);
    events_free(d->events);
    store_close(d->store);
    audit_close(d->audit);
    limits_close(d->limits);
    worker_calls_free(d->worker_calls);
    catalog_free(&d->catalog);
    free(d->address);
    free(d->roots);
    free(d->state_dir);
}

/* Many clients need many descriptors. */
static void raise_limits(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
        l.rlim_cur = l.rlim_max;
        setrlimit(RLIMIT_NOFILE, &l);
    }
}

static bool serve(struct settings *s, int argc, char **argv, bool *broken, struct error *err)
{
    static const int numbers[] = {SIGTERM, SIGINT};
    struct daemon d = {.settings = *s};
    uv_signal_t signals[ARRAY_LEN(numbers)], hangup;
    struct reload reload = {&d, argc, argv};
    bool ok;

    heap_be_thrifty(true);
    setenv("UV_THREADPOOL_SIZE", POOL_THREADS, 0);
    signal(SIGPIPE, SIG_IGN);
    raise_limits();
    catalog_init(&d.catalog);
    uv_loop_init(&d.loop);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        uv_signal_init(&d.loop, &signals[i]);
        signals[i].data = &d;
        uv_signal_start(&signals[i], on_signal, numbers[i]);
    }
    uv_signal_init(&d.loop, &hangup);
    hangup.data = &reload;
    uv_signal_start(&hangup, on_reload, SIGHUP);
    ok = start(&d, err);
    if (ok) {
        store_on_broken(d.store, on_broken, &d);
        uv_run(&d.loop, UV_RUN_DEFAULT);
    }
    stop(&d);
    *broken = d.broken;
    if (ok && d.failure.code != ERR_NONE) {
        *err = d.failure;
        ok = false;
    }
    return ok;
}

int main(int argc, char **argv)
{
    struct settings s;
    struct error err = {0};
    bool broken = false;
    bool ok = settings_read(&s, argc, argv, &err) || s.help || s.version;

    if (s.help) {
        settings_help();
    } else if (s.version) {
        puts("distilld " PACKAGE_VERSION);
    } else if (ok) {
        settings_complete(&s);
        ok = settings_check(&s, &err) && settings_set_log_level(&s, &err) &&
             (s.check_config || serve(&s, argc, argv, &broken, &err));
        if (ok && s.check_config)
            puts("distilld: the configuration is good");
    }
    if (!ok)
        fprintf(stderr, "distilld: %s\n%s", err.msg,
                err_exit_status(err.code) == 2 ? "distilld --help shows all options.\n" : "");
    settings_free(&s);
    return broken ? EXIT_DISK : ok ? 0 : err_exit_status(err.code);
}
