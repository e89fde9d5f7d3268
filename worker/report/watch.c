#define _GNU_SOURCE
#include "worker/report/watch.h"

#include <dirent.h>
#include <errno.h>
#include <execinfo.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/host.h"
#include "proto/base/mem.h"
#include "proto/base/pulse.h"
#include "proto/base/socket.h"
#include "proto/base/str.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/frame.h"
#include "worker/report/token.h"

typedef Distilld__Envelope Envelope;

enum {
    STATUS_IO = 74,
    STATUS_AGAIN = 75,
    STACK_DEPTH = 64,
    STACK_WAIT_MS = 200, /* for one thread; one that blocks signals never answers */
    IN_MAX = 64 << 10
};

/* One for the process, as the pulse and the fence are. */
static struct watch {
    bool started, remote;
    int fd, rank;
    int64_t generation;
    const char *attempt;
    char *generation_path;
    pthread_t thread;
    bool failed; /* set before closing */
    atomic_bool closing;
    _Atomic double lease_until; /* by clock_boot_s: a machine that slept has not heard anything */
    /* Of the thread alone, once it runs: */
    uint64_t sequence;
    bool welcome;
    double heartbeat_s, lease_s, beat_at;
    struct buf in;
} w;

static _Noreturn void end_rank(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static _Noreturn void end_rank(const char *fmt, ...)
{
    char why[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    dprintf(STDERR_FILENO, "distill-worker: rank %d of attempt %s ends itself: %s\n", w.rank,
            w.attempt, why);
    _exit(STATUS_AGAIN);
}

static _Noreturn void end_unheard(void)
{
    end_rank("no word from the shim for %g s: this host may have been given up", w.lease_s);
}

/* -- The fence --------------------------------------------------------------------------------- */

static int64_t newest_generation(void)
{
    struct buf text = buf_new(32);
    int64_t newest = 0;

    if (w.generation_path && file_read(w.generation_path, &text, NULL))
        newest = strtoll(buf_text(&text), NULL, 10);
    buf_free(&text);
    return newest;
}

static void fence(void)
{
    int64_t newest;

    if (clock_boot_s() > atomic_load(&w.lease_until))
        end_unheard();
    newest = newest_generation();
    if (newest > w.generation)
        end_rank("attempt %" PRId64 " of the job has begun", newest);
}

void watch_guard(const char *generation_path)
{
    if (w.started)
        w.generation_path = str_dup(generation_path);
}

/* -- Stacks ------------------------------------------------------------------------------------ */

static sem_t stack_written;

static int stack_signal(void)
{
    return SIGRTMIN + 5;
}

/* In the thread that is asked for its stack. */
static void write_stack(int number)
{
    void *at[STACK_DEPTH];
    int before = errno;

    (void)number;
    backtrace_symbols_fd(at, backtrace(at, STACK_DEPTH), STDERR_FILENO);
    sem_post(&stack_written);
    errno = before;
}

static void prepare_stacks(void)
{
    struct sigaction a = {.sa_handler = write_stack, .sa_flags = SA_RESTART};
    void *at[1];

    /* The first call loads a library, which no signal handler may do. */
    backtrace(at, 1);
    sem_init(&stack_written, 0, 0);
    sigaction(stack_signal(), &a, NULL);
}

static void ask_thread(pid_t thread)
{
    char path[64];
    struct buf name = buf_new(64);
    struct timespec until;

    snprintf(path, sizeof(path), "/proc/self/task/%ld/comm", (long)thread);
    file_read(path, &name, NULL);
    dprintf(STDERR_FILENO, "rank %d, thread %ld (%.*s):\n", w.rank, (long)thread,
            (int)strcspn(buf_text(&name), "\n"), buf_text(&name));
    buf_free(&name);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += STACK_WAIT_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    if (tgkill(getpid(), thread, stack_signal()) != 0 || sem_timedwait(&stack_written, &until) != 0)
        dprintf(STDERR_FILENO, "(no answer)\n");
}

static void write_stacks(void)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *e;
    struct pulse p = pulse_read();
    int64_t thread;

    dprintf(STDERR_FILENO, "distill-worker: stacks of rank %d, at step %" PRId64 ", %s, %s\n",
            w.rank, p.step, p.phase, p.place);
    while (tasks && (e = readdir(tasks)))
        if (str_int(e->d_name, 1, INT32_MAX, &thread) && thread != gettid())
            ask_thread((pid_t)thread);
    if (tasks)
        closedir(tasks);
}

/* -- Frames ------------------------------------------------------------------------------------ */

/* What does not fit into the socket is not sent: the next sign of life says the same. */
static void post(Envelope *e)
{
    struct buf frame = buf_new(0);
    size_t n;
    uint8_t *bytes;

    e->has_sequence = e->has_generation = 1;
    e->sequence = ++w.sequence;
    e->generation = (uint64_t)w.generation;
    n = distilld__envelope__get_packed_size(e);
    bytes = mem_calloc(n, 1);
    distilld__envelope__pack(e, bytes);
    frame_write(&frame, bytes, n);
    if (send(w.fd, frame.data, frame.len, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
        w.beat_at = clock_boot_s() + w.heartbeat_s;
    free(bytes);
    buf_free(&frame);
}

static void post_hello(void)
{
    Envelope e = DISTILLD__ENVELOPE__INIT;
    Distilld__Hello hello = DISTILLD__HELLO__INIT;
    const char *job = getenv("DISTILLD_JOB");
    char host[HOST_NAME_SIZE], machine[HOST_MACHINE_SIZE], *token = token_read();

    host_own_name(host);
    host_machine(machine);
    hello.job = str_dup(job ? job : "");
    hello.attempt_token = token;
    hello.has_pid = hello.has_rank = hello.has_sent_s = 1;
    hello.pid = getpid();
    hello.rank = w.rank;
    hello.sent_s = clock_boot_s();
    hello.host = host;
    hello.machine = machine;
    e.body_case = DISTILLD__ENVELOPE__BODY_HELLO;
    e.hello = &hello;
    post(&e);
    free(hello.job);
    free(token);
}

static void post_heartbeat(void)
{
    Envelope e = DISTILLD__ENVELOPE__INIT;
    Distilld__Heartbeat h = DISTILLD__HEARTBEAT__INIT;
    struct pulse p = pulse_read();
    char phase[32], place[48];

    snprintf(phase, sizeof(phase), "%s", p.phase);
    snprintf(place, sizeof(place), "%s", p.place);
    h.has_step = h.has_count = h.has_waiting = h.has_sent_s = 1;
    h.step = p.step;
    h.count = p.count;
    h.phase = phase;
    h.place = place;
    h.waiting = p.waiting;
    h.sent_s = clock_boot_s();
    e.body_case = DISTILLD__ENVELOPE__BODY_HEARTBEAT;
    e.heartbeat = &h;
    post(&e);
}

static void post_stacks(void)
{
    Envelope e = DISTILLD__ENVELOPE__INIT;
    Distilld__Stacks stacks = DISTILLD__STACKS__INIT;

    e.body_case = DISTILLD__ENVELOPE__BODY_STACKS;
    e.stacks = &stacks;
    post(&e);
}

static void post_goodbye(void)
{
    Envelope e = DISTILLD__ENVELOPE__INIT;
    Distilld__Goodbye goodbye = DISTILLD__GOODBYE__INIT;
    char failed[] = "failed";

    e.body_case = DISTILLD__ENVELOPE__BODY_GOODBYE;
    e.goodbye = &goodbye;
    if (w.failed)
        goodbye.state = failed;
    post(&e);
}

/* The lease counts from when we spoke, not from when we heard: an answer may have been under way for
 * long, and the shim counts from when it gave it. Only other hosts can be given up while they live; here
 * a shim that stands still is no danger, and one that is gone closes the connection. */
static void renew(double sent_s)
{
    if (w.remote)
        atomic_store(&w.lease_until, sent_s + w.lease_s);
}

static void receive(const Envelope *e)
{
    if (e->body_case == DISTILLD__ENVELOPE__BODY_WELCOME) {
        w.welcome = true;
        w.lease_s = e->welcome->lease_s;
        w.heartbeat_s = e->welcome->heartbeat_s;
        w.beat_at = clock_boot_s();
        renew(e->welcome->sent_s);
    } else if (e->body_case == DISTILLD__ENVELOPE__BODY_HEARTBEAT) {
        renew(e->heartbeat->sent_s);
    } else if (e->body_case == DISTILLD__ENVELOPE__BODY_STACKS) {
        write_stacks();
        post_stacks();
    }
}

static void take_frames(void)
{
    const unsigned char *payload;
    size_t len, used;
    struct error err;
    enum frame_state s;

    while ((s = frame_read(w.in.data, w.in.len, &payload, &len, &used, &err)) == FRAME_READY) {
        Envelope *e = distilld__envelope__unpack(NULL, len, payload);

        if (!e)
            end_rank("the shim sent a frame that is no message");
        receive(e);
        distilld__envelope__free_unpacked(e, NULL);
        buf_consume(&w.in, used);
    }
    if (s == FRAME_BROKEN)
        end_rank("the shim sent %s", err.msg);
}

static void read_socket(void)
{
    char bytes[4096];
    ssize_t n = recv(w.fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        end_rank("its shim is gone");
    if (!buf_add(&w.in, bytes, (size_t)n))
        end_rank("the shim says too much");
    take_frames();
}

/* Nothing is done before the lease is known: until then it might be longer than the shim thinks. */
static void await_welcome(void)
{
    struct pollfd p = {.fd = w.fd, .events = POLLIN};

    while (!w.welcome) {
        double left = atomic_load(&w.lease_until) - clock_boot_s();

        if (left <= 0)
            end_unheard();
        if (poll(&p, 1, isfinite(left) ? (int)(left * 1000) + 1 : -1) > 0)
            read_socket();
    }
}

/* -- The thread -------------------------------------------------------------------------------- */

static void *run(void *arg)
{
    (void)arg;
    while (!atomic_load(&w.closing)) {
        struct pollfd p = {.fd = w.fd, .events = POLLIN};
        double now = clock_boot_s(), wait = fmin(w.beat_at, atomic_load(&w.lease_until)) - now;

        if (poll(&p, 1, wait > 0 ? (int)(wait * 1000) + 1 : 0) > 0 && !atomic_load(&w.closing))
            read_socket();
        now = clock_boot_s();
        if (now > atomic_load(&w.lease_until) && !atomic_load(&w.closing))
            end_unheard();
        if (now >= w.beat_at)
            post_heartbeat();
    }
    post_goodbye();
    return NULL;
}

static bool start_thread(struct error *err)
{
    sigset_t all, before;
    int code;

    /* The signals of the process are for the others. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    code = pthread_create(&w.thread, NULL, run, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code == 0 || err_set(err, ERR_IO, "thread for signs of life: %s", strerror(code));
}

bool watch_start(int rank, struct error *err)
{
    const char *address = getenv("DISTILLD_WATCH"), *attempt = getenv("DISTILLD_ATTEMPT");
    const char *generation = getenv("DISTILLD_GENERATION");

    if (!address || !*address)
        return true;
    w = (struct watch){.rank = rank,
                       .remote = !str_starts(address, "unix:"),
                       .attempt = attempt ? attempt : "?",
                       .generation = generation ? strtoll(generation, NULL, 10) : 1,
                       .heartbeat_s = 1,
                       .lease_s = 30,
                       .in = buf_new(IN_MAX)};
    atomic_store(&w.lease_until, w.remote ? clock_boot_s() + w.lease_s : (double)INFINITY);
    w.fd = socket_connect(address, err);
    if (w.fd < 0)
        return err_wrap(err, "the shim of attempt %s", w.attempt);
    prepare_stacks();
    post_hello();
    await_welcome();
    w.started = start_thread(err);
    if (w.started)
        file_set_fence(fence);
    else
        close(w.fd);
    return w.started;
}

int watch_exit_status(enum err_code code)
{
    const bool is_io = code == ERR_IO || code == ERR_FULL;

    return is_io && getenv("DISTILLD_WATCH") ? STATUS_IO : err_exit_status(code);
}

void watch_fail(void)
{
    w.failed = true;
    watch_end();
}

void watch_end(void)
{
    if (!w.started)
        return;
    w.started = false;
    file_set_fence(NULL);
    atomic_store(&w.closing, true);
    shutdown(w.fd, SHUT_RD); /* wakes the thread */
    pthread_join(w.thread, NULL);
    close(w.fd);
    buf_free(&w.in);
    free(w.generation_path);
}
