/* distilld: the coordinator. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/abilities.h"
#include "daemon/attempts.h"
#include "daemon/audit.h"
#include "daemon/backup.h"
#include "daemon/cores.h"
#include "daemon/courier.h"
#include "daemon/daemon.h"
#include "daemon/gc.h"
#include "daemon/hashes.h"
#include "daemon/hosts.h"
#include "daemon/idempotency.h"
#include "daemon/intake.h"
#include "daemon/lifecycle.h"
#include "daemon/limits.h"
#include "daemon/notify.h"
#include "daemon/roots.h"
#include "daemon/routes.h"
#include "daemon/sched.h"
#include "daemon/secret.h"
#include "daemon/sse.h"
#include "daemon/tls.h"
#include "daemon/tokens.h"
#include "daemon/uplink.h"
#include "daemon/uploads.h"
#include "daemon/worker_tool.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/socket.h"
#include "proto/base/str.h"
#include "proto/base/table.h"

enum {
    RING_EVENTS = 16384,
    RING_BYTES = 32 << 20,
    CONFIG_MAX = 1 << 20,
    HOUR_MS = 3600 * 1000,
    LAST_MS = 100,
    EXIT_DISK = 74, /* EX_IOERR: an init system may start it again */
    BACKLOG = 512
};

static const struct opt rows[] = {
    OPT(struct settings, state, OPT_TEXT, "state",
        "folder of everything that must survive: jobs, results, token", .value = "DIR",
        .env = "DISTILLD_STATE", .fallback = "/var/lib/distilld"),
    OPT(struct settings, listen, OPT_TEXT, "listen", "address of the API; port 0 takes a free one",
        .value = "HOST:PORT", .fallback = "127.0.0.1:8470"),
    OPT(struct settings, socket, OPT_TEXT, "socket",
        "UNIX socket of the API, where root and the daemon's own user need no token (default: "
        "STATE/api.sock)",
        .value = "PATH"),
    OPT(struct settings, slots, OPT_INT, "slots",
        "cores for jobs, each takes ranks x threads of them (default: the cores of this host)",
        .value = "N", .fallback = "0", .hi = 65536),
    OPT(struct settings, hostfile, OPT_TEXT, "hostfile",
        "hosts for jobs, a line `NAME slots=N` for each; they share the state folder and the data "
        "(default: this host alone, with --slots)",
        .value = "FILE"),
    OPT(struct settings, advertise, OPT_TEXT, "advertise",
        "with --hostfile: the IPv4 address of this host by which the others reach it",
        .value = "ADDRESS"),
    OPT(struct settings, network, OPT_TEXT, "network",
        "with --hostfile: the network that ranks use (default: any that Open MPI finds)",
        .value = "ADDRESS/BITS"),
    OPT(struct settings, launch_agent, OPT_TEXT, "launch-agent",
        "with --hostfile: reaches a host, as `COMMAND NAME WORD...`; it must not ask for "
        "passwords, "
        "and should give up after seconds",
        .value = "COMMAND", .fallback = "ssh -o BatchMode=yes -o ConnectTimeout=5"),
    OPT(struct settings, host_retry_s, OPT_REAL, "host-retry",
        "a host that was lost is asked again after so many seconds", .value = "S",
        .fallback = "60"),
    OPT(struct settings, silence_s, OPT_REAL, "silence",
        "with --hostfile: a host of which nothing was heard for so long is lost", .value = "S",
        .fallback = "10"),
    OPT(struct settings, lease_s, OPT_REAL, "lease",
        "with --hostfile: ranks that have not heard from here for so long end themselves, so that "
        "the job can go on elsewhere",
        .value = "S", .fallback = "30"),
    OPT(struct settings, grow_after_s, OPT_REAL, "grow-after",
        "a job that leaves its ranks to the queue gets more of them no sooner than so long after "
        "its last start",
        .value = "S", .fallback = "60"),
    OPT(struct settings, config, OPT_TEXT, "config",
        "file with lines of `name = value` for these options; the command line comes first",
        .value = "FILE"),
    OPT(struct settings, hosts, OPT_MANY, "host",
        "name by which browsers may reach the API, beside those of loopback", .value = "NAME"),
    OPT(struct settings, webhook_networks, OPT_MANY, "webhook-network",
        "addresses that webhooks may reach although they are not public", .value = "ADDRESS/BITS"),
    OPT(struct settings, data_roots, OPT_MANY, "data-root",
        "folder in which data sets and weights that users name must lie, without symbolic links "
        "below it; results of jobs may be named too (default: any folder)",
        .value = "DIR"),
    OPT(struct settings, worker, OPT_TEXT, "worker",
        "the training program (default: distill-worker beside this program)", .value = "FILE"),
    OPT(struct settings, shim, OPT_TEXT, "shim",
        "the parent of attempts (default: distill-shim beside this program)", .value = "FILE"),
    OPT(struct settings, web, OPT_TEXT, "web", "folder of the dashboard's files", .value = "DIR"),
    OPT(struct settings, body_bytes, OPT_INT, "max-body", "bytes of a request's body", .value = "N",
        .fallback = "1048576", .lo = 1024, .hi = 64 << 20),
    OPT(struct settings, upload_bytes, OPT_INT, "max-upload", "bytes of an uploaded file",
        .value = "N", .fallback = "68719476736", .lo = 1, .hi = INT64_C(1) << 50),
    OPT(struct settings, connections_per_address, OPT_INT, "connections-per-address",
        "connections at a time from one address (default: 64, loopback excepted)", .value = "N",
        .fallback = "0", .hi = 65536),
    OPT(struct settings, tls_certificate, OPT_TEXT, "tls-certificate",
        "serve HTTPS with this certificate and those that have signed it, in PEM form",
        .value = "FILE"),
    OPT(struct settings, tls_key, OPT_TEXT, "tls-key",
        "its private key, which others must not be able to read", .value = "FILE"),
    OPT(struct settings, requests_per_second, OPT_INT, "requests-per-second",
        "from one address or with one token, four times as many at once; not by the UNIX socket "
        "(default: 100, loopback and the token of STATE/token excepted)",
        .value = "N", .fallback = "0", .hi = 1000000),
    OPT(struct settings, auth_failures, OPT_INT, "auth-failures",
        "wrong tokens a minute from one address, which must wait then, whatever it sends; 0 takes "
        "any number",
        .value = "N", .fallback = "60", .hi = 1000000),
    OPT(struct settings, retention_days, OPT_INT, "retention-days",
        "remove jobs, with all that is stored of them, so many days after their end, and what else "
        "is needed no more; 0 keeps everything until `distillctl gc` is asked for it",
        .value = "N", .fallback = "0", .hi = 36500),
    OPT(struct settings, cache_days, OPT_INT, "cache-days",
        "when something is removed: also what the workers have kept to be faster, and has not been "
        "used for so many days; 0 keeps it",
        .value = "N", .fallback = "30", .hi = 36500),
    OPT(struct settings, header_timeout_s, OPT_INT, "header-timeout",
        "seconds for the headers of a request", .value = "S", .fallback = "10", .lo = 1,
        .hi = 3600),
    OPT(struct settings, body_timeout_s, OPT_INT, "body-timeout",
        "seconds for its body, unless it comes at 1 KiB/s or more", .value = "S", .fallback = "30",
        .lo = 1, .hi = 3600),
    OPT(struct settings, log_level, OPT_TEXT, "log-level", "debug, info, warn or error",
        .value = "LEVEL", .fallback = "info"),
    OPT(struct settings, recover, OPT_FLAG, "recover",
        "before starting, put the newest copy in the place of a state.db that is damaged or gone"),
    OPT(struct settings, check_config, OPT_FLAG, "check-config",
        "start nothing: check these options and the file"),
    OPT(struct settings, help, OPT_FLAG, "help", "print this help", .letter = 'h'),
    OPT(struct settings, version, OPT_FLAG, "version", "print the version"),
};

