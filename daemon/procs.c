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

static bool has_variable(pid_t pid, const char *assignment)
{
    char path[64];
    struct buf env = buf_new(ENVIRONMENT_MAX);
    bool found = false;

    snprintf(path, sizeof(path), "/proc/%ld/environ", (long)pid);
    if (file_read(path, &env, NULL))
        for (size_t i = 0; i < env.len && !found; i += strlen(env.data + i) + 1)
            found = strcmp(env.data + i, assignment) == 0;
    buf_free(&env);
    return found;
}

size_t procs_signal(const char *attempt_id, int signal)
{
    char *assignment = str_fmt("%s=%s", ATTEMPT_VARIABLE, attempt_id);
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    size_t n = 0;
    int64_t pid;

    while (proc && (entry = readdir(proc))) {
        if (!str_int(entry->d_name, 1, INT32_MAX, &pid) || pid == getpid() ||
            !has_variable((pid_t)pid, assignment))
            continue;
        kill((pid_t)pid, signal);
        n++;
    }
    if (proc)
        closedir(proc);
    free(assignment);
    return n;
}
