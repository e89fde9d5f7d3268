/* distill-shim: the parent of one attempt. It outlives the daemon, owns every process of the attempt,
 * and leaves a durable record of the end once none of them is left. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/attempt.h"
#include "daemon/cgroup.h"
#include "daemon/cores.h"
#include "daemon/lastwords.h"
#include "daemon/logfile.h"
#include "daemon/logtimes.h"
#include "daemon/mpirun.h"
#include "daemon/warden.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/opt.h"
#include "proto/base/str.h"

enum {
    TERM_GRACE_MS = 3000,
    HUNG_GRACE_MS = 500, /* for mpirun to pass on what the ranks have written */
    SWEEP_MS = 20,
    LOGS_MS = 1000, /* between looks at the sizes of logs */
    CHUNKS = 256,   /* of standard error at once: a flood must not keep the shim from the rest */
    LEASE_MS = 200, /* between looks at whether the leases have run out */
    TAIL_BYTES = 16 << 10,
    WORDS_SIZE = 600, /* of a rank's last lines */
    STATUS_CANCELLED = 3,
    STATUS_AGAIN = 75,
    STATUS_SIGNAL = 128, /* mpirun: a rank was ended by signal status - 128 */
    STATUS_MPIRUN =
        192 /* what is larger comes of mpirun itself: it lost a host, or did not reach it */
};

struct shim_options {
    const char *attempt, *out, *dir, *watch, *hosts, *launch_agent, *network;
    int64_t ranks, threads;
    double stall_s, lease_s, silence_s;
    bool print_mpirun, help;
    opt_list command;
};

static const struct opt rows[] = {
    OPT(struct shim_options, attempt, OPT_TEXT, "attempt",
        "folder of the attempt: lock, attempt.json and exit.json are kept there", .value = "DIR"),
    OPT(struct shim_options, out, OPT_TEXT, "out",
        "the job's run directory; the log is DIR/logs/rank-0.log, and like those of the other "
        "ranks "
        "it begins anew at 16 MiB (what came before becomes rank-0.log.1)",
        .value = "DIR"),
    OPT(struct shim_options, ranks, OPT_INT, "ranks", "number of MPI ranks", .value = "N",
        .fallback = "1", .lo = 1, .hi = 1024),
    OPT(struct shim_options, threads, OPT_INT, "threads", "threads of each rank", .value = "T",
        .fallback = "1", .lo = 1, .hi = 1024),
    OPT(struct shim_options, stall_s, OPT_REAL, "stall",
        "a rank that makes no progress for so long is hung: the attempt is ended", .value = "S",
        .fallback = "300"),
    OPT(struct shim_options, watch, OPT_TEXT, "watch",
        "hear the ranks at this address, for ranks on other hosts; port 0 picks one (default: a "
        "socket in the folder of the attempt)",
        .value = "ADDR:PORT"),
    OPT(struct shim_options, lease_s, OPT_REAL, "lease",
        "a rank on another host that has not heard from us for so long ends itself", .value = "S",
        .fallback = "30"),
    OPT(struct shim_options, silence_s, OPT_REAL, "silence",
        "a rank on another host that we have not heard for so long is lost, and its host with it",
        .value = "S", .fallback = "10"),
    OPT(struct shim_options, dir, OPT_TEXT, "dir",
        "with --print-mpirun: folder for mpirun's session files", .value = "DIR"),
    OPT(struct shim_options, hosts, OPT_TEXT, "hosts",
        "hosts for the ranks, and how many each gets (default: all on this one)",
        .value = "NAME:N,..."),
    OPT(struct shim_options, launch_agent, OPT_TEXT, "launch-agent",
        "what reaches a host: COMMAND NAME WORD... runs WORD... there (default: ssh)",
        .value = "COMMAND"),
    OPT(struct shim_options, network, OPT_TEXT, "network",
        "network of the hosts (default: any that Open MPI finds)", .value = "ADDRESS/BITS"),
    OPT(struct shim_options, print_mpirun, OPT_FLAG, "print-mpirun",
        "print the mpirun line for the command, as a shell takes it, and do nothing else"),
    OPT(struct shim_options, help, OPT_FLAG, "help", "print this text", .letter = 'h'),
    OPT(struct shim_options, command, ARG_SOME, "COMMAND",
        "what each rank runs, with its arguments, after --"),
};

