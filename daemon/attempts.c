#define _GNU_SOURCE
#include "daemon/attempts.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/cgroup.h"
#include "daemon/hosts.h"
#include "daemon/ingest.h"
#include "daemon/launch.h"
#include "daemon/lifecycle.h"
#include "daemon/mpirun.h"
#include "daemon/outcome.h"
#include "daemon/sched.h"
#include "daemon/threads.h"
#include "daemon/uplink.h"
#include "proto/base/beneath.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    TICK_MS = 1000,
    LATE_MS = 2 * TICK_MS,
    SOON_MS = 50,
    LEASE_MARGIN_S = 1,
    STOP_GRACE_S = 15, /* a step may take that long */
    PUT_DOWN_S = 5,    /* until processes that were killed are gone, as a rule far less */
    PUT_DOWN_STEP_US = 20000,
    TERM_GRACE_S = 10,  /* a shim that is told to end the attempt needs no more than a few */
    STALL_MARGIN_S = 3, /* for a shim that is continued to look by itself */
    RECONNECT_S = 1,    /* a rank 0 that is not connected should be by then */
    RESULT_MAX = 1 << 20
};

bool attempts_running(const struct active *a)
{
    return (a->job->state == JOB_STARTING || a->job->state == JOB_RUNNING) && !job_is_sweep(a->job);
}

/* -- Time -------------------------------------------------------------------------------------- */

static bool was_before_reboot(const struct attempt_owner *owner)
{
    char boot[HOST_BOOT_SIZE];

    host_boot_id(boot);
    return owner->shim.pid && strcmp(owner->shim.boot_id, boot) != 0;
}

/* How long ago an earlier run of the daemon began it. The wall clock may have been set since, and is asked only where the
 * boot of the attempt is over. One that has no record yet has only begun. */
static int64_t age_ms(const struct daemon *d, const struct job *j)
{
    char *dir = daemon_attempt_path(d, j);
    struct attempt_owner owner;
    struct error err;
    const bool known = attempt_read_owner(dir, &owner, &err);
    int64_t began = known && !was_before_reboot(&owner) ? process_started_ms(&owner.shim) : 0;
    int64_t now = (int64_t)(1e3 * clock_boot_s());

    free(dir);
    if (!known && err.code == ERR_NOT_FOUND)
        return 0;
    if (!began) {
        began = store_attempt_started_ms(d->store, j->id, j->attempt);
        now = clock_wall_ms();
    }
    return began && now > began ? now - began : 0;
}

/* By the monotonic clock. */
int64_t attempts_lasted_ms(const struct daemon *d, struct active *a)
{
    const int64_t now = clock_mono_ns();

    if (!a->since_ns)
        a->since_ns = now - age_ms(d, a->job) * 1000000;
    return (now - a->since_ns) / 1000000;
}

int64_t attempts_left_ms(const struct daemon *d, struct active *a)
{
    const struct job *j = a->job;

    return j->limit_ms
               ? j->limit_ms - j->ran_ms - (attempts_running(a) ? attempts_lasted_ms(d, a) : 0)
               : INT64_MAX;
}

/* When a job last wrote something, by the wall clock; 0: never. */
static int64_t wrote_ms(const struct daemon *d, const struct job *j)
{
    static const char *const traces[] = {"out/metrics.jsonl", "out/logs/rank-0.log"};
    int64_t last = 0;

    for (size_t i = 0; i < ARRAY_LEN(traces); i++) {
        char *path = daemon_job_path(d, j->id, traces[i]);
        struct file_stamp stamp;
        enum file_kind kind;

        if (file_look(path, &stamp, &kind, NULL) && stamp.modified_ns / 1000000 > last)
            last = stamp.modified_ns / 1000000;
        free(path);
    }
    return last;
}

/* As its records say, whose times are of one boot; negative: they do not. */
static int64_t recorded_ms(const struct daemon *d, const struct job *j,
                           const struct attempt_exit *e)
{
    char *dir = daemon_attempt_path(d, j);
    struct attempt_owner owner;
    int64_t began = !e->lost && e->ended_boot_ms && attempt_read_owner(dir, &owner, NULL)
                        ? process_started_ms(&owner.shim)
                        : 0;

    free(dir);
    return began ? e->ended_boot_ms - began : -1;
}

