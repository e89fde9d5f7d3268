/* daemon: what the signs of life of ranks mean, and the line between a rank and its shim. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/hub.h"
#include "daemon/watch.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/pulse.h"
#include "proto/base/rng.h"
#include "proto/base/socket.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"
#include "worker/report/uplink.h"
#include "worker/report/watch.h"

/* -- The meaning ------------------------------------------------------------------------------- */

static const struct watch_limits limits = {
    .stall_s = 10, .first_s = 60, .silence_s = 5, .heartbeat_s = 1, .lease_s = 30};

enum {
    RANKS = 4
};

/* What one rank does all the time from the first second on. */
enum conduct {
    WORKS,
    WAITS,   /* for others: speaks, does not get on */
    SPINS,   /* speaks, does not get on, does not wait */
    STOPS,   /* falls silent while it waits */
    LEAVES,  /* says goodbye */
    BEGINS,  /* speaks, and has not done any work yet */
    FREEZES, /* said hello, and stopped before it did any work */
    MUTE     /* never says a word */
};

/* The attempt after `seconds`, looked at twice a second. */
static void play(struct watch *w, const enum conduct how[RANKS], bool remote, double seconds)
{
    uint64_t work = 1;

    watch_init(w, RANKS, &limits, 0);
    for (size_t r = 0; r < RANKS; r++)
        if (how[r] != MUTE) {
            watch_hello(w, r, 100 + (pid_t)r, "h", remote, 0);
            watch_hear(w, r,
                       &(struct watch_word){.count = how[r] != BEGINS && how[r] != FREEZES,
                                            .waiting = how[r] == STOPS},
                       0);
            if (how[r] == LEAVES)
                watch_gone(w, r, 0);
        }
    for (double now = 0.5; now <= seconds; now += 0.5) {
        watch_look(w, now);
        work++;
        for (size_t r = 0; r < RANKS; r++)
            if (how[r] == WORKS || how[r] == WAITS || how[r] == SPINS || how[r] == BEGINS)
                watch_hear(w, r,
                           &(struct watch_word){.count = how[r] == WORKS    ? work
                                                         : how[r] == BEGINS ? 0
                                                                            : 1,
                                                .waiting = how[r] == WAITS},
                           now);
    }
}

START_TEST(the_rank_that_holds_up_the_others_is_named)
{
    static const struct {
        enum conduct how[RANKS];
        bool remote;
        double seconds;
        enum watch_state want;
        const char *at_fault; /* a digit for each rank that is */
    } cases[] = {
        {{WORKS, WORKS, WORKS, WORKS}, false, 100, WATCH_WELL, ""},
        /* Somebody works for long, the others wait. */
        {{WORKS, WAITS, WAITS, WAITS}, false, 100, WATCH_WELL, ""},
        {{WAITS, SPINS, WAITS, WAITS}, false, 10, WATCH_WELL, ""},
        {{WAITS, SPINS, WAITS, WAITS}, false, 10.5, WATCH_HUNG, "1"},
        {{WAITS, WAITS, STOPS, WAITS}, false, 10, WATCH_WELL, ""},
        {{WAITS, WAITS, STOPS, WAITS}, false, 10.5, WATCH_HUNG, "2"},
        {{SPINS, WAITS, STOPS, WAITS}, false, 10.5, WATCH_HUNG, "02"},
        /* Even if the others can get on for a while. */
        {{WORKS, SPINS, WORKS, WORKS}, false, 10.5, WATCH_HUNG, "1"},
        /* Nobody is to blame, so all are shown. */
        {{WAITS, WAITS, WAITS, WAITS}, false, 10, WATCH_WELL, ""},
        {{WAITS, WAITS, WAITS, WAITS}, false, 10.5, WATCH_HUNG, "0123"},
        {{LEAVES, LEAVES, LEAVES, LEAVES}, false, 10.5, WATCH_HUNG, "0123"},
        {{LEAVES, LEAVES, WORKS, LEAVES}, false, 100, WATCH_WELL, ""},
        /* The first word takes longer. */
        {{WAITS, WAITS, MUTE, WAITS}, false, 60, WATCH_WELL, ""},
        {{WAITS, WAITS, MUTE, WAITS}, false, 60.5, WATCH_HUNG, "2"},
        {{WAITS, WAITS, BEGINS, WAITS}, false, 60, WATCH_WELL, ""},
        {{WAITS, WAITS, BEGINS, WAITS}, false, 60.5, WATCH_HUNG, "2"},
        {{WAITS, WAITS, FREEZES, WAITS}, false, 10, WATCH_WELL, ""},
        {{WAITS, WAITS, FREEZES, WAITS}, false, 10.5, WATCH_HUNG, "2"},
        /* Silence of another host weighs more than that of a process here. */
        {{WAITS, WAITS, STOPS, WAITS}, true, 5, WATCH_WELL, ""},
        {{WAITS, WAITS, STOPS, WAITS}, true, 5.5, WATCH_LOST_HOST, "2"},
        {{WORKS, STOPS, STOPS, WORKS}, true, 5.5, WATCH_LOST_HOST, "12"},
        {{LEAVES, WORKS, WORKS, WORKS}, true, 100, WATCH_WELL, ""},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        double now = cases[i].seconds;
        struct watch w;

        play(&w, cases[i].how, cases[i].remote, now);
        ck_assert_msg(watch_judge(&w, now) == cases[i].want, "case %zu: %d", i,
                      watch_judge(&w, now));
        for (size_t r = 0; r < RANKS; r++)
            ck_assert_msg(watch_is_at_fault(&w, r, now) ==
                              (strchr(cases[i].at_fault, '0' + (int)r) != NULL),
                          "case %zu: rank %zu", i, r);
        watch_free(&w);
    }
}
END_TEST