/* What SIGHUP changes. */
static const char *const reloadable[] = {
    "log-level",      "max-body",     "max-upload",     "connections-per-address",
    "header-timeout", "body-timeout", "retention-days", "cache-days"};

static void print_help(void)
{
    const struct opt_set all = OPT_SET(rows, NULL);
    struct buf b = buf_new(0);

    buf_str(&b,
            "usage: distilld [OPTION]...\n\n"
            "Takes knowledge-distillation jobs over a REST API, runs them on MPI ranks, and\n"
            "keeps their metrics and results. `distillctl` is its command line, and it serves a\n"
            "dashboard for browsers. SIGTERM stops it; running jobs go on and are found again\n"
            "at the next start.\n\n");
    opt_help(&all, &b);
    buf_str(
        &b,
        "\nSIGHUP reads the file again; these take effect at once, others at the next start:\n");
    for (size_t i = 0; i < ARRAY_LEN(reloadable); i++)
        buf_fmt(&b, "%s%s", i ? ", " : "  ", reloadable[i]);
    buf_str(&b, ".\n");
    fputs(buf_text(&b), stdout);
    buf_free(&b);
}

/* -- Settings ---------------------------------------------------------------------------------- */

/* Defaults and environment, below the file, below the command line. `file` holds the file's text. */
static bool read_settings(struct settings *s, int argc, char **argv, struct buf *file,
                          struct error *err)
{
    const struct opt_set all = OPT_SET(rows, s);
    struct opt_words words = {argv + 1, (size_t)argc - 1}, again = words;
    const char *path; /* one of argv */

