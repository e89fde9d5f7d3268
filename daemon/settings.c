#include "daemon/settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/cores.h"
#include "daemon/hostfile.h"
#include "daemon/listener.h"
#include "daemon/netblock.h"
#include "daemon/tls.h"
#include "daemon/uplink.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/base/table.h"

enum {
    CONFIG_MAX = 1 << 20
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
        .fallback = "10", .lo = 1),
    OPT(struct settings, lease_s, OPT_REAL, "lease",
        "with --hostfile: ranks that have not heard from here for so long end themselves, so that "
        "the job can go on elsewhere",
        .value = "S", .fallback = "30", .lo = 1),
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
        "below it; results of jobs may be named too (default: any folder but the daemon's own)",
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

void settings_help(void)
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
    buf_str(&b, ";\nand a certificate and key that are others by then, for new connections.\n");
    fputs(buf_text(&b), stdout);
    buf_free(&b);
}

/* -- Reading ----------------------------------------------------------------------------------- */

/* `text` takes the text of the file, into which values point. */
static bool read_all(struct settings *s, struct buf *text, int argc, char **argv, struct error *err)
{
    const struct opt_set all = OPT_SET(rows, s);
    struct opt_words words = {argv + 1, (size_t)argc - 1}, again = words;
    const char *path; /* one of argv */

    if (!opt_defaults(&all, err) || !opt_parse(&all, 1, &words, err))
        return false;
    path = s->config;
    if (!path)
        return true;
    if (!file_read(path, text, err))
        return err_named_file(err);
    if (strlen(buf_text(text)) != text->len)
        return err_set(err, ERR_INVALID, "%s: has a NUL byte", path);
    opt_free(&all);
    *s = (struct settings){0};
    return opt_defaults(&all, err) &&
           ((text->len == 0 || opt_lines(&all, 1, text->data, err)) || err_wrap(err, "%s", path)) &&
           opt_parse(&all, 1, &again, err);
}

bool settings_read(struct settings *s, int argc, char **argv, struct error *err)
{
    struct buf text = buf_new(CONFIG_MAX);
    bool ok;

    *s = (struct settings){0};
    ok = read_all(s, &text, argc, argv, err);
    s->text = text;
    return ok;
}

/* A file beside this program; free() */
static char *beside_program(const char *name)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;

    self[n > 0 ? n : 0] = '\0';
    slash = strrchr(self, '/');
    return slash ? str_fmt("%.*s/%s", (int)(slash - self), self, name) : str_dup(name);
}

void settings_complete(struct settings *s)
{
    if (!s->worker)
        s->worker = s->found[0] = beside_program("distill-worker");
    if (!s->shim)
        s->shim = s->found[1] = beside_program("distill-shim");
    if (!s->web) {
        s->web = s->found[2] = beside_program("client/web"); /* in a build folder */
        if (!file_exists(s->web))
            s->web = WEBDIR;
    }
    if (!s->slots && !s->hostfile)
        s->slots = cores_online();
}

void settings_free(struct settings *s)
{
    const struct opt_set all = OPT_SET(rows, s);

    opt_free(&all);
    buf_free(&s->text);
    for (size_t i = 0; i < ARRAY_LEN(s->found); i++)
        free(s->found[i]);
    *s = (struct settings){0};
}

/* -- Checking ---------------------------------------------------------------------------------- */

static const char *text_at(const struct settings *s, const struct opt *o)
{
    const char *const *text = (const void *)((const char *)s + o->offset);

    return *text;
}

static const opt_list *list_at(const struct settings *s, const struct opt *o)
{
    return (const void *)((const char *)s + o->offset);
}

/* A setting that nobody gives is NULL. */
static bool check_given(const struct settings *s, struct error *err)
{
    bool empty = false;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct opt *o = &rows[i];

        if (o->kind == OPT_TEXT)
            empty = text_at(s, o) && !text_at(s, o)[0];
        for (size_t k = 0; o->kind == OPT_MANY && !empty && k < list_at(s, o)->n; k++)
            empty = !list_at(s, o)->at[k][0];
        if (empty)
            return err_set(err, ERR_INVALID, "--%s: expected %s, got nothing", o->name, o->value);
    }
    return true;
}

static bool check_listen(const struct settings *s, struct error *err)
{
    char host[LISTENER_HOST];
    const char *port;

    return listener_parse(s->listen, host, &port, err);
}

/* With --hostfile only: nobody else asks for them. */
static bool check_network(const struct settings *s, struct error *err)
{
    struct sockaddr_in a;
    struct netblock b;

    return (!s->advertise || uplink_address(s->advertise, &a, err)) &&
           (!s->network || netblock_parse(s->network, &b, err) || err_wrap(err, "--network"));
}

static bool check_hosts(const struct settings *s, struct error *err)
{
    struct buf text;
    hostfile_list lines = {0};
    bool ok;

    if (!s->hostfile)
        return true;
    if (s->slots)
        return err_set(err, ERR_INVALID, "--slots: --hostfile says how many there are");
    if (!s->advertise)
        return err_set(err, ERR_INVALID,
                       "--hostfile needs --advertise ADDRESS: where hosts reach this one");
    ok = hostfile_read(s->hostfile, &text, &lines, err);
    vec_free(&lines);
    buf_free(&text);
    return ok;
}

/* Which is taken apart at its spaces. */
static bool check_agent(const struct settings *s, struct error *err)
{
    return s->launch_agent[strspn(s->launch_agent, " ")] ||
           err_set(err, ERR_INVALID, "--launch-agent: expected COMMAND, got only spaces");
}

/* As Host has it, without the port and without the brackets of IPv6. */
static bool is_host(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "-._";
    struct in6_addr a;

    return !name[strspn(name, allowed)] || inet_pton(AF_INET6, name, &a) == 1;
}

