/* daemon: what surrounds an attempt: its queue, its mpirun line, its processes, its records. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/attempt.h"
#include "daemon/lastwords.h"
#include "daemon/mpirun.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"

static char *line_of(const struct mpirun *m)
{
    struct mpirun_line line;
    struct buf text = buf_new(0);

    mpirun_build(m, &line);
    mpirun_print(&line, &text);
    mpirun_line_free(&line);
    return buf_take(&text);
}

START_TEST(mpirun_line_is_the_agreed_one)
{
    char worker[] = "/usr/bin/distill-worker", train[] = "train", odd[] = "it's a.json";
    char *const command[] = {worker, train, odd, NULL};
    char job[] = "DISTILLD_JOB=j", home[] = "HOME=/root";
    char *const environment[] = {home, job, NULL};
    static const struct {
        struct mpirun m;
        const char *line;
    } cases[] = {
        {{.ranks = 2, .threads = 1, .cores = 2, .dir = "/state/a"},
         "env HWLOC_COMPONENTS=-linuxio,-pci,-opencl,-gl PMIX_MCA_gds=hash "
         "mpirun -n 2 --bind-to none --use-hwthread-cpus --mca pml ob1 --mca btl self,vader,tcp "
         "--mca odls_base_sigkill_timeout 0 "
         "--mca orte_tmpdir_base /state/a /usr/bin/distill-worker train 'it'\\''s a.json'\n"},
        {{.ranks = 2, .threads = 2, .cores = 2, .root = true},
         "env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
         "HWLOC_COMPONENTS=-linuxio,-pci,-opencl,-gl PMIX_MCA_gds=hash mpirun -n 2 --bind-to none "
         "--use-hwthread-cpus --mca pml ob1 --mca btl self,vader,tcp --mca "
         "odls_base_sigkill_timeout 0 --oversubscribe "
         "--mca mpi_yield_when_idle 1 /usr/bin/distill-worker train 'it'\\''s a.json'\n"},
        {{
             .ranks = 3,
             .threads = 2,
             .cores = INT64_MAX,
             .dir = "/state/a",
             .hosts = "a:2,b:1",
             .launch_agent = "ssh -i key",
             .network = "10.0.0.0/8",
         },
         "env TMPDIR=/state/a mpirun -n 3 --bind-to none --use-hwthread-cpus --mca pml ob1 "
         "--mca btl self,vader,tcp --mca odls_base_sigkill_timeout 0 --host a:2,b:1 -x "
         "DISTILLD_JOB --mca plm rsh "
         "--mca plm_rsh_no_tree_spawn 1 --mca plm_rsh_agent 'ssh -i key' "
         "--mca btl_tcp_if_include 10.0.0.0/8 --mca oob_tcp_if_include 10.0.0.0/8 "
         "--mca oob_tcp_keepalive_time 3 --mca oob_tcp_keepalive_intvl 1 "
         "--mca oob_tcp_keepalive_probes 3 /usr/bin/distill-worker train 'it'\\''s a.json'\n"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct mpirun m = cases[i].m;
        char *line;

        m.command = command;
        m.environment = environment;
        line = line_of(&m);
        ck_assert_msg(strcmp(line, cases[i].line) == 0, "case %zu: %s", i, line);
        free(line);
    }
}
END_TEST

START_TEST(mpirun_keeps_away_from_long_folders)
{
    char name[] = "w", deep[300];
    char *const command[] = {name, NULL};
    char *line;

    memset(deep, 'd', sizeof(deep) - 1);
    deep[0] = '/';
    deep[sizeof(deep) - 1] = '\0';
    line = line_of(&(struct mpirun){.ranks = 1, .threads = 1, .dir = deep, .command = command});
    ck_assert_ptr_null(strstr(line, "orte_tmpdir_base"));
    free(line);
}
END_TEST

#define RULE "--------------------------------------------------------------------------\n"

START_TEST(last_words_are_the_ranks_own)
{
    static const char ended[] = RULE "Primary job  terminated normally, but 1 process returned\n"
                                     "a non-zero exit code.\n" RULE;
    static const char noticed[] = RULE "mpirun noticed that process rank 1 with PID 0 on node n "
                                       "exited on signal 9 (Killed).\n" RULE;
    static const char lost[] = RULE "ORTE has lost communication with a remote daemon.\n\n"
                                    "  HNP daemon   : [[1,0],0] on node a\n"
                                    "  Remote daemon: [[1,0],1] on node b\n\nThis is x.\n" RULE;
    static const char missing[] = RULE "mpirun was unable to find the specified executable file,\n"
                                       "and did not launch the job.\n\nNote: x\n" RULE;
    static const struct {
        const char *first, *second;
        bool killed;
        const char *want;
    } cases[] = {
        {"step 1\nerror: /data: no such folder\n\n", ended, false, "error: /data: no such folder"},
        {"step 1\n", noticed, true,
         "mpirun noticed that process rank 1 with PID 0 on node n exited on signal 9 (Killed)."},
        {"error: mine", "", true, "error: mine"},
        {"", lost, true, "Remote daemon: [[1,0],1] on node b"},
        {missing, ended, false,
         "mpirun was unable to find the specified executable file, and did not launch the job."},
        {"error: disk full\n", "[vm:14641] PMIX ERROR: ERROR in file x.c at line 99\n", false,
         "error: disk full"},
        {"[epoch 3] error: mine\n", "", false, "[epoch 3] error: mine"},
        {ended, "", false, ""},
        {"", "", false, ""},
        {"error: no end of line", ended, false, "error: no end of line"},
        {"error: no end", noticed, true,
         "mpirun noticed that process rank 1 with PID 0 on node n exited on signal 9 (Killed)."},
        {"dashes -----------\n", "", false, "dashes -----------"},
        {"a \033[31mb\n", "", false, "a ?[31mb"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *text = str_fmt("%s%s", cases[i].first, cases[i].second);
        char got[200];

        last_words(text, strlen(text), cases[i].killed, got, sizeof(got));
        ck_assert_msg(strcmp(got, cases[i].want) == 0, "case %zu: %s", i, got);
        free(text);
    }
}
END_TEST

START_TEST(last_lines_are_three_of_the_ranks)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"", ""},
        {"one\n\n", "one"},
        {"one\ntwo\nthree\nfour\n" RULE "MPI_ABORT\n" RULE, "two / three / four"},
        {"one\ntwo" RULE "x\n" RULE "three\n[vm:1] PMIX ERROR\n", "one / two / three"},
        {"a\tb\rc\n", "a?b?c"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char got[200];

        last_lines(cases[i].text, strlen(cases[i].text), got, sizeof(got));
        ck_assert_msg(strcmp(got, cases[i].want) == 0, "case %zu: %s", i, got);
    }
    /* What does not fit is the beginning; no character is cut in two. */
    for (size_t size = 1; size < 30; size++) {
        static const char text[] = "\u00e4\u00f6\u00fc\u00e4\u00f6\u00fc\nthe end\n";
        char got[30];

        last_lines(text, strlen(text), got, size);
        ck_assert_msg(strlen(got) < size && ((unsigned char)*got & 0xc0) != 0x80 &&
                          strlen(got) + 2 >= (size < 23 ? size : 23) &&
                          str_ends("\u00e4\u00f6\u00fc\u00e4\u00f6\u00fc / the end", got),
                      "%zu: %s", size, got);
    }
}
END_TEST