static const char usage[] =
    "usage: distill-shim --attempt DIR --out DIR [--ranks N] [--threads T] [--stall S]\n"
    "                    [--watch ADDR:PORT] [--lease S] [--silence S] [--hosts NAME:N,...]\n"
    "                    [--launch-agent COMMAND] [--network ADDRESS/BITS] -- COMMAND...\n"
    "       distill-shim --print-mpirun [--ranks N] [--threads T] [--dir DIR]\n"
    "                    [--hosts NAME:N,...] [--launch-agent COMMAND] [--network ADDRESS/BITS]\n"
    "                    -- COMMAND...\n"
    "\n"
    "Runs COMMAND on N MPI ranks as one attempt of a job, and records in exit.json how it\n"
    "ended. distilld starts one for each attempt; there is seldom a reason to start it by\n"
    "hand, except to see with --print-mpirun how the daemon calls mpirun.\n"
    "SIGTERM ends the attempt (SIGKILL after 3 s); SIGUSR1 is passed on.\n"
    "\n";

struct shim {
    const struct shim_options *opt;
    const char *id;                        /* of the attempt; names its processes */
    char *session_dir, *logs_dir, *cgroup; /* cgroup NULL: none to be had */
    struct warden *warden;
    int signals, log; /* signalfd; of the job */
    int errors;       /* where mpirun's standard error arrives, -1 after its end */
    pid_t mpirun;
    int status; /* of mpirun, once it has ended */
    bool ended, stopped;
    struct attempt_exit end; /* its class and message, where the warden has found the end */
    int64_t kill_at_ns, logs_at_ns;
    int64_t began_ns;
    struct buf tail; /* the newest of standard error */
    off_t *logged;   /* bytes that earlier attempts left in each rank's log */
};

static void wait_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};

    nanosleep(&t, NULL);
}

/* In the child, between fork and exec. */
static _Noreturn void become_mpirun(const struct shim *s, const struct mpirun_line *line,
                                    pid_t parent, int errors, int told)
{
    sigset_t none;
    int null = open("/dev/null", O_RDONLY), why;

    /* If the shim dies, mpirun must not go on unwatched; the parent may be gone already. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    setpgid(0, 0);
    if (s->cgroup)
        cgroup_enter(s->cgroup);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    dup2(null, STDIN_FILENO);
    dup2(s->log, STDOUT_FILENO);
    dup2(errors, STDERR_FILENO);
    for (size_t i = 0; i < line->env.n; i++)
        putenv(line->env.at[i]);
    execvp(line->args.at[0], line->args.at);
    why = errno;
    if (write(told, &why, sizeof(why)) != (ssize_t)sizeof(why))
        dprintf(STDERR_FILENO, "starting %s: %s\n", line->args.at[0], strerror(why));
    _exit(127);
}

/* In the parent: mpirun's exec closes the other end, and without one it says why. */
static bool has_begun(pid_t child, int told, const char *name, struct error *err)
{
    int why;
    bool failed = read(told, &why, sizeof(why)) == (ssize_t)sizeof(why);

    if (!failed)
        return true;
    waitpid(child, NULL, 0);
    return err_set(err, ERR_IO, "starting %s: %s", name, strerror(why));
}

static void build_line(const struct shim_options *o, const char *dir, char *const *command,
                       struct mpirun_line *out)
{
    const struct mpirun m = {
        .ranks = o->ranks,
        .threads = o->threads,
        .cores =
            o->hosts ? INT64_MAX : cores_online(), /* theirs are counted by who placed the ranks */
        .root = geteuid() == 0,
        .dir = dir,
        .hosts = o->hosts,
        .launch_agent = o->launch_agent,
        .network = o->network,
        .environment = environ,
        .command = command,
    };

    mpirun_build(&m, out);
}

static bool start_mpirun(struct shim *s, char *const *command, struct error *err)
{
    struct mpirun_line line;
    int pipe_fds[2], told[2];
    pid_t parent = getpid();
    bool ok;

    if (!file_make_dirs(s->session_dir, 0700, err))
        return false;
    if (pipe2(pipe_fds, O_CLOEXEC) != 0 || pipe2(told, O_CLOEXEC) != 0)
        return err_set(err, ERR_IO, "pipe: %s", strerror(errno));
    setenv("DISTILLD_WATCH", warden_address(s->warden), 1);
    build_line(s->opt, s->session_dir, command, &line);
    s->mpirun = fork();
    if (s->mpirun == 0)
        become_mpirun(s, &line, parent, pipe_fds[1], told[1]);
    if (s->mpirun < 0)
        err_set(err, ERR_IO, "fork: %s", strerror(errno));
    close(pipe_fds[1]);
    close(told[1]);
    s->errors = pipe_fds[0];
    fcntl(s->errors, F_SETFL, O_NONBLOCK);
    ok = s->mpirun > 0 && has_begun(s->mpirun, told[0], line.args.at[0], err);
    close(told[0]);
    mpirun_line_free(&line);
    return ok;
}

/* Standard error goes to the log, and its end is kept for the exit record. */
static void copy_errors(struct shim *s)
{
    char chunk[4096];
    ssize_t n = -1;

    for (int i = 0; i < CHUNKS && (n = read(s->errors, chunk, sizeof(chunk))) > 0; i++) {
        file_write_all(s->log, "log", chunk, (size_t)n, NULL);
        buf_add(&s->tail, chunk, (size_t)n);
        if (s->tail.len > 2 * TAIL_BYTES)
            buf_consume(&s->tail, s->tail.len - TAIL_BYTES);
    }
    if (n == 0) {
        close(s->errors);
        s->errors = -1;
    }
}

/* Orphans of the attempt become children of the shim (it is their subreaper) and are reaped too.
 * Returns whether there are children left. */
static bool reap(struct shim *s)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == s->mpirun) {
            s->status = status;
            s->ended = true;
        }
    return pid == 0;
}