START_TEST(time_that_nobody_watched_does_not_count)
{
    static const enum conduct how[RANKS] = {STOPS, WAITS, WAITS, WAITS};
    struct watch w;

    play(&w, how, true, 4);
    watch_look(&w, 1000);
    ck_assert_int_eq(watch_judge(&w, 1000), WATCH_WELL);
    /* What was there before still does. */
    for (double now = 1000.5; now <= 1001.5; now += 0.5)
        watch_look(&w, now);
    ck_assert_int_eq(watch_judge(&w, 1001.5), WATCH_LOST_HOST);
    watch_free(&w);
}
END_TEST

START_TEST(a_rank_that_speaks_again_is_well)
{
    static const enum conduct how[RANKS] = {STOPS, WAITS, WAITS, WAITS};
    struct watch w;

    play(&w, how, false, 9);
    ck_assert(watch_is_silent(&w, 0, 9));
    watch_hear(&w, 0, &(struct watch_word){.count = 2}, 9);
    ck_assert(!watch_is_silent(&w, 0, 9));
    watch_look(&w, 11);
    ck_assert_int_eq(watch_judge(&w, 11), WATCH_WELL);
    watch_free(&w);
}
END_TEST

START_TEST(only_the_end_or_the_lease_proves_that_a_rank_is_dead)
{
    static const enum conduct how[RANKS] = {WORKS, LEAVES, STOPS, MUTE};
    struct watch w;

    /* Those of this machine are seen in /proc. */
    play(&w, how, false, 4);
    for (size_t r = 0; r < RANKS; r++)
        ck_assert(!watch_may_live(&w, r, 4));
    watch_free(&w);
    play(&w, how, true, 4);
    w.ranks[0].answered_s = 4;
    ck_assert(watch_may_live(&w, 0, 34) && !watch_may_live(&w, 0, 40));
    ck_assert(!watch_may_live(&w, 1, 4));
    ck_assert(watch_may_live(&w, 2, 30) && !watch_may_live(&w, 2, 36));
    watch_free(&w);
}
END_TEST

/* -- The line ---------------------------------------------------------------------------------- */

struct line {
    struct watch watch;
    struct hub *hub;
    pid_t rank;
    char *log, *output, *generation;
};