/* The same of an attempt that is over. While no daemon looked (or no machine ran) it may have ended long ago: as
 * its record says, or, if nobody saw that, when it last wrote something. */
static int64_t had_lasted_ms(const struct daemon *d, struct active *a, const struct attempt_exit *e)
{
    int64_t lasted = attempts_lasted_ms(d, a), recorded, ended, began;

    recorded = recorded_ms(d, a->job, e);
    /* Our own clock is what the limit went by; it is wrong only if we did not look, or could not store, for longer. */
    if (recorded >= 0 && (a->inherited || recorded + LATE_MS < lasted))
        return recorded;
    if (!a->inherited)
        return lasted;
    ended = e->lost ? wrote_ms(d, a->job) : e->ended_ms;
    if (!ended || ended >= d->started_ms)
        return lasted;
    began = store_attempt_started_ms(d->store, a->job->id, a->job->attempt);
    return ended <= began ? 0 : ended - began < lasted ? ended - began : lasted;
}

static bool is_over_time(const struct daemon *d, struct active *a)
{
    return attempts_left_ms(d, a) <= 0;
}

/* -- The end ----------------------------------------------------------------------------------- */

/* Ends what is left of an attempt, and describes that as its end. False: not all of it is gone yet.
 * Processes of before a reboot are, whatever may look like them now. */
static bool end_processes(const char *dir, const struct job *j, struct attempt_exit *e,
                          struct error *err)
{
    struct attempt_owner owner = {.cgroup = ""};
    char *id;
    size_t alive;

    *e = (struct attempt_exit){.status = 1, .lost = true};
    attempt_read_owner(dir, &owner, NULL);
    if (was_before_reboot(&owner)) {
        snprintf(e->message, sizeof(e->message), "the machine was started again");
        return true;
    }
    if (owner.cgroup[0] && !cgroup_end(owner.cgroup))
        return err_set(err, ERR_CONFLICT, "processes are left in %s", owner.cgroup);
    id = str_fmt("%s.%" PRId64, j->id, j->attempt);
    alive = procs_signal(id, SIGKILL);
    free(id);
    return !alive || err_set(err, ERR_CONFLICT, "%zu processes are left", alive);
}

/* The same with ranks on other hosts: they notice that their shim is gone, but only their lease proves
 * that they are. */
static bool end_everywhere(struct daemon *d, struct active *a, const char *dir,
                           struct attempt_exit *e, struct error *err)
{
    const int64_t now = clock_mono_ns();

    if (!end_processes(dir, a->job, e, err))
        return false;
    if (!hosts_are_others(a->job->placement))
        return true;
    if (!a->bury_at_ns)
        a->bury_at_ns = now + (int64_t)((d->settings.lease_s + LEASE_MARGIN_S) * 1e9);
    return now >= a->bury_at_ns ||
           err_set(err, ERR_CONFLICT, "ranks on other hosts may be alive yet");
}

/* The daemon that was to start it ended too early, or its shim was too young: it runs nothing before it has said who it
 * is, and nothing any more once there is a record of the end. Of a shim of our own which fails so, the cause may be the
 * shim's, so that counts. */
static bool never_began(const struct active *a, const char *dir)
{
    struct attempt_owner owner;
    struct error err;

    return a->inherited && a->job->state == JOB_STARTING &&
           !attempt_read_owner(dir, &owner, &err) && err.code == ERR_NOT_FOUND;
}

/* Nobody wrote a record: the shim was killed, or never came to life. Under the lock the attempt's
 * processes are ended, and only when none is left the record is written. False: not yet. */
static bool bury(struct daemon *d, struct active *a, const char *dir, struct attempt_exit *e,
                 struct error *err)
{
    char *session_dir;

    if (!end_everywhere(d, a, dir, e, err))
        return false;
    e->unbegun = never_began(a, dir);
    if (a->unguarded) {
        e->class = FAILURE_HANG;
        snprintf(e->message, sizeof(e->message),
                 "its shim stood still (stopped by a signal), and it made no progress at step "
                 "%" PRId64,
                 a->seen_step);
    }
    session_dir = str_path(dir, "mpi");
    mpirun_clean(session_dir);
    free(session_dir);
    return attempt_write_exit(dir, e, err);
}