static void stop(struct shim *s, int grace_ms)
{
    if (s->stopped)
        return;
    log_info("stopping attempt=%s", s->id);
    s->stopped = true;
    s->kill_at_ns = clock_mono_ns() + grace_ms * INT64_C(1000000);
    kill(s->mpirun, SIGTERM);
    kill(s->mpirun, SIGCONT); /* one that was stopped would not notice */
}

static void take_signals(struct shim *s)
{
    struct signalfd_siginfo info;

    while (read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
            stop(s, TERM_GRACE_MS);
        else if (info.ssi_signo == SIGUSR1)
            kill(s->mpirun, SIGUSR1);
    }
    reap(s);
}

static void keep_logs_small(struct shim *s)
{
    int64_t now = clock_mono_ns();

    if (now < s->logs_at_ns)
        return;
    s->logs_at_ns = now + LOGS_MS * INT64_C(1000000);
    logfile_keep_small(s->logs_dir, LOGFILE_MAX);
    logtimes_note(s->logs_dir, clock_wall_ms());
}

static void look_after_ranks(struct shim *s)
{
    warden_look(s->warden, s->stopped ? NULL : &s->end);
    if (s->stopped || s->end.class == FAILURE_NONE)
        return;
    if (s->end.class == FAILURE_HANG)
        warden_write_stacks(s->warden);
    else
        warden_hang_up(s->warden);
    stop(s, HUNG_GRACE_MS);
}

static void watch_mpirun(struct shim *s)
{
    while (!s->ended) {
        struct pollfd fds[] = {
            {s->signals, POLLIN, 0}, {warden_fd(s->warden), POLLIN, 0}, {s->errors, POLLIN, 0}};

        poll(fds, ARRAY_LEN(fds), s->stopped ? SWEEP_MS : warden_wait_ms(s->warden));
        if (fds[2].revents)
            copy_errors(s);
        take_signals(s);
        if (!s->ended) /* or its pid may be another's by now */
            look_after_ranks(s);
        keep_logs_small(s);
        if (s->stopped && !s->ended && clock_mono_ns() >= s->kill_at_ns)
            kill(s->mpirun, SIGKILL);
    }
}

/* Children that hide their environment. */
static void kill_children(void)
{
    struct buf list = buf_new(64 << 10);
    char path[64];
    int64_t pid;

    snprintf(path, sizeof(path), "/proc/self/task/%ld/children", (long)getpid());
    if (file_read(path, &list, NULL))
        for (char *p = list.data, *end; p && *p; p = end) {
            end = p + strcspn(p, " ");
            if (*end)
                *end++ = '\0';
            if (str_int(p, 1, INT32_MAX, &pid))
                kill((pid_t)pid, SIGKILL);
        }
    buf_free(&list);
}

