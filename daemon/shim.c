/* distill-shim: the parent of one attempt. It outlives the daemon, owns every process of the attempt,
 * and leaves a durable record of the end once none of them is left. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/attempt.h"
#include "daemon/cores.h"
#include "daemon/lastwords.h"
#include "daemon/mpirun.h"
#include "daemon/options.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

enum {
    TERM_GRACE_MS = 3000,
    SWEEP_MS = 20,
    TAIL_BYTES = 16 << 10
};

struct shim_options {
    char *attempt, *out, *dir;
    int64_t ranks, threads;
    bool print_mpirun, help;
};

static const struct option_row rows[] = {
    {"attempt", "DIR", "folder of the attempt: lock, attempt.json and exit.json are kept there",
     OPTION_TEXT, offsetof(struct shim_options, attempt), 0, 0},
    {"out", "DIR", "the job's run directory; the log is DIR/logs/rank-0.log", OPTION_TEXT,
     offsetof(struct shim_options, out), 0, 0},
    {"ranks", "N", "number of MPI ranks (default 1)", OPTION_COUNT,
     offsetof(struct shim_options, ranks), 1, 1024},
    {"threads", "T", "threads of each rank (default 1)", OPTION_COUNT,
     offsetof(struct shim_options, threads), 1, 1024},
    {"dir", "DIR", "with --print-mpirun: folder for mpirun's session files", OPTION_TEXT,
     offsetof(struct shim_options, dir), 0, 0},
    {"print-mpirun", NULL,
     "print the mpirun line for the command, as a shell takes it,\nand do nothing else",
     OPTION_FLAG, offsetof(struct shim_options, print_mpirun), 0, 0},
    {"help", NULL, "print this text", OPTION_FLAG, offsetof(struct shim_options, help), 0, 0},
};

static const struct option_table table = {
    .usage =
        "distill-shim --attempt DIR --out DIR [--ranks N] [--threads T] -- COMMAND [ARGUMENT...]\n"
        "       distill-shim --print-mpirun [--ranks N] [--threads T] [--dir DIR] -- COMMAND "
        "[ARGUMENT...]",
    .about =
        "Runs COMMAND on N MPI ranks as one attempt of a job, and records in exit.json how it\n"
        "ended. distilld starts one for each attempt; there is seldom a reason to start it by\n"
        "hand, except to see with --print-mpirun how the daemon calls mpirun.\n"
        "SIGTERM ends the attempt (SIGKILL after 3 s); SIGUSR1 is passed on.",
    .rows = rows,
    .n = ARRAY_LEN(rows),
};

struct shim {
    const struct shim_options *opt;
    const char *id; /* of the attempt; names its processes */
    char *session_dir;
    int signals, log, errors; /* signalfd; the log; where mpirun's standard error arrives */
    pid_t mpirun;
    int status; /* of mpirun, once it has ended */
    bool ended, stopped;
    int64_t kill_at_ns;
    struct buf tail; /* the newest of standard error */
};

static void wait_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};

    nanosleep(&t, NULL);
}

