#define _GNU_SOURCE
#include "daemon/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/procs.h"
#include "daemon/refs.h"
#include "daemon/uplink.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

struct child {
    uv_process_t process;
    struct daemon *daemon;
    char job[JOB_ID_SIZE];
    launch_ended ended;
};

/* Arguments or variables, ended by NULL where they are used. */
struct words {
    VEC(char *) list;
};

static void add(struct words *w, char *take_word)
{
    vec_push(&w->list, take_word);
}

static void add_copy(struct words *w, const char *word)
{
    add(w, str_dup(word));
}

static void words_free(struct words *w)
{
    for (size_t i = 0; i < w->list.n; i++)
        free(w->list.at[i]);
    vec_free(&w->list);
}

bool launch_prepare(struct daemon *d, const struct job *j, char token[SECRET_SIZE],
                    struct error *err)
{
    char *dir = daemon_attempt_path(d, j), *out = daemon_job_path(d, j->id, "out");
    char *spec = daemon_job_path(d, j->id, "job.json"), *path = str_path(dir, "token");
    char *text = refs_plain(d, j, err);
    bool ok;

    secret_new("dwa_", token);
    ok = text && file_make_dirs(out, 0755, err) && file_make_dirs(dir, 0700, err) &&
         file_replace(path, token, strlen(token), 0600, err) &&
         file_replace(spec, text, strlen(text), 0644, err);
    free(text);
    free(path);
    free(spec);
    free(out);
    free(dir);
    return ok;
}

char *launch_mark(const struct daemon *d)
{
    return str_fmt("DISTILLD_CACHE=%s/cache", d->state_dir);
}

/* Our own environment, less what speaks of the daemon, and what the ranks must know. */
static void add_environment(struct words *w, struct daemon *d, const struct job *j, const char *dir)
{
    struct ref_use data;
    char span[TRACE_SIZE];

    for (char **v = environ; *v; v++)
        if ((!str_starts(*v, "DISTILLD_") && !str_starts(*v, "TRACEPARENT=")) ||
            str_starts(*v, "DISTILLD_FAULT="))
            add_copy(w, *v);
    trace_below(j->trace, span);
    if (span[0])
        add(w, str_fmt("TRACEPARENT=%s", span));
    add(w, str_fmt(ATTEMPT_VARIABLE "=%s.%" PRId64, j->id, j->attempt));
    add(w, str_fmt("DISTILLD_JOB=%s", j->id));
    add(w, str_fmt("DISTILLD_GENERATION=%" PRId64, j->attempt));
    add(w, str_fmt(d->settings.hostfile ? "DISTILLD_UPLINK=file:%s/" UPLINK_ADDRESS
                                        : "DISTILLD_UPLINK=%s/" UPLINK_SOCKET,
                   d->state_dir));
    add(w, str_fmt("DISTILLD_TOKEN_FILE=%s/token", dir));
    add(w, launch_mark(d));
    if (d->roots)
        add(w, str_fmt("DISTILLD_ROOTS=%s", d->roots));
    if (refs_use(d, j->id, "data.source", &data))
        add(w, str_fmt("DISTILLD_DATA_SHA256=%s", data.sha256));
    vec_push(&w->list, NULL);
}

/* The worker's command for each kind of job. */
static const char *command_of(const char *kind)
{
    static const struct {
        const char *kind, *command;
    } rows[] = {
        {"train", "train"}, {"distill", "train"}, {"class_means", "class-means"}, {"eval", "eval"}};
    size_t i = 0;

    while (strcmp(rows[i].kind, kind) != 0)
        ASSERT(++i < ARRAY_LEN(rows));
    return rows[i].command;
}

/* What only ranks on other hosts need. */
static void add_hosts(struct words *w, const struct daemon *d, const struct job *j)
{
    add_copy(w, "--hosts");
    add_copy(w, j->placement);
    add_copy(w, "--launch-agent");
    add_copy(w, d->settings.launch_agent);
    add_copy(w, "--watch");
    add(w, str_fmt("%s:0", d->settings.advertise));
    add_copy(w, "--lease");
    add(w, str_fmt("%.17g", d->settings.lease_s));
    add_copy(w, "--silence");
    add(w, str_fmt("%.17g", d->settings.silence_s));
    if (d->settings.network) {
        add_copy(w, "--network");
        add_copy(w, d->settings.network);
    }
}