/* Returns only when no process of the attempt is left, here or elsewhere. */
static void end_all(struct shim *s)
{
    for (;;) {
        bool empty = !s->cgroup || cgroup_end(s->cgroup);
        size_t alive = procs_signal(s->id, SIGKILL);

        kill_children();
        if (!reap(s) && !alive && empty)
            break;
        wait_ms(SWEEP_MS);
    }
    warden_look(s->warden, NULL); /* who took leave, and who did not */
    warden_hang_up(s->warden);
    if (WIFEXITED(s->status) && WEXITSTATUS(s->status) == 0)
        return; /* mpirun saw all of them end */
    while (warden_has_survivors(s->warden))
        wait_ms(LEASE_MS);
    warden_account(s->warden, &s->end);
}

/* By SIGKILL, which none of ours sends before the end is known. */
static bool was_killed(const struct attempt_exit *e)
{
    return !e->stopped && (e->signal == SIGKILL || e->status == STATUS_SIGNAL + SIGKILL);
}

/* -- Whose end it was -------------------------------------------------------------------------- */

/* Ranks other than 0 have a log each; what is in the way of reading it leaves the end without their words. */
static int open_rank_log(const struct shim *s, int rank, struct stat *st)
{
    char *name = str_fmt("rank-%d.log", rank), *path = str_path(s->logs_dir, name);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

    free(path);
    free(name);
    if (fd >= 0 && fstat(fd, st) == 0 && S_ISREG(st->st_mode))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static void note_logs(struct shim *s)
{
    struct stat st;

    s->logged = NEW_ARRAY(off_t, (size_t)s->opt->ranks);
    for (int rank = 1; rank < s->opt->ranks; rank++) {
        int fd = open_rank_log(s, rank, &st);

        if (fd < 0)
            continue;
        s->logged[rank] = st.st_size;
        close(fd);
    }
}

/* The end of what a rank has said in this attempt; its log may have begun anew. */
static void read_rank_log(const struct shim *s, int rank, struct buf *out)
{
    struct stat st;
    int fd = open_rank_log(s, rank, &st);
    char text[TAIL_BYTES];
    off_t from;
    ssize_t n;

    if (fd < 0)
        return;
    from = st.st_size < s->logged[rank] ? 0 : s->logged[rank];
    if (st.st_size - from > TAIL_BYTES)
        from = st.st_size - TAIL_BYTES;
    n = pread(fd, text, sizeof(text), from);
    if (n > 0)
        buf_add(out, text, (size_t)n);
    close(fd);
}

/* What the rank said itself, which may be in a log of its own, or what rank 0 said for all. */
static void last_lines_of(const struct shim *s, int rank, bool alone, char *out, size_t size)
{
    struct buf own = buf_new(0);

    if (rank && alone)
        read_rank_log(s, rank, &own);
    last_lines(buf_text(&own), own.len, out, size);
    if (!out[0]) /* one that ends early has no log yet */
        last_lines(buf_text(&s->tail), s->tail.len, out, size);
    buf_free(&own);
}

/* "rank 1 on host a ended with status 1: its last lines" */
static void describe_rank(const struct shim *s, int rank, struct attempt_exit *e)
{
    const int number = e->class == FAILURE_OOM     ? SIGKILL
                       : e->status > STATUS_SIGNAL ? e->status - STATUS_SIGNAL
                                                   : 0;
    const char *name = number ? sigabbrev_np(number) : NULL;
    const bool alone = warden_failed_alone(s->warden, rank);
    char how[64], words[WORDS_SIZE], host[HOST_NAME_MAX + 1] = "";

    snprintf(host, sizeof(host), "%s", warden_host(s->warden, rank));
    if (!host[0] && !s->opt->hosts && gethostname(host, sizeof(host)) != 0)
        host[0] = '\0';
    if (number)
        snprintf(how, sizeof(how), "by signal %d%s%s%s", number, name ? " (SIG" : "",
                 name ? name : "", name ? ")" : "");
    else
        snprintf(how, sizeof(how), "with status %d%s", e->status,
                 alone || s->opt->ranks == 1 ? "" : ", as all did");
    last_lines_of(s, rank, alone, words, sizeof(words));
    snprintf(e->message, sizeof(e->message), "rank %d%s%s ended %s%s%s", rank,
             host[0] ? " on host " : "", host, how, words[0] ? ": " : "", words);
}

/* -1: mpirun itself ended it, or was ended, or the ranks stopped as they were asked to. */
static int culprit(const struct shim *s)
{
    const struct attempt_exit *e = &s->end;

    if (e->stopped || e->signal || e->status > STATUS_MPIRUN || e->status == STATUS_CANCELLED ||
        e->status == STATUS_AGAIN)
        return -1;
    return warden_culprit(s->warden, mpirun_blames(buf_text(&s->tail), s->tail.len));
}

static void describe_end(struct shim *s)
{
    struct attempt_exit *e = &s->end;
    int rank;

    e->status = WIFEXITED(s->status) ? mpirun_status(WEXITSTATUS(s->status)) : 0;
    e->signal = WIFSIGNALED(s->status) ? WTERMSIG(s->status) : 0;
    if (e->class != FAILURE_NONE)
        return;
    e->stopped = s->stopped || mpirun_was_told(e->status, buf_text(&s->tail), s->tail.len);
    if (!e->status && !e->signal)
        return;
    if (s->opt->hosts && !s->stopped && e->status > STATUS_MPIRUN)
        e->class = FAILURE_LOST_HOST;
    rank = was_killed(e) ? warden_out_of_memory(s->warden, s->began_ns) : -1;
    if (rank >= 0)
        e->class = FAILURE_OOM;
    else
        rank = culprit(s);
    if (rank >= 0)
        describe_rank(s, rank, e);
    else
        last_words(buf_text(&s->tail), s->tail.len, e->signal || e->status > STATUS_SIGNAL,
                   e->message, sizeof(e->message));
}

/* The record is the only witness of the end: it is tried again until the disk takes it, as long as there
 * is somebody to read it. */
static void record_end(struct shim *s, const struct attempt_exit *e)
{
    struct error err;

    while (!attempt_write_exit(s->opt->attempt, e, &err)) {
        if (!file_exists(s->opt->attempt)) {
            log_error("the folder of the attempt is gone, and its end with it");
            return;
        }
        log_error("the end of the attempt cannot be recorded yet error=\"%s\"", err.msg);
        wait_ms(1000);
    }
}

static bool open_log(struct shim *s, struct error *err)
{
    char *path = str_path(s->logs_dir, "rank-0.log");
    char when[CLOCK_TEXT];
    bool ok = file_make_dirs(s->logs_dir, 0755, err);

    if (ok) {
        s->log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        ok = s->log >= 0 || err_set(err, ERR_IO, "open %s: %s", path, strerror(errno));
    }
    if (ok) {
        char *mark = str_fmt("--- attempt %s at %s: %lld rank(s) of %lld thread(s)\n", s->id,
                             clock_text(clock_wall_ms(), when), (long long)s->opt->ranks,
                             (long long)s->opt->threads);

        ok = file_write_all(s->log, path, mark, strlen(mark), err);
        free(mark);
    }
    free(path);
    return ok;
}

/* Under the lock: an attempt that has an exit record is over, whoever starts it again. */
static bool claim(struct shim *s, struct error *err)
{
    struct attempt_exit before;
    struct error why;

    if (attempt_lock(s->opt->attempt, true, err) < 0)
        return false;
    if (attempt_read_exit(s->opt->attempt, &before, &why) || why.code != ERR_NOT_FOUND)
        return err_set(err, ERR_CONFLICT, "attempt %s is over", s->id);
    return true;
}

/* Says who looks after the attempt. */
static bool introduce(struct shim *s, struct error *err)
{
    struct attempt_owner self = {.cgroup = ""};

    s->cgroup = cgroup_make(s->id);
    if (s->cgroup)
        snprintf(self.cgroup, sizeof(self.cgroup), "%s", s->cgroup);
    if (!process_identify(getpid(), &self.shim))
        return err_set(err, ERR_IO, "/proc does not show who we are");
    return attempt_write_owner(s->opt->attempt, s->id, &self, err);
}

/* Whoever wrote to the run directory before us does so no more (worker/report/watch.h). */
static bool claim_output(const struct shim *s, struct error *err)
{
    const char *ours = getenv("DISTILLD_GENERATION");
    char *path = str_path(s->opt->out, "generation");
    bool ok = !ours || file_replace(path, ours, strlen(ours), 0644, err);

    free(path);
    return ok;
}

static bool open_warden(struct shim *s, struct error *err)
{
    const struct shim_options *o = s->opt;
    char *address =
        o->watch ? str_fmt("tcp:%s", o->watch) : str_fmt("unix:%s/watch.sock", o->attempt);

    s->warden = warden_open(&(struct warden_config){.address = address,
                                                    .token_file = getenv("DISTILLD_TOKEN_FILE"),
                                                    .ranks = (size_t)o->ranks,
                                                    .stall_s = o->stall_s,
                                                    .lease_s = o->lease_s,
                                                    .silence_s = o->silence_s,
                                                    .log = s->log},
                            err);
    free(address);
    return s->warden != NULL;
}

static bool block_signals(struct shim *s, struct error *err)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->signals >= 0 || err_set(err, ERR_IO, "signalfd: %s", strerror(errno));
}

