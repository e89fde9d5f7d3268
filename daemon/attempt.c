#define _GNU_SOURCE
#include "daemon/attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

enum {
    RECORD_MAX = 64 << 10
};

static bool write_record(const char *dir, const char *name, struct json *take_record,
                         struct error *err)
{
    char *path = str_path(dir, name), *text;
    bool ok;

    js_set(take_record, "format", js_new_int(ATTEMPT_FORMAT));
    text = js_text(take_record, JS_INDENT);
    ok = file_replace(path, text, strlen(text), 0644, err);
    js_free(take_record);
    free(text);
    free(path);
    return ok;
}

static struct json *read_record(const char *dir, const char *name, struct error *err)
{
    char *path = str_path(dir, name);
    struct json *j = js_read_file(path, RECORD_MAX, err);
    int64_t format = js_int(js_get(j, "format"), 1);

    free(path);
    if (!j || format <= ATTEMPT_FORMAT)
        return j;
    js_free(j);
    err_set(err, ERR_UNSUPPORTED,
            "%s was written by a newer release (format %" PRId64 "; this one reads up to %d)", name,
            format, ATTEMPT_FORMAT);
    return NULL;
}

bool attempt_write_owner(const char *dir, const char *id, const struct attempt_owner *owner,
                         struct error *err)
{
    const struct process *shim = &owner->shim;
    struct json *j = js_new_object();
    char now[CLOCK_TEXT];

    js_set(j, "attempt", js_new_string(id));
    js_set(j, "pid", js_new_int(shim->pid));
    js_set(j, "start_time", js_new_int((int64_t)shim->start_time));
    js_set(j, "boot_id", js_new_string(shim->boot_id));
    js_set(j, "cgroup", js_new_string(owner->cgroup));
    js_set(j, "started_at", js_new_string(clock_text(clock_wall_ms(), now)));
    return write_record(dir, "attempt.json", j, err);
}

bool attempt_read_owner(const char *dir, struct attempt_owner *owner, struct error *err)
{
    struct json *j = read_record(dir, "attempt.json", err);
    struct process *shim = &owner->shim;

    if (!j)
        return false;
    *shim = (struct process){
        .pid = (pid_t)js_int(js_get(j, "pid"), 0),
        .start_time = (uint64_t)js_int(js_get(j, "start_time"), 0),
    };
    snprintf(owner->cgroup, sizeof(owner->cgroup), "%s", js_string(js_get(j, "cgroup"), ""));
    snprintf(shim->boot_id, sizeof(shim->boot_id), "%s", js_string(js_get(j, "boot_id"), ""));
    js_free(j);
    return true;
}

bool attempt_write_exit(const char *dir, const struct attempt_exit *e, struct error *err)
{
    struct json *j = js_new_object();
    char now[CLOCK_TEXT];

    js_set(j, "status", js_new_int(e->status));
    js_set(j, "signal", js_new_int(e->signal));
    js_set(j, "stopped", js_new_bool(e->stopped));
    js_set(j, "lost", js_new_bool(e->lost));
    js_set(j, "unbegun", js_new_bool(e->unbegun));
    js_set(j, "class", js_new_string(failure_name(e->class)));
    js_set(j, "message", js_new_string(e->message));
    js_set(j, "ended_at", js_new_string(clock_text(clock_wall_ms(), now)));
    js_set(j, "ended_ms", js_new_int(clock_wall_ms()));
    js_set(j, "ended_boot_ms", js_new_int((int64_t)(1e3 * clock_boot_s())));
    return write_record(dir, "exit.json", j, err);
}

bool attempt_read_exit(const char *dir, struct attempt_exit *e, struct error *err)
{
    struct json *j = read_record(dir, "exit.json", err);

    if (!j)
        return false;
    *e = (struct attempt_exit){
        .status = (int)js_int(js_get(j, "status"), 1),
        .signal = (int)js_int(js_get(j, "signal"), 0),
        .stopped = js_bool(js_get(j, "stopped"), false),
        .lost = js_bool(js_get(j, "lost"), false),
        .unbegun = js_bool(js_get(j, "unbegun"), false),
        .class = failure_parse(js_string(js_get(j, "class"), "")),
        .ended_ms = js_int(js_get(j, "ended_ms"), 0),
        .ended_boot_ms = js_int(js_get(j, "ended_boot_ms"), 0),
    };
    snprintf(e->message, sizeof(e->message), "%s", js_string(js_get(j, "message"), ""));
    js_free(j);
    return true;
}

int attempt_lock(const char *dir, bool wait, struct error *err)
{
    char *path = str_path(dir, "lock");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0) {
        err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "open %s: %s", path,
                strerror(errno));
    } else if (flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB)) != 0) {
        err_set(err, errno == EWOULDBLOCK ? ERR_CONFLICT : ERR_IO, "lock %s: %s", path,
                strerror(errno));
        close(fd);
        fd = -1;
    }
    free(path);
    return fd;
}