/* A program of one rank: `body` runs with the line to the shim open. Its standard error is a file. */
static void start_rank(struct line *l, const char *kind, const char *token, double lease_s,
                       void (*body)(const struct line *l))
{
    struct watch_limits quick = {
        .stall_s = 60, .first_s = 60, .silence_s = 60, .heartbeat_s = 0.1, .lease_s = lease_s};
    /* Deeper than a socket's address can hold. */
    char *deep = str_fmt("%s/%0150d", unit_dir(), 0);
    char *address =
        strcmp(kind, "unix") == 0 ? str_fmt("unix:%s/sock", deep) : str_dup("tcp:127.0.0.1:0");
    char *secret = str_path(unit_dir(), "token");
    struct error err;

    l->log = str_path(unit_dir(), "log");
    l->output = str_path(unit_dir(), "output");
    l->generation = str_path(unit_dir(), "generation");
    ck_assert_ok(file_make_dirs(deep, 0700, &err), err);
    ck_assert_ok(file_replace(secret, token, strlen(token), 0600, &err), err);
    ck_assert_ok(file_replace(l->generation, "3", 1, 0600, &err), err);
    watch_init(&l->watch, 2, &quick, clock_mono_s());
    l->hub = hub_open(
        &(struct hub_config){.address = address, .token = "right", .watch = &l->watch}, &err);
    ck_assert_msg(l->hub, "%s", err.msg);
    l->rank = fork();
    if (l->rank == 0) {
        dup2(open(l->log, O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
        setenv("DISTILLD_WATCH", hub_address(l->hub), 1);
        setenv("DISTILLD_TOKEN_FILE", secret, 1);
        setenv("DISTILLD_GENERATION", "3", 1);
        setenv("DISTILLD_ATTEMPT", "job_test.3", 1);
        if (!watch_start(1, &err))
            _exit(1);
        watch_guard(l->generation);
        body(l);
        watch_end();
        _exit(0);
    }
    free(secret);
    free(address);
    free(deep);
}

/* Serves the rank until the condition holds. */
static void serve(struct line *l, bool (*done)(const struct line *l))
{
    double until = clock_mono_s() + 20;
    struct pollfd p = {.fd = hub_fd(l->hub), .events = POLLIN};

    while (!done(l)) {
        ck_assert_msg(clock_mono_s() < until, "it takes too long");
        poll(&p, 1, 50);
        hub_serve(l->hub, clock_mono_s());
    }
}

static void end_line(struct line *l, int want_status, const char *want_words)
{
    struct buf said = buf_new(1 << 20);
    int status;

    ck_assert_int_eq(waitpid(l->rank, &status, 0), l->rank);
    file_read(l->log, &said, NULL);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == want_status, "status %x: %s", status,
                  buf_text(&said));
    ck_assert_msg(strstr(buf_text(&said), want_words), "%s", buf_text(&said));
    buf_free(&said);
    hub_close(l->hub);
    watch_free(&l->watch);
    unlink(l->output);
    free(l->log);
    free(l->output);
    free(l->generation);
}

static bool is_known(const struct line *l)
{
    return l->watch.ranks[1].known;
}

static bool is_gone(const struct line *l)
{
    return l->watch.ranks[1].gone;
}

static bool stands_at_step_7(const struct line *l)
{
    const struct watch_word *word = &l->watch.ranks[1].word;

    return word->step == 7 && word->waiting && strcmp(word->phase, "train") == 0;
}

static bool has_written_stacks(const struct line *l)
{
    return !hub_owed_stacks(l->hub);
}

static void wait_for_ever(const struct line *l)
{
    (void)l;
    pulse_phase("train");
    pulse_step(7);
    pulse_place(pulse_waiting);
    for (;;)
        pause();
}

static void work(const struct line *l)
{
    struct error err;

    (void)l;
    usleep(300000);
    if (!file_replace(l->output, "done", 4, 0600, &err))
        _exit(1);
}

static void tell(const char *kind)
{
    struct line l = {.rank = 0};

    start_rank(&l, kind, "right", 30, wait_for_ever);
    serve(&l, stands_at_step_7);
    ck_assert(l.watch.ranks[1].pid == l.rank && !l.watch.ranks[1].remote);
    hub_ask_stacks(l.hub);
    ck_assert_uint_eq(hub_owed_stacks(l.hub), 1);
    serve(&l, has_written_stacks);
    hub_hang_up(l.hub);
    end_line(&l, 75, "stacks of rank 1, at step 7, train, waiting for other ranks");
}

START_TEST(a_rank_tells_where_it_stands)
{
    tell("unix");
    tell("tcp");
}
END_TEST

START_TEST(a_rank_leaves_in_peace)
{
    struct line l = {.rank = 0};

    start_rank(&l, "tcp", "right", 30, work);
    serve(&l, is_gone);
    ck_assert(file_exists(l.output));
    end_line(&l, 0, "");
}
END_TEST

static bool has_ended(const struct line *l)
{
    siginfo_t info = {0};

    waitid(P_PID, (id_t)l->rank, &info, WEXITED | WNOHANG | WNOWAIT);
    return info.si_pid != 0;
}

START_TEST(a_rank_without_the_token_is_refused)
{
    struct line l = {.rank = 0};

    start_rank(&l, "unix", "wrong", 30, wait_for_ever);
    serve(&l, has_ended);
    ck_assert(!is_known(&l));
    end_line(&l, 75, "its shim is gone");
}
END_TEST

/* -- Fences ------------------------------------------------------------------------------------ */

START_TEST(a_rank_that_hears_nothing_ends)
{
    struct line l = {.rank = 0};
    double began;

    start_rank(&l, "tcp", "right", 3, wait_for_ever);
    serve(&l, stands_at_step_7);
    began = clock_mono_s(); /* from now on nobody answers */
    end_line(&l, 75, "no word from the shim for 3 s");
    ck_assert(clock_mono_s() - began > 0.5);
}
END_TEST

/* Both threads wake up together: the one that computes must not be faster than the end. */
static void write_after_a_sleep(const struct line *l)
{
    struct error err;

    raise(SIGSTOP);
    file_replace(l->output, "late", 4, 0600, &err);
}

static void end_late(struct line *l, const char *want_words)
{
    waitid(P_PID, (id_t)l->rank, &(siginfo_t){0}, WEXITED | WNOWAIT);
    ck_assert(!file_exists(l->output));
    end_line(l, 75, want_words);
}

START_TEST(a_rank_that_was_away_writes_nothing)
{
    struct line l = {.rank = 0};
    int status;

    start_rank(&l, "tcp", "right", 3, write_after_a_sleep);
    serve(&l, is_known);
    ck_assert_int_eq(waitpid(l.rank, &status, WUNTRACED), l.rank);
    ck_assert(WIFSTOPPED(status));
    usleep(4500000);
    kill(l.rank, SIGCONT);
    end_late(&l, "no word from the shim");
}
END_TEST

START_TEST(a_rank_in_whose_place_another_has_begun_writes_nothing)
{
    struct line l = {.rank = 0};
    struct error err;
    int status;

    start_rank(&l, "unix", "right", 30, write_after_a_sleep);
    serve(&l, is_known);
    ck_assert_int_eq(waitpid(l.rank, &status, WUNTRACED), l.rank);
    ck_assert_ok(file_replace(l.generation, "4\n", 2, 0600, &err), err);
    kill(l.rank, SIGCONT);
    end_late(&l, "attempt 4 of the job has begun");
}
END_TEST

/* -- The line to the daemon ------------------------------------------------------------------------- */

/* Accepts whoever comes, and hangs up, for so long. How many came. */
static int refuse_all(int listener, double seconds)
{
    const double end = clock_mono_s() + seconds;
    struct pollfd p = {.fd = listener, .events = POLLIN};
    char hello[4096];
    int n = 0, fd;

    while (clock_mono_s() < end) {
        fd = poll(&p, 1, 50) > 0 ? accept(listener, NULL, NULL) : -1;
        if (fd < 0)
            continue;
        n += recv(fd, hello, sizeof(hello), 0) > 0;
        close(fd);
    }
    return n;
}

/* The daemon would have nothing else to do, and its log no room for anything else. */
START_TEST(a_worker_that_is_refused_asks_seldom)
{
    char *path = str_path(unit_dir(), "uplink"), *address = str_fmt("unix:%s", path);
    struct error err;
    int listener = socket_listen(address, &err), came;
    struct uplink *u;

    ck_assert_msg(listener >= 0, "%s", err.msg);
    setenv("DISTILLD_UPLINK", path, 1);
    u = uplink_open("/no/such/metrics", 1);
    came = refuse_all(listener, 2.2);
    close(listener);
    ck_assert_msg(came >= 1 && came <= 6, "it came %d times", came);
    uplink_close(u, "failed");
    free(address);
    free(path);
}
END_TEST

UNIT_MAIN(the_rank_that_holds_up_the_others_is_named, time_that_nobody_watched_does_not_count,
          a_rank_that_speaks_again_is_well, only_the_end_or_the_lease_proves_that_a_rank_is_dead,
          a_rank_tells_where_it_stands, a_rank_leaves_in_peace, a_rank_without_the_token_is_refused,
          a_rank_that_hears_nothing_ends, a_rank_that_was_away_writes_nothing,
          a_rank_in_whose_place_another_has_begun_writes_nothing,
          a_worker_that_is_refused_asks_seldom)