    if (!opt_defaults(&all, err) || !opt_parse(&all, 1, &words, err))
        return false;
    path = s->config;
    if (!path)
        return true;
    if (!file_read(path, file, err))
        return err_named_file(err);
    if (strlen(buf_text(file)) != file->len)
        return err_set(err, ERR_INVALID, "%s: has a NUL byte", path);
    opt_free(&all);
    *s = (struct settings){0};
    return opt_defaults(&all, err) &&
           ((file->len == 0 || opt_lines(&all, 1, file->data, err)) || err_wrap(err, "%s", path)) &&
           opt_parse(&all, 1, &again, err);
}

/* A file beside this program; kept until the process ends. */
static char *beside_program(const char *name)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;

    self[n > 0 ? n : 0] = '\0';
    slash = strrchr(self, '/');
    return slash ? str_fmt("%.*s/%s", (int)(slash - self), self, name) : str_dup(name);
}

/* What the options leave open. */
static void complete(struct settings *s, char *texts[3])
{
    if (!s->worker)
        s->worker = texts[0] = beside_program("distill-worker");
    if (!s->shim)
        s->shim = texts[1] = beside_program("distill-shim");
    if (!s->web) {
        s->web = texts[2] = beside_program("client/web"); /* in a build folder */
        if (!file_exists(s->web))
            s->web = WEBDIR;
    }
    if (!s->slots && !s->hostfile)
        s->slots = cores_online();
}

static bool check_hosts(const struct settings *s, struct error *err)
{
    if (s->hostfile && s->slots)
        return err_set(err, ERR_INVALID, "--slots: --hostfile says how many there are");
    return !s->hostfile || s->advertise ||
           err_set(err, ERR_INVALID,
                   "--hostfile needs --advertise ADDRESS: where hosts reach this one");
}

static bool check_roots(const struct settings *s, struct error *err)
{
    for (size_t i = 0; i < s->data_roots.n; i++)
        if (s->data_roots.at[i][0] != '/' || strchr(s->data_roots.at[i], ':'))
            return err_set(err, ERR_INVALID,
                           "--data-root: expected an absolute path without a colon, got \"%s\"",
                           s->data_roots.at[i]);
    return true;
}