/* There is a record, so nothing of the attempt is left, but what it says is not known: it is damaged, or a newer release
 * wrote it. */
static bool read_nothing(const struct error *why, struct attempt_exit *e)
{
    *e = (struct attempt_exit){.status = 1, .lost = true};
    snprintf(e->message, sizeof(e->message), "%.1000s", why->msg);
    return true;
}

/* True when the attempt is over and *e tells how. ERR_CONFLICT: it is not. */
static bool find_end(struct daemon *d, struct active *a, const char *dir, struct attempt_exit *e,
                     struct error *err)
{
    int lock = attempt_lock(dir, false, err);
    bool ok;

    /* Somebody removed the folder, and the record with it. */
    if (lock < 0 && err->code == ERR_NOT_FOUND) {
        ok = end_everywhere(d, a, dir, e, err);
        snprintf(e->message, sizeof(e->message), "its folder is gone");
        return ok;
    }
    if (lock < 0)
        return false;
    ok = attempt_read_exit(dir, e, err);
    if (!ok && err->code == ERR_NOT_FOUND)
        ok = bury(d, a, dir, e, err);
    else if (!ok && err->code != ERR_IO)
        ok = read_nothing(err, e);
    close(lock);
    return ok;
}

/* Of an attempt whose shim may be alive: it goes first, and its lock with it. */
static bool end_now(struct daemon *d, struct active *a, const char *dir, struct error *err)
{
    struct attempt_exit e;

    return find_end(d, a, dir, &e, err) ||
           (err->code == ERR_CONFLICT && end_processes(dir, a->job, &e, err) &&
            find_end(d, a, dir, &e, err));
}

void attempts_put_down(struct daemon *d, const struct job *j)
{
    const int64_t until = clock_mono_ns() + PUT_DOWN_S * INT64_C(1000000000);
    struct job here = *j;
    struct active a = {.job = &here};
    char *dir = daemon_attempt_path(d, j);
    struct error err;
    bool over;

    here.placement = NULL; /* ranks elsewhere end themselves when they miss their shim */
    while (!(over = end_now(d, &a, dir, &err)) && clock_mono_ns() < until)
        usleep(PUT_DOWN_STEP_US);
    if (!over)
        log_error("an attempt that nobody looks after may go on job=%s error=\"%s\"", j->id,
                  err.msg);
    free(dir);
}

static struct json *read_result(struct daemon *d, const char *id, struct error *err)
{
    static const char name[] = "result.json";
    struct buf text = buf_new(RESULT_MAX);
    int fd = daemon_open_output(d, id, name, NULL, err);
    struct json *result = fd >= 0 && file_read_open(fd, name, &text, err)
                              ? js_parse(buf_text(&text), text.len, err)
                              : NULL;

    if (fd >= 0)
        close(fd);
    buf_free(&text);
    return result;
}

/* result.json of a job that got done. */
static void take_result(struct daemon *d, struct job *j)
{
    struct error err;
    struct json *result = read_result(d, j->id, &err);

    free(j->result);
    j->result = result ? js_text(result, JS_COMPACT) : NULL;
    if (!result)
        log_warn("a job has no result job=%s error=\"%s\"", j->id, err.msg);
    /* A daemon that was started again may not have heard how many there are. */
    j->progress.total_steps = js_int(js_get(result, "steps"), j->progress.total_steps);
    js_free(result);
}

/* A file that cannot be read as metrics costs its metrics, not the job's end. */
static bool take_metrics(struct daemon *d, const struct job *j, struct error *err)
{
    if (ingest_rest(d, j, err))
        return true;
    if (err->code == ERR_IO)
        return false;
    log_warn("metrics are incomplete job=%s error=\"%s\"", j->id, err->msg);
    return true;
}

/* An attempt that went on for long has shown that what ended those before it was not the job's. */
static void forgive(struct job *j, const struct retry_policy *policy, int64_t lasted_ms)
{
    if ((double)lasted_ms >= 1e3 * policy->reset_s)
        memset(j->failures, 0, sizeof(j->failures));
}