START_TEST(the_launcher_names_the_rank_that_ended_first)
{
    static const struct {
        const char *text;
        int want;
    } cases[] = {
        {"", -1},
        {"rank 3 says nothing of it\n", -1},
        {RULE "mpirun noticed that process rank 1 with PID 0 on node n exited on signal 9 "
              "(Killed).\n" RULE,
         1},
        {RULE "mpirun detected that one or more processes exited with non-zero status, thus "
              "causing\nthe job to be terminated. The first process to do so was:\n\n"
              "  Process name: [[43530,1],12]\n  Exit code:    1\n" RULE,
         12},
        {RULE "MPI_ABORT was invoked on rank 2 in communicator MPI_COMM_WORLD\nwith errorcode "
              "74.\n" RULE "  Process name: [[43530,1],0]\n",
         2},
        {"  Process name: [[", -1},
    };
    char name[] = "w", *const command[] = {name, NULL};
    char *line = line_of(&(struct mpirun){.ranks = 1, .threads = 1, .command = command});
    bool tells = !strstr(line, "mpirun.mpich");

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int got = mpirun_blames(cases[i].text, strlen(cases[i].text));

        ck_assert_msg(got == (tells ? cases[i].want : -1), "case %zu: %d", i, got);
    }
    free(line);
}
END_TEST