static bool set_log_level(const char *name, struct error *err)
{
    static const struct {
        const char *name;
        enum log_level level;
    } levels[] = {{"debug", LOG_LEVEL_DEBUG},
                  {"info", LOG_LEVEL_INFO},
                  {"warn", LOG_LEVEL_WARN},
                  {"error", LOG_LEVEL_ERROR}};
    const struct table t = TABLE(levels);

    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        if (strcmp(levels[i].name, name) == 0) {
            log_set_level(levels[i].level);
            return true;
        }
    return table_unknown(t, "log level", name, err);
}

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
    return ok && (!d->settings.recover || backup_recover(d->state_dir, err)) &&
           (d->store = store_open(d->state_dir, err));
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

/* HOST:PORT, [HOST]:PORT */
static bool split_address(const char *text, char host[256], const char **port, struct error *err)
{
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;
    int64_t number;

    if (!n || n >= 256 || !str_int(colon + 1, 0, 65535, &number))
        return err_set(err, ERR_INVALID, "--listen: expected HOST:PORT, got \"%s\"", text);
    if (text[0] == '[' && text[n - 1] == ']') {
        text++;
        n -= 2;
    }
    memcpy(host, text, n);
    host[n] = '\0';
    *port = colon + 1;
    return true;
}

static int listen_on(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    close(fd);
    return -1;
}

static int open_listener(const char *text, struct error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *list;
    char host[256];
    const char *port = NULL;
    int code, fd = -1;

    if (!split_address(text, host, &port, err))
        return -1;
    code = getaddrinfo(host, port, &hints, &list);
    if (code != 0) {
        err_set(err, ERR_INVALID, "--listen %s: %s", text, gai_strerror(code));
        return -1;
    }
    fd = listen_on(list);
    if (fd < 0)
        err_set(err, ERR_FAILED, "listening on %s: %s", text, strerror(errno));
    freeaddrinfo(list);
    return fd;
}

/* STATE/address is there while the daemon runs: how clients on this host find it. */
static bool publish_address(struct daemon *d, int fd, struct error *err)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof(a);
    char host[NI_MAXHOST], port[NI_MAXSERV];
    char *path = str_path(d->state_dir, "address"), *line;
    bool ok;

    getsockname(fd, (struct sockaddr *)&a, &len);
    getnameinfo((struct sockaddr *)&a, len, host, sizeof(host), port, sizeof(port),
                NI_NUMERICHOST | NI_NUMERICSERV);
    d->address = str_fmt(a.ss_family == AF_INET6 ? "http%s://[%s]:%s" : "http%s://%s:%s",
                         d->settings.tls_certificate ? "s" : "", host, port);
    line = str_fmt("%s\n", d->address);
    ok = file_publish(path, line, strlen(line), 0644, err);
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
    int fd = open_listener(d->settings.listen, err);

    if (fd < 0)
        return false;
    limits.tls = tls;
    if (!publish_address(d, fd, err)) {
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
    log_info("distilld " PACKAGE_VERSION " is ready address=%s state=%s slots=%lld jobs=%zu",
             d->address, d->state_dir, (long long)d->settings.slots, d->active.n);
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
    uv_timer_start(&d->hourly, on_hour, 0, HOUR_MS);
    attempts_watch(d);
    sched_soon(d);
    return true;
}

/* -- SIGHUP ------------------------------------------------------------------------------------ */

struct reload {
    struct daemon *daemon;
    int argc;
    char **argv;
};

/* As the table says where it lies. */
static bool same_value(const struct opt *o, const struct settings *a, const struct settings *b)
{
    const char *x = (const char *)a + o->offset, *y = (const char *)b + o->offset;

    switch (o->kind) {
    case OPT_INT: return memcmp(x, y, sizeof(int64_t)) == 0;
    case OPT_REAL: return memcmp(x, y, sizeof(double)) == 0;
    case OPT_TEXT: {
        const char *const *s = (const void *)x, *const *t = (const void *)y;

        /* What neither names has been completed at the start. */
        return !*t || (*s && strcmp(*s, *t) == 0);
    }
    default: return true;
    }
}