static bool end(struct daemon *d, struct active *a, const struct attempt_exit *e, struct error *err)
{
    const struct job before = *a->job;
    const struct retry_policy policy = retry_policy_of(a->job->spec);
    const int64_t now = clock_wall_ms(), lasted = had_lasted_ms(d, a, e);
    struct attempt_exit classed = *e;
    struct outcome o;

    uplink_forget(d->uplink, a);
    a->kill_at_ns = a->bury_at_ns = a->term_at_ns = 0;
    a->still = 0;
    a->unguarded = false;
    forgive(a->job, &policy, lasted);
    a->job->ran_ms += lasted;
    a->used_slot_ms = lasted * job_slots(a->job);
    o = outcome_of(e, a->job, &policy);
    classed.class = o.failure;
    if (!e->message[0] && o.event != EV_DONE)
        snprintf(classed.message, sizeof(classed.message), "%.1000s", o.why.message);
    /* One that could not be started has left none; looking for them may need what it lacked. */
    if ((e->class != FAILURE_INFRA && !take_metrics(d, a->job, err)) ||
        !store_attempt_end(d->store, a->job->id, a->job->attempt, now, &classed, err))
        goto fail;
    if (o.event == EV_DONE) {
        take_result(d, a->job);
        a->job->progress.step = a->job->progress.total_steps;
    }
    if (o.failure == FAILURE_LOST_HOST)
        hosts_suspect(d, a->job->placement);
    if (o.event == EV_AGAIN) {
        a->job->failures[o.failure]++;
        a->job->not_before_ms = o.wait_ms ? now + o.wait_ms : 0;
        a->pause_until_ns = o.wait_ms ? clock_mono_ns() + o.wait_ms * 1000000 : 0;
    }
    a->since_ns = 0;
    if (lifecycle_apply(d, a, o.event, o.event == EV_DONE ? NULL : &o.why, err))
        return true;
fail:
    a->used_slot_ms = 0;
    a->job->ran_ms = before.ran_ms;
    memcpy(a->job->failures, before.failures, sizeof(before.failures));
    a->job->not_before_ms = before.not_before_ms;
    return false;
}

/* Takes note of an attempt that is over. What fails here is tried again at the next tick. */
static void check(struct daemon *d, struct active *a)
{
    char *dir = daemon_attempt_path(d, a->job);
    struct attempt_exit e;
    struct error err;
    bool ok = find_end(d, a, dir, &e, &err) && end(d, a, &e, &err);

    free(dir);
    if (ok || err.code == ERR_CONFLICT)
        return;
    log_error("the end of an attempt cannot be recorded yet error=\"%s\"", err.msg);
}

/* -- Start and stop ---------------------------------------------------------------------------- */

static void on_ended(struct daemon *d, const char *job, struct child *c)
{
    struct active *a = daemon_active(d, job);

    if (!a || a->child != c)
        return;
    a->child = NULL;
    check(d, a);
}

void attempts_launch(struct daemon *d, struct active *a)
{
    struct attempt_exit e = {.status = 1, .class = FAILURE_INFRA};
    struct error err;

    a->log_bytes = 0;
    a->since_ns = clock_mono_ns();
    a->inherited = false;
    a->child = launch_start(d, a->job, on_ended, &err);
    if (a->child)
        return;
    log_error("an attempt cannot be started job=%s error=\"%s\"", a->job->id, err.msg);
    snprintf(e.message, sizeof(e.message), "%.1000s", err.msg);
    if (!end(d, a, &e, &err))
        log_error("job=%s error=\"%s\"", a->job->id, err.msg);
}

/* A shim that is not known, because a newer release wrote who it is, passes nothing on: all of the attempt get the
 * signal. */
static void signal_all(const struct job *j, int number, const struct error *why)
{
    char *id = str_fmt("%s.%" PRId64, j->id, j->attempt);

    log_warn("all processes of an attempt get signal %d, because its shim is not known job=%s "
             "error=\"%s\"",
             number, j->id, why->msg);
    procs_signal(id, number);
    free(id);
}