START_TEST(a_launcher_that_was_told_to_end_says_nothing)
{
    static const struct {
        int status;
        const char *text;
        bool want;
    } cases[] = {
        {1, "", true},
        {1, "step 3\n", true},
        {0, "", false},
        {65, "", false},
        {1, RULE "MPI_ABORT was invoked on rank 2 in communicator MPI_COMM_WORLD\n" RULE, false},
        {1, RULE "There are not enough slots available in the system\n" RULE, false},
    };
    char name[] = "w", *const command[] = {name, NULL};
    char *line = line_of(&(struct mpirun){.ranks = 1, .threads = 1, .command = command});
    bool tells = !strstr(line, "mpirun.mpich");

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        ck_assert_msg(mpirun_was_told(cases[i].status, cases[i].text, strlen(cases[i].text)) ==
                          (tells && cases[i].want),
                      "case %zu", i);
    free(line);
}
END_TEST

/* A process that carries the attempt's name, in a session of its own. */
static pid_t start_marked(const char *id)
{
    pid_t pid = fork();

    if (pid == 0) {
        char *env[] = {str_fmt("%s=%s", ATTEMPT_VARIABLE, id), NULL};

        setsid();
        execle("/bin/sleep", "sleep", "60", NULL, env);
        _exit(127);
    }
    return pid;
}

START_TEST(finds_processes_by_their_attempt)
{
    char *mine = str_fmt("job_test-%d.1", (int)getpid());
    char *other = str_fmt("job_test-%d.11", (int)getpid());
    pid_t a = start_marked(mine), b = start_marked(other);
    int status;

    /* Until exec has happened the child still shows this program's environment. */
    for (int i = 0; i < 1000 && (procs_signal(mine, 0) != 1 || procs_signal(other, 0) != 1); i++)
        usleep(10000);
    ck_assert_uint_eq(procs_signal(mine, SIGKILL), 1);
    ck_assert(waitpid(a, &status, 0) == a && WIFSIGNALED(status));
    ck_assert_uint_eq(procs_signal(mine, 0), 0);
    ck_assert_uint_eq(procs_signal(other, SIGKILL), 1);
    ck_assert(waitpid(b, &status, 0) == b && WIFSIGNALED(status));
    free(mine);
    free(other);
}
END_TEST