static bool run(struct shim *s, char *const *command, struct error *err)
{
    bool started;

    prctl(PR_SET_CHILD_SUBREAPER, 1);
    s->began_ns = clock_mono_ns();
    if (!block_signals(s, err) || !claim(s, err))
        return false;
    note_logs(s);
    started = introduce(s, err) && open_log(s, err) && claim_output(s, err) &&
              open_warden(s, err) && start_mpirun(s, command, err);
    if (started) {
        watch_mpirun(s);
        end_all(s);
        copy_errors(s);
        describe_end(s);
        logtimes_note(s->logs_dir, clock_wall_ms()); /* of the last lines, too */
    } else {
        s->end.status = 1;
        s->end.class = FAILURE_INFRA;
        snprintf(s->end.message, sizeof(s->end.message), "%.1000s", err->msg);
        if (s->cgroup)
            cgroup_end(s->cgroup);
    }
    warden_close(s->warden);
    mpirun_clean(s->session_dir);
    record_end(s, &s->end);
    return started;
}

static bool print_line(const struct shim_options *o, char *const *command)
{
    struct mpirun_line line;
    struct buf text = buf_new(0);

    build_line(o, o->dir, command, &line);
    mpirun_print(&line, &text);
    fputs(buf_text(&text), stdout);
    buf_free(&text);
    mpirun_line_free(&line);
    return true;
}