static void signal_shim(struct daemon *d, struct active *a, int number)
{
    char *dir = daemon_attempt_path(d, a->job);
    struct attempt_owner owner;
    struct error err;

    if (attempt_read_owner(dir, &owner, &err))
        process_signal(&owner.shim, number);
    else if (number == SIGKILL ||
             (number == SIGTERM && err.code != ERR_NOT_FOUND && err.code != ERR_IO))
        signal_all(a->job, number, &err);
    free(dir);
}

void attempts_stop(struct daemon *d, struct active *a)
{
    const struct job *j = a->job;
    int64_t grace_s =
        j->cancel_requested && j->cancel_grace_s >= 0 ? j->cancel_grace_s : STOP_GRACE_S;

    if (grace_s > STOP_GRACE_S && is_over_time(d, a))
        grace_s = STOP_GRACE_S;
    a->kill_at_ns = clock_mono_ns() + grace_s * INT64_C(1000000000);
    if (grace_s == 0)
        signal_shim(d, a, SIGTERM);
    else if (!uplink_stop_job(d->uplink, a))
        /* After a restart rank 0 is not connected yet: that must not cost what time was given. */
        signal_shim(d, a, j->cancel_requested && j->state == JOB_RUNNING ? SIGUSR1 : SIGTERM);
}

void attempts_preempt(struct daemon *d, struct active *a)
{
    a->kill_at_ns = clock_mono_ns() + RECONNECT_S * INT64_C(1000000000);
    uplink_stop_job(d->uplink, a);
}

/* One that has not said who it is yet is known as our child, whose pid is its own until we take note of its end. */
static bool shim_is_stopped(const struct daemon *d, const struct active *a)
{
    char *dir = daemon_attempt_path(d, a->job), state[32] = "";
    struct attempt_owner owner;

    if (a->child)
        process_state(launch_pid(a->child), state, sizeof(state));
    else if (attempt_read_owner(dir, &owner, NULL) && process_signal(&owner.shim, 0))
        process_state(owner.shim.pid, state, sizeof(state));
    free(dir);
    return state[0] == 'T' || state[0] == 't';
}

/* A shim that does not heed SIGTERM is killed, and what is left of the attempt is buried: at once if it is stopped, as it
 * would not before it is continued. One that heeds it may have to wait for the leases of ranks on other hosts. */
static void end_shim(struct daemon *d, struct active *a)
{
    const int64_t now = clock_mono_ns();
    double grace = TERM_GRACE_S + (hosts_are_others(a->job->placement) ? d->settings.lease_s : 0);

    if (!a->term_at_ns)
        a->term_at_ns = now;
    if (shim_is_stopped(d, a))
        grace = 0;
    signal_shim(d, a, (double)(now - a->term_at_ns) < grace * 1e9 ? SIGTERM : SIGKILL);
}

/* For ranks that were asked, and whose time is over. */
static void force(struct daemon *d, struct active *a)
{
    if (a->job->cancel_requested || is_over_time(d, a))
        end_shim(d, a);
    else if (!a->peer && a->job->state == JOB_RUNNING)
        /* It asks for the same. Ranks that have reported once catch it; before, it would end them. */
        signal_shim(d, a, SIGUSR1);
}

/* -- A shim that is stopped ------------------------------------------------------------------------ */

static double stall_of(const struct job *j)
{
    struct json *spec = js_parse(j->spec, strlen(j->spec), NULL);
    double stall_s = js_real(js_path(spec, "watchdog.stall_s"), 300);

    js_free(spec);
    return stall_s;
}

/* It finds no rank that hangs: where the job does not get on either, the daemon does it. Looks are counted, because time in
 * which nobody looked counts against nobody; whoever is continued in time goes on. */
static void guard(struct daemon *d, struct active *a)
{
    const int64_t step = a->job->progress.step;

    if (step != a->seen_step || !shim_is_stopped(d, a)) {
        a->seen_step = step;
        a->still = 0;
        return;
    }
    if (++a->still * (TICK_MS / 1e3) <= stall_of(a->job) + STALL_MARGIN_S)
        return;
    if (!a->unguarded)
        log_warn("an attempt is ended: its shim is stopped, and it makes no progress job=%s",
                 a->job->id);
    a->unguarded = true;
    signal_shim(d, a, SIGKILL);
}