/* What the shim must know of the job's watchdog. The spec was normalised when it was accepted; one of an
 * older daemon has none, and the shim its default. */
static void add_stall(struct words *w, const struct job *j)
{
    struct json *spec = js_parse(j->spec, strlen(j->spec), NULL);
    const struct json *stall = js_path(spec, "watchdog.stall_s");

    if (stall) {
        add_copy(w, "--stall");
        add(w, str_fmt("%.17g", js_real(stall, 0)));
    }
    js_free(spec);
}

static void add_arguments(struct words *w, const struct daemon *d, const struct job *j,
                          const char *dir)
{
    add_copy(w, d->settings.shim);
    add_copy(w, "--attempt");
    add_copy(w, dir);
    add_copy(w, "--out");
    add(w, daemon_job_path(d, j->id, "out"));
    add_copy(w, "--ranks");
    add(w, str_fmt("%" PRId64, j->attempt_ranks));
    add_copy(w, "--threads");
    add(w, str_fmt("%" PRId64, j->threads));
    if (d->settings.hostfile)
        add_hosts(w, d, j);
    add_stall(w, j);
    add_copy(w, "--");
    add_copy(w, d->settings.worker);
    add_copy(w, command_of(j->kind));
    add(w, daemon_job_path(d, j->id, "job.json"));
    add_copy(w, "--out");
    add(w, daemon_job_path(d, j->id, "out"));
    vec_push(&w->list, NULL);
}

static void on_closed(uv_handle_t *h)
{
    free(h->data);
}

static void on_shim_exit(uv_process_t *p, int64_t status, int signal_number)
{
    struct child *c = p->data;

    (void)status;
    (void)signal_number;
    c->ended(c->daemon, c->job, c);
    launch_release(c);
}

pid_t launch_pid(const struct child *c)
{
    return c->process.pid;
}

void launch_release(struct child *c)
{
    if (c && !uv_is_closing((uv_handle_t *)&c->process))
        uv_close((uv_handle_t *)&c->process, on_closed);
}

static struct child *spawn(struct daemon *d, const struct job *j, struct words *args,
                           struct words *env, int log, launch_ended ended, struct error *err)
{
    uv_stdio_container_t stdio[] = {{.flags = UV_IGNORE},
                                    {.flags = UV_INHERIT_FD, .data.fd = log},
                                    {.flags = UV_INHERIT_FD, .data.fd = log}};
    const uv_process_options_t o = {.exit_cb = on_shim_exit,
                                    .file = args->list.at[0],
                                    .args = args->list.at,
                                    .env = env->list.at,
                                    .flags = UV_PROCESS_DETACHED,
                                    .stdio_count = ARRAY_LEN(stdio),
                                    .stdio = stdio};
    struct child *c = NEW(struct child);
    int code;

    c->daemon = d;
    c->ended = ended;
    snprintf(c->job, sizeof(c->job), "%s", j->id);
    code = uv_spawn(&d->loop, &c->process, &o);
    c->process.data = c;
    uv_unref((uv_handle_t *)&c->process);
    if (code == 0)
        return c;
    launch_release(c);
    err_set(err, ERR_FAILED, "starting %s: %s", o.file, uv_strerror(code));
    return NULL;
}

struct child *launch_start(struct daemon *d, const struct job *j, launch_ended ended,
                           struct error *err)
{
    char *dir = daemon_attempt_path(d, j), *path = str_path(dir, "output.log");
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    struct words args = {0}, env = {0};
    struct child *c = NULL;

    add_arguments(&args, d, j, dir);
    add_environment(&env, d, j, dir);
    if (log < 0)
        err_set(err, ERR_IO, "open %s: %s", path, strerror(errno));
    else
        c = spawn(d, j, &args, &env, log, ended, err);
    if (log >= 0)
        close(log);
    words_free(&args);
    words_free(&env);
    free(path);
    free(dir);
    return c;
}