/* In the child, between fork and exec. */
static _Noreturn void become_mpirun(const struct shim *s, const struct mpirun_line *line,
                                    pid_t parent, int errors)
{
    sigset_t none;
    int null = open("/dev/null", O_RDONLY);

    /* If the shim dies, mpirun must not go on unwatched; the parent may be gone already. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    setpgid(0, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    dup2(null, STDIN_FILENO);
    dup2(s->log, STDOUT_FILENO);
    dup2(errors, STDERR_FILENO);
    for (size_t i = 0; i < line->env.n; i++)
        putenv(line->env.at[i]);
    execvp(line->args.at[0], line->args.at);
    dprintf(STDERR_FILENO, "starting %s: %s\n", line->args.at[0], strerror(errno));
    _exit(127);
}

static bool start_mpirun(struct shim *s, char *const *command, struct error *err)
{
    struct mpirun m = {
        .ranks = s->opt->ranks,
        .threads = s->opt->threads,
        .cores = cores_online(),
        .root = geteuid() == 0,
        .dir = s->session_dir,
        .command = command,
    };
    struct mpirun_line line;
    int pipe_fds[2];
    pid_t parent = getpid();

    if (!file_make_dirs(s->session_dir, 0700, err))
        return false;
    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        return err_set(err, ERR_IO, "pipe: %s", strerror(errno));
    mpirun_build(&m, &line);
    s->mpirun = fork();
    if (s->mpirun == 0)
        become_mpirun(s, &line, parent, pipe_fds[1]);
    close(pipe_fds[1]);
    s->errors = pipe_fds[0];
    fcntl(s->errors, F_SETFL, O_NONBLOCK);
    mpirun_line_free(&line);
    return s->mpirun > 0 || err_set(err, ERR_IO, "fork: %s", strerror(errno));
}

/* Standard error goes to the log, and its end is kept for the exit record. */
static void copy_errors(struct shim *s)
{
    char chunk[4096];
    ssize_t n;

    while ((n = read(s->errors, chunk, sizeof(chunk))) > 0) {
        file_write_all(s->log, "log", chunk, (size_t)n, NULL);
        buf_add(&s->tail, chunk, (size_t)n);
        if (s->tail.len > 2 * TAIL_BYTES)
            buf_consume(&s->tail, s->tail.len - TAIL_BYTES);
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

static void stop(struct shim *s)
{
    if (s->stopped)
        return;
    log_info("stopping attempt=%s", s->id);
    s->stopped = true;
    s->kill_at_ns = clock_mono_ns() + TERM_GRACE_MS * INT64_C(1000000);
    kill(s->mpirun, SIGTERM);
}

static void take_signals(struct shim *s)
{
    struct signalfd_siginfo info;

    while (read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
            stop(s);
        else if (info.ssi_signo == SIGUSR1)
            kill(s->mpirun, SIGUSR1);
    }
    reap(s);
}

static void watch_mpirun(struct shim *s)
{
    while (!s->ended) {
        struct pollfd fds[] = {{s->signals, POLLIN, 0}, {s->errors, POLLIN, 0}};

        /* A closed pipe is always ready; from then on only signals matter. */
        poll(fds, 2, s->stopped ? SWEEP_MS : -1);
        if (fds[1].revents & POLLIN)
            copy_errors(s);
        else if (fds[1].revents)
            poll(fds, 1, s->stopped ? SWEEP_MS : -1);
        take_signals(s);
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

/* Returns only when no process of the attempt is left. */
static void end_all(struct shim *s)
{
    for (;;) {
        size_t alive = procs_signal(s->id, SIGKILL);

        kill_children();
        if (!reap(s) && !alive)
            return;
        wait_ms(SWEEP_MS);
    }
}

static void describe_end(struct shim *s, struct attempt_exit *e)
{
    *e = (struct attempt_exit){
        .status = WIFEXITED(s->status) ? WEXITSTATUS(s->status) : 0,
        .signal = WIFSIGNALED(s->status) ? WTERMSIG(s->status) : 0,
        .stopped = s->stopped,
    };
    last_words(buf_text(&s->tail), s->tail.len, e->signal || e->status > 128, e->message,
               sizeof(e->message));
}

/* The record is the only witness of the end: it is tried again until the disk takes it. */
static void record_end(struct shim *s, const struct attempt_exit *e)
{
    struct error err;

    while (!attempt_write_exit(s->opt->attempt, e, &err)) {
        log_error("the end of the attempt cannot be recorded yet error=\"%s\"", err.msg);
        wait_ms(1000);
    }
}

static bool open_log(struct shim *s, struct error *err)
{
    char *dir = str_path(s->opt->out, "logs"), *path = str_path(dir, "rank-0.log");
    char when[CLOCK_TEXT];
    bool ok = file_make_dirs(dir, 0755, err);

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
    free(dir);
    return ok;
}

/* Under the lock: an attempt that has an exit record is over, whoever starts it again. */
static bool claim(struct shim *s, struct error *err)
{
    struct attempt_exit before;
    struct process self;

    if (attempt_lock(s->opt->attempt, true, err) < 0)
        return false;
    if (attempt_read_exit(s->opt->attempt, &before, NULL))
        return err_set(err, ERR_CONFLICT, "attempt %s is over", s->id);
    return process_identify(getpid(), &self) &&
           attempt_write_owner(s->opt->attempt, s->id, &self, err);
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
    struct attempt_exit e = {.status = 1};
    bool started;

    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (!block_signals(s, err) || !claim(s, err))
        return false;
    started = open_log(s, err) && start_mpirun(s, command, err);
    if (started) {
        watch_mpirun(s);
        end_all(s);
        copy_errors(s);
        describe_end(s, &e);
    } else {
        snprintf(e.message, sizeof(e.message), "%.1000s", err->msg);
    }
    mpirun_clean(s->session_dir);
    record_end(s, &e);
    return started;
}

static bool print_line(const struct shim_options *o, char *const *command)
{
    struct mpirun m = {.ranks = o->ranks,
                       .threads = o->threads,
                       .cores = cores_online(),
                       .root = geteuid() == 0,
                       .dir = o->dir,
                       .command = command};
    struct mpirun_line line;
    struct buf text = buf_new(0);

    mpirun_build(&m, &line);
    mpirun_print(&line, &text);
    fputs(buf_text(&text), stdout);
    buf_free(&text);
    mpirun_line_free(&line);
    return true;
}

static bool act(const struct shim_options *o, char *const *command, struct error *err)
{
    struct shim s = {.opt = o, .id = getenv(ATTEMPT_VARIABLE), .log = -1, .errors = -1};
    bool ok;

    if (!*command)
        return err_set(err, ERR_INVALID, "expected a command after the options, got nothing");
    if (o->print_mpirun)
        return print_line(o, command);
    if (!o->attempt || !o->out)
        return err_set(err, ERR_INVALID, "--attempt and --out are required");
    if (!s.id)
        return err_set(err, ERR_INVALID, "%s is not set: it must name the attempt",
                       ATTEMPT_VARIABLE);
    s.session_dir = str_path(o->attempt, "mpi");
    s.tail = buf_new(0);
    ok = run(&s, command, err);
    buf_free(&s.tail);
    free(s.session_dir);
    return ok;
}

int main(int argc, char **argv)
{
    struct shim_options o = {.ranks = 1, .threads = 1};
    struct error err = {0};
    int rest, status = 0;

    if (!options_parse(&table, argc, argv, &o, &rest, &err)) {
        status = err_exit_status(err.code);
    } else if (o.help) {
        options_help(&table, stdout);
    } else if (!act(&o, argv + rest, &err)) {
        status = err_exit_status(err.code);
    }
    if (status)
        fprintf(stderr, "distill-shim: %s\n", err.msg);
    if (status == 2)
        fprintf(stderr, "distill-shim --help shows all options.\n");
    options_free(&table, &o);
    return status;
}
