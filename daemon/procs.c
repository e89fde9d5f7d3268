#define _GNU_SOURCE
#include "daemon/procs.h"

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/str.h"

enum {
    ENVIRONMENT_MAX = 4 << 20
};

/* Field 22 of /proc/PID/stat, counted after the command name, which may hold anything. */
static bool read_start_time(pid_t pid, uint64_t *out)
{
    char path[64];
    struct buf text = buf_new(4096);
    const char *p;
    bool ok = false;

    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    if (!file_read(path, &text, NULL))
        goto out;
    p = strrchr(buf_text(&text), ')');
    for (int field = 2; p && field < 22; field++)
        p = strchr(p + 1, ' ');
    ok = p && sscanf(p, " %" SCNu64, out) == 1;
out:
    buf_free(&text);
    return ok;
}

int64_t process_started_ms(const struct process *p)
{
    const double s = (double)p->start_time / (double)sysconf(_SC_CLK_TCK);

    return s < 1e12 ? (int64_t)(1e3 * s) : 0;
}

bool process_identify(pid_t pid, struct process *out)
{
    *out = (struct process){.pid = pid};
    host_boot_id(out->boot_id);
    return read_start_time(pid, &out->start_time);
}

bool process_signal(const struct process *p, int signal)
{
    /* The descriptor pins the process: the pid cannot come to mean another one in between. */
    int fd = p->pid > 0 ? pidfd_open(p->pid, 0) : -1;
    struct process now;
    bool ok = fd >= 0 && process_identify(p->pid, &now) && now.start_time == p->start_time &&
              strcmp(now.boot_id, p->boot_id) == 0 && pidfd_send_signal(fd, signal, NULL, 0) == 0;

    if (fd >= 0)
        close(fd);
    return ok;
}

static bool has_variable(const struct buf *env, const char *assignment)
{
    for (size_t i = 0; i < env->len; i += strlen(env->data + i) + 1)
        if (strcmp(env->data + i, assignment) == 0)
            return true;
    return false;
}

typedef void visit_fn(pid_t pid, const struct buf *env, void *arg);

/* All processes but our own. */
static void visit_all(visit_fn *visit, void *arg)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    int64_t pid;

    while (proc && (entry = readdir(proc))) {
        struct buf env = buf_new(ENVIRONMENT_MAX);
        char path[64];

        if (str_int(entry->d_name, 1, INT32_MAX, &pid) && pid != getpid()) {
            snprintf(path, sizeof(path), "/proc/%ld/environ", (long)pid);
            if (file_read(path, &env, NULL))
                visit((pid_t)pid, &env, arg);
        }
        buf_free(&env);
    }
    if (proc)
        closedir(proc);
}

struct call {
    char *assignment;
    int signal;
    size_t n;
};

static void signal_one(pid_t pid, const struct buf *env, void *arg)
{
    struct call *c = arg;

    if (!has_variable(env, c->assignment))
        return;
    kill(pid, c->signal);
    c->n++;
}

size_t procs_signal(const char *attempt_id, int signal)
{
    struct call c = {str_fmt("%s=%s", ATTEMPT_VARIABLE, attempt_id), signal, 0};

    visit_all(signal_one, &c);
    free(c.assignment);
    return c.n;
}

struct search {
    const char *mark;
    procs_seen *seen;
    void *arg;
};

static void tell_one(pid_t pid, const struct buf *env, void *arg)
{
    static const char name[] = ATTEMPT_VARIABLE "=";
    const struct search *s = arg;

    (void)pid;
    if (!has_variable(env, s->mark))
        return;
    for (size_t i = 0; i < env->len; i += strlen(env->data + i) + 1)
        if (str_starts(env->data + i, name))
            s->seen(env->data + i + strlen(name), s->arg);
}

void procs_each(const char *mark, procs_seen *seen, void *arg)
{
    struct search s = {mark, seen, arg};

    visit_all(tell_one, &s);
}