/* -- Once a second ----------------------------------------------------------------------------- */

/* A cancel that leaves much time does not lift the limit of the job's own. */
static bool outlasts_limit(const struct daemon *d, struct active *a)
{
    return is_over_time(d, a) &&
           a->kill_at_ns - clock_mono_ns() > STOP_GRACE_S * INT64_C(1000000000);
}

/* Tells followers that there are new lines. */
static void announce_log(struct daemon *d, struct active *a)
{
    char *path = daemon_job_path(d, a->job->id, "out/logs/rank-0.log");
    struct stat st;
    struct json *data;

    if (stat(path, &st) == 0 && st.st_size != a->log_bytes) {
        a->log_bytes = st.st_size;
        data = js_new_object();
        js_set(data, "job", js_new_string(a->job->id));
        js_set(data, "rank", js_new_int(0));
        js_set(data, "bytes", js_new_int(st.st_size));
        lifecycle_tell(d, "log", a->job, data);
    }
    free(path);
}

static void on_tick(uv_timer_t *t)
{
    struct daemon *d = t->data;
    bool waiting = false;

    /* From the end, because what is over leaves the list. */
    for (size_t i = d->active.n; i-- > 0;) {
        struct active *a = d->active.at[i];

        waiting |= a->job->state == JOB_QUEUED || job_is_sweep(a->job) || job_can_grow(a->job);
        if (!attempts_running(a))
            continue;
        announce_log(d, a);
        uplink_look(d->uplink, a);
        if (((a->job->cancel_requested || is_over_time(d, a)) && !a->kill_at_ns) ||
            outlasts_limit(d, a))
            attempts_stop(d, a);
        else if (job_is_stopping(a->job) && !a->kill_at_ns)
            attempts_preempt(d, a);
        if (a->kill_at_ns && clock_mono_ns() >= a->kill_at_ns)
            force(d, a);
        guard(d, a);
        if (!a->child)
            check(d, a);
    }
    hosts_tick(d);
    if (waiting)
        sched_soon(d);
}

void attempts_say(const struct daemon *d, const struct job *j, const char *line)
{
    static const char name[] = "logs/rank-0.log";
    char *text = str_fmt("--- distilld: %s\n", line);
    int out = daemon_open_out(d, j->id, NULL);
    int fd = out >= 0 ? beneath_open(out, name, O_WRONLY | O_APPEND | O_NONBLOCK, NULL) : -1;

    if (fd >= 0)
        file_write_all(fd, name, text, strlen(text), NULL);
    if (fd >= 0)
        close(fd);
    if (out >= 0)
        close(out);
    free(text);
}

/* One that an earlier run of the daemon, which may have been of a newer release, has left behind. It goes on in any case. */
static void meet_shim(struct daemon *d, const struct job *j)
{
    char *dir = daemon_attempt_path(d, j), *line;
    struct attempt_owner owner;
    struct error err = {0};

    if (!attempt_read_owner(dir, &owner, &err) && err.code == ERR_UNSUPPORTED) {
        log_warn("an attempt is looked after by a newer release's shim job=%s error=\"%s\"", j->id,
                 err.msg);
        line = str_fmt("%s: the attempt goes on under a shim that is not known here; how it ends "
                       "may not be known either",
                       err.msg);
        attempts_say(d, j, line);
        free(line);
    }
    free(dir);
}

void attempts_watch(struct daemon *d)
{
    for (size_t i = 0; i < d->active.n; i++)
        if (attempts_running(d->active.at[i])) {
            d->active.at[i]->inherited = true;
            meet_shim(d, d->active.at[i]->job);
        }
    d->tick.data = d;
    uv_timer_start(&d->tick, on_tick, SOON_MS, TICK_MS);
}

void attempts_release(struct daemon *d)
{
    uv_timer_stop(&d->tick);
    for (size_t i = 0; i < d->active.n; i++) {
        launch_release(d->active.at[i]->child);
        d->active.at[i]->child = NULL;
    }
}