START_TEST(signals_only_the_process_that_was_meant)
{
    pid_t pid = start_marked("x");
    struct process p, stranger;
    int status;

    ck_assert(process_identify(pid, &p));
    stranger = p;
    stranger.start_time++;
    ck_assert(!process_signal(&stranger, SIGKILL));
    ck_assert(process_signal(&p, SIGKILL));
    ck_assert(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    ck_assert(!process_signal(&p, SIGKILL));
}
END_TEST

START_TEST(records_read_back)
{
    struct attempt_exit e = {.status = 65,
                             .stopped = true,
                             .unbegun = true,
                             .class = FAILURE_HANG,
                             .message = "a \"word\"\n"},
                        got;
    struct attempt_owner o = {{.pid = 7, .start_time = 123456789012, .boot_id = "b-1"}, "/c/g"},
                         owner;
    struct error err;

    ck_assert(!attempt_read_exit(unit_dir(), &got, &err));
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    ck_assert_ok(attempt_write_exit(unit_dir(), &e, &err), err);
    ck_assert_ok(attempt_read_exit(unit_dir(), &got, &err), err);
    ck_assert(got.status == 65 && got.signal == 0 && got.stopped && !got.lost && got.unbegun);
    ck_assert_int_eq(got.class, FAILURE_HANG);
    ck_assert_str_eq(got.message, e.message);
    ck_assert(got.ended_boot_ms > 0 && got.ended_boot_ms <= (int64_t)(1e3 * clock_boot_s()));
    ck_assert_ok(attempt_write_owner(unit_dir(), "job_x.3", &o, &err), err);
    ck_assert_ok(attempt_read_owner(unit_dir(), &owner, &err), err);
    ck_assert(owner.shim.pid == o.shim.pid && owner.shim.start_time == o.shim.start_time);
    ck_assert_str_eq(owner.shim.boot_id, o.shim.boot_id);
    ck_assert_str_eq(owner.cgroup, o.cgroup);
}
END_TEST

START_TEST(the_age_of_a_process_needs_no_clock_that_is_set)
{
    const int64_t before = (int64_t)(1e3 * clock_boot_s());
    struct process p;
    pid_t pid = fork();

    if (pid == 0)
        for (;;)
            pause();
    ck_assert(process_identify(pid, &p));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    /* It is counted in ticks of 10 ms. */
    ck_assert_int_ge(process_started_ms(&p), before - 10);
    ck_assert_int_le(process_started_ms(&p), (int64_t)(1e3 * clock_boot_s()));
    ck_assert_int_eq(process_started_ms(&(struct process){.start_time = UINT64_MAX}), 0);
}
END_TEST

static void write_record(const char *name, const char *text)
{
    char *path = str_path(unit_dir(), name);
    struct error err;

    ck_assert_ok(file_replace(path, text, strlen(text), 0644, &err), err);
    free(path);
}

/* As the first release's shim wrote them, which may still look after an attempt; and as a later one may. */
START_TEST(records_of_other_releases_are_read_or_refused)
{
    struct attempt_exit e;
    struct attempt_owner o;
    struct error err;

    write_record("exit.json", "{\"status\": 75, \"signal\": 0, \"stopped\": true, \"lost\": false, "
                              "\"message\": \"m\", \"ended_at\": \"2026-01-31T12:00:00.000Z\"}");
    write_record("attempt.json",
                 "{\"attempt\": \"job_x.3\", \"pid\": 7, \"start_time\": 9, "
                 "\"boot_id\": \"b\", \"started_at\": \"2026-01-31T12:00:00.000Z\"}");
    ck_assert_ok(attempt_read_exit(unit_dir(), &e, &err), err);
    ck_assert(e.status == 75 && e.stopped && !e.lost && e.class == FAILURE_NONE && !e.ended_ms);
    ck_assert_ok(attempt_read_owner(unit_dir(), &o, &err), err);
    ck_assert(o.shim.pid == 7 && o.shim.start_time == 9);
    ck_assert_str_eq(o.cgroup, "");

    write_record("exit.json", "{\"format\": 2, \"status\": 0}");
    write_record("attempt.json", "{\"format\": 2, \"pid\": 7}");
    ck_assert_error(attempt_read_exit(unit_dir(), &e, &err), err,
                    "exit.json was written by a newer");
    ck_assert_int_eq(err.code, ERR_UNSUPPORTED);
    ck_assert_error(attempt_read_owner(unit_dir(), &o, &err), err, "attempt.json was written by");
    ck_assert_int_eq(err.code, ERR_UNSUPPORTED);
}
END_TEST

START_TEST(the_lock_tells_whether_a_shim_lives)
{
    struct error err;
    int fd = attempt_lock(unit_dir(), false, &err);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(attempt_lock(unit_dir(), false, &err), -1);
    ck_assert_int_eq(err.code, ERR_CONFLICT);
    close(fd);
    fd = attempt_lock(unit_dir(), true, &err);
    ck_assert_int_ge(fd, 0);
    close(fd);
}
END_TEST

UNIT_MAIN(mpirun_line_is_the_agreed_one, mpirun_keeps_away_from_long_folders,
          last_words_are_the_ranks_own, last_lines_are_three_of_the_ranks,
          the_launcher_names_the_rank_that_ended_first,
          a_launcher_that_was_told_to_end_says_nothing, finds_processes_by_their_attempt,
          signals_only_the_process_that_was_meant, records_read_back,
          the_age_of_a_process_needs_no_clock_that_is_set,
          records_of_other_releases_are_read_or_refused, the_lock_tells_whether_a_shim_lives)