static bool act(struct shim_options *o, struct error *err)
{
    struct shim s = {.opt = o, .id = getenv(ATTEMPT_VARIABLE), .log = -1, .errors = -1};
    char **command = NEW_ARRAY(char *, o->command.n + 1);
    bool ok;

    for (size_t i = 0; i < o->command.n; i++)
        command[i] = str_dup(o->command.at[i]);
    s.session_dir = str_path(o->attempt ? o->attempt : "", "mpi");
    s.logs_dir = str_path(o->out ? o->out : "", "logs");
    s.tail = buf_new(0);
    if (o->print_mpirun)
        ok = print_line(o, command);
    else if (!o->attempt || !o->out)
        ok = err_set(err, ERR_INVALID, "--attempt and --out are required");
    else if (!(o->stall_s > 0 && o->lease_s > 0 && o->silence_s > 0))
        ok = err_set(err, ERR_INVALID,
                     "--stall, --lease and --silence must be greater than 0, got %g, %g and %g",
                     o->stall_s, o->lease_s, o->silence_s);
    else if (!s.id)
        ok = err_set(err, ERR_INVALID, "%s is not set: it must name the attempt", ATTEMPT_VARIABLE);
    else
        ok = run(&s, command, err);
    for (size_t i = 0; i < o->command.n; i++)
        free(command[i]);
    free(command);
    buf_free(&s.tail);
    free(s.logged);
    free(s.logs_dir);
    free(s.session_dir);
    free(s.cgroup);
    return ok;
}

static void print_help(void)
{
    const struct opt_set all = OPT_SET(rows, NULL);
    struct buf b = buf_new(0);

    buf_str(&b, usage);
    opt_help(&all, &b);
    fputs(buf_text(&b), stdout);
    buf_free(&b);
}

int main(int argc, char **argv)
{
    struct shim_options o = {0};
    const struct opt_set all = OPT_SET(rows, &o);
    struct opt_words words = {argv + 1, (size_t)argc - 1};
    struct error err = {0};
    bool ok = opt_defaults(&all, &err) && opt_parse(&all, 1, &words, &err);
    int status = 0;

    if (o.help) {
        print_help();
    } else if (!ok || !act(&o, &err)) {
        status = err_exit_status(err.code);
        fprintf(stderr, "distill-shim: %s\n", err.msg);
    }
    if (status == 2)
        fprintf(stderr, "distill-shim --help shows all options.\n");
    opt_free(&all);
    return status;
}