static bool check_names(const struct settings *s, struct error *err)
{
    for (size_t i = 0; i < s->hosts.n; i++)
        if (!is_host(s->hosts.at[i]))
            return err_set(err, ERR_INVALID,
                           "--host: expected a name or an address alone, as train.example.org, got "
                           "\"%s\"",
                           s->hosts.at[i]);
    return true;
}

static bool check_webhooks(const struct settings *s, struct error *err)
{
    struct netblock b;

    for (size_t i = 0; i < s->webhook_networks.n; i++)
        if (!netblock_parse(s->webhook_networks.at[i], &b, err))
            return err_wrap(err, "--webhook-network");
    return true;
}

static bool check_roots(const struct settings *s, struct error *err)
{
    for (size_t i = 0; i < s->data_roots.n; i++) {
        const char *root = s->data_roots.at[i];
        struct stat st;

        if (root[0] != '/' || strchr(root, ':'))
            return err_set(err, ERR_INVALID,
                           "--data-root: expected an absolute path without a colon, got \"%s\"",
                           root);
        if (stat(root, &st) != 0)
            return err_set(err, ERR_INVALID, "--data-root: expected a folder, but %s: %s", root,
                           strerror(errno));
        if (!S_ISDIR(st.st_mode))
            return err_set(err, ERR_INVALID, "--data-root: expected a folder, %s is none", root);
    }
    return true;
}

static bool is_program(const char *option, const char *path, struct error *err)
{
    struct stat st;

    if (access(path, X_OK) != 0)
        return err_set(err, ERR_INVALID, "%s: expected a program, but %s cannot be run: %s", option,
                       path, strerror(errno));
    return (stat(path, &st) == 0 && S_ISREG(st.st_mode)) ||
           err_set(err, ERR_INVALID, "%s: expected a program, %s is no regular file", option, path);
}

static bool check_programs(const struct settings *s, struct error *err)
{
    return is_program("--worker", s->worker, err) && is_program("--shim", s->shim, err);
}

static bool check_tls(const struct settings *s, struct error *err)
{
    struct http_tls tls;
    bool ok = true;

    if (s->tls_certificate || s->tls_key) {
        ok = tls_load(s->tls_certificate, s->tls_key, &tls, err);
        tls_unload(&tls);
    }
    return ok;
}

static bool read_level(const struct settings *s, enum log_level *out, struct error *err)
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
        if (strcmp(levels[i].name, s->log_level) == 0) {
            *out = levels[i].level;
            return true;
        }
    return table_unknown(t, "log level", s->log_level, err);
}

static bool check_level(const struct settings *s, struct error *err)
{
    enum log_level level;

    return read_level(s, &level, err);
}

bool settings_check(const struct settings *s, struct error *err)
{
    static bool (*const checks[])(const struct settings *s, struct error *err) = {
        check_given, check_level,    check_listen, check_hosts,    check_network, check_agent,
        check_names, check_webhooks, check_roots,  check_programs, check_tls,
    };

    for (size_t i = 0; i < ARRAY_LEN(checks); i++)
        if (!checks[i](s, err))
            return false;
    return true;
}

/* -- SIGHUP ------------------------------------------------------------------------------------ */

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_list(const opt_list *a, const opt_list *b)
{
    size_t i = 0;

    while (i < a->n && i < b->n && strcmp(a->at[i], b->at[i]) == 0)
        i++;
    return i == a->n && i == b->n;
}

/* As the table says where it lies. */
static bool same_value(const struct opt *o, const struct settings *a, const struct settings *b)
{
    const char *x = (const char *)a + o->offset, *y = (const char *)b + o->offset;

    switch (o->kind) {
    case OPT_INT: return memcmp(x, y, sizeof(int64_t)) == 0;
    case OPT_REAL: return memcmp(x, y, sizeof(double)) == 0;
    case OPT_TEXT: return same_text(text_at(a, o), text_at(b, o));
    case OPT_MANY: return same_list(list_at(a, o), list_at(b, o));
    default: return memcmp(x, y, sizeof(bool)) == 0;
    }
}

static bool is_reloadable(const char *name)
{
    size_t i = 0;

    while (i < ARRAY_LEN(reloadable) && strcmp(reloadable[i], name) != 0)
        i++;
    return i < ARRAY_LEN(reloadable);
}

/* The slots of a hostfile are known only once that was read; TLS goes on, with another certificate. */
static bool waits(const struct opt *o, const struct settings *now, const struct settings *fresh)
{
    if (strcmp(o->name, "slots") == 0)
        return !now->hostfile && !fresh->hostfile;
    if (str_starts(o->name, "tls-"))
        return !now->tls_certificate || !fresh->tls_certificate;
    return !is_reloadable(o->name);
}

static void say_what_waits(const struct settings *now, const struct settings *fresh)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (waits(&rows[i], now, fresh) && !same_value(&rows[i], now, fresh))
            log_warn("a setting takes effect at the next start setting=%s", rows[i].name);
}

bool settings_set_log_level(const struct settings *s, struct error *err)
{
    enum log_level level;

    if (!read_level(s, &level, err))
        return false;
    log_set_level(level);
    return true;
}

void settings_take(struct settings *s, const struct settings *fresh)
{
    say_what_waits(s, fresh);
    s->body_bytes = fresh->body_bytes;
    s->upload_bytes = fresh->upload_bytes;
    s->connections_per_address = fresh->connections_per_address;
    s->header_timeout_s = fresh->header_timeout_s;
    s->body_timeout_s = fresh->body_timeout_s;
    s->retention_days = fresh->retention_days;
    s->cache_days = fresh->cache_days;
}