static bool is_reloadable(const char *name)
{
    size_t i = 0;

    while (i < ARRAY_LEN(reloadable) && strcmp(reloadable[i], name) != 0)
        i++;
    return i < ARRAY_LEN(reloadable);
}

static void say_what_waits(const struct settings *now, const struct settings *fresh)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (!is_reloadable(rows[i].name) && !same_value(&rows[i], now, fresh) &&
            (strcmp(rows[i].name, "slots") != 0 || fresh->slots))
            log_warn("a setting takes effect at the next start setting=%s", rows[i].name);
}

static void take_settings(struct daemon *d, const struct settings *fresh)
{
    struct settings *s = &d->settings;
    struct http_limits limits;

    say_what_waits(s, fresh);
    s->body_bytes = fresh->body_bytes;
    s->upload_bytes = fresh->upload_bytes;
    s->connections_per_address = fresh->connections_per_address;
    s->header_timeout_s = fresh->header_timeout_s;
    s->body_timeout_s = fresh->body_timeout_s;
    s->retention_days = fresh->retention_days;
    s->cache_days = fresh->cache_days;
    limits = http_limits_of(s);
    http_set_limits(d->http, &limits);
    log_info("the configuration was read again");
}

/* A file with a mistake changes nothing. */
static void on_reload(uv_signal_t *signal_handle, int number)
{
    const struct reload *r = signal_handle->data;
    struct settings fresh = {0};
    const struct opt_set all = OPT_SET(rows, &fresh);
    struct buf file = buf_new(CONFIG_MAX);
    struct error err = {0};

    (void)number;
    if (r->daemon->http && read_settings(&fresh, r->argc, r->argv, &file, &err) &&
        set_log_level(fresh.log_level, &err))
        take_settings(r->daemon, &fresh);
    else
        log_error("the configuration stays as it was error=\"%s\"", err.msg);
    opt_free(&all);
    buf_free(&file);
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

/* What can be told without starting. */
static bool check_config(const struct settings *s, struct error *err)
{
    const char *const programs[] = {s->worker, s->shim};
    char host[256];
    const char *port;

    for (size_t i = 0; i < ARRAY_LEN(programs); i++)
        if (access(programs[i], X_OK) != 0)
            return err_set(err, ERR_INVALID, "%s cannot be run: %s", programs[i], strerror(errno));
    if (s->hostfile && access(s->hostfile, R_OK) != 0)
        return err_set(err, ERR_INVALID, "--hostfile %s: %s", s->hostfile, strerror(errno));
    if (!split_address(s->listen, host, &port, err))
        return false;
    puts("distilld: the configuration is good");
    return true;
}

static bool serve(struct settings *s, int argc, char **argv, bool *broken, struct error *err)
{
    static const int numbers[] = {SIGTERM, SIGINT};
    struct daemon d = {.settings = *s};
    uv_signal_t signals[ARRAY_LEN(numbers)], hangup;
    struct reload reload = {&d, argc, argv};
    bool ok;

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
    struct settings s = {0};
    const struct opt_set all = OPT_SET(rows, &s);
    struct buf file = buf_new(CONFIG_MAX);
    struct error err = {0};
    char *texts[3] = {NULL};
    bool broken = false;
    bool ok = read_settings(&s, argc, argv, &file, &err) || s.help || s.version;

    if (s.help) {
        print_help();
    } else if (s.version) {
        puts("distilld " PACKAGE_VERSION);
    } else if (ok) {
        complete(&s, texts);
        ok = check_hosts(&s, &err) && check_roots(&s, &err) && set_log_level(s.log_level, &err) &&
             (s.check_config ? check_config(&s, &err) : serve(&s, argc, argv, &broken, &err));
    }
    if (!ok)
        fprintf(stderr, "distilld: %s\n%s", err.msg,
                err_exit_status(err.code) == 2 ? "distilld --help shows all options.\n" : "");
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free(texts[i]);
    opt_free(&all);
    buf_free(&file);
    return broken ? EXIT_DISK : ok ? 0 : err_exit_status(err.code);
}
