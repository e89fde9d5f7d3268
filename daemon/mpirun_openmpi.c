/* Open MPI 4.1: what mpirun is called with, and what one that was killed leaves behind. */
#define _GNU_SOURCE
#include <dirent.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/mpirun.h"
#include "proto/base/file.h"
#include "proto/base/str.h"

enum {
    /* mpirun appends about 80 bytes (host, uid, pid, a file); beyond this its own buffers are not
     * to be relied upon, and its own choice of a folder is better. */
    DIR_MAX = 160,
    CONTACT_MAX = 4096
};

#define SHM "/dev/shm"

static void arg(struct mpirun_line *line, const char *a)
{
    vec_push(&line->args, str_dup(a));
}

static void mca(struct mpirun_line *line, const char *name, const char *value)
{
    arg(line, "--mca");
    arg(line, name);
    arg(line, value);
}

/* mpirun passes its whole environment on to ranks on this host, but to others only what it is told to. */
static void add_exports(struct mpirun_line *out, char *const *environment)
{
    for (char *const *v = environment; *v; v++)
        if (str_starts(*v, "DISTILLD_") || str_starts(*v, "LD_LIBRARY_PATH=") ||
            str_starts(*v, "TRACEPARENT=")) {
            arg(out, "-x");
            vec_push(&out->args, str_ndup(*v, strcspn(*v, "=")));
        }
}

/* A third of the time from here to the first rank, of which ranks on one host need nothing: hwloc looks at every
 * device, and PMIx writes what ranks ask it into memory that they share. */
static void add_shortcuts(struct mpirun_line *out)
{
    vec_push(&out->env, str_dup("HWLOC_COMPONENTS=-linuxio,-pci,-opencl,-gl"));
    vec_push(&out->env, str_dup("PMIX_MCA_gds=hash"));
}

/* What other hosts need beside the ranks' command. */
static void add_hosts(struct mpirun_line *out, const struct mpirun *m)
{
    arg(out, "--host");
    arg(out, m->hosts);
    add_exports(out, m->environment);
    /* By the agent from here to each host: in a tree, hosts would need its keys for each other. */
    mca(out, "plm", "rsh");
    mca(out, "plm_rsh_no_tree_spawn", "1");
    if (m->launch_agent)
        mca(out, "plm_rsh_agent", m->launch_agent);
    if (m->network) {
        mca(out, "btl_tcp_if_include", m->network);
        mca(out, "oob_tcp_if_include", m->network);
    }
    /* A link that was cut shows after seconds instead of minutes. */
    mca(out, "oob_tcp_keepalive_time", "3");
    mca(out, "oob_tcp_keepalive_intvl", "1");
    mca(out, "oob_tcp_keepalive_probes", "3");
}

void mpirun_build(const struct mpirun *m, struct mpirun_line *out)
{
    *out = (struct mpirun_line){0};
    if (m->root) {
        vec_push(&out->env, str_dup("OMPI_ALLOW_RUN_AS_ROOT=1"));
        vec_push(&out->env, str_dup("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"));
    }
    arg(out, "mpirun");
    arg(out, "-n");
    vec_push(&out->args, str_fmt("%" PRId64, m->ranks));
    /* A rank's threads are its own affair; binding would put them all on one core. */
    arg(out, "--bind-to");
    arg(out, "none");
    /* Count processors as the operating system does, or two hyperthreads would be one slot. */
    arg(out, "--use-hwthread-cpus");
    /* Ranks on one host talk through shared memory: no time is lost on probing for networks. */
    mca(out, "pml", "ob1");
    mca(out, "btl", "self,vader,tcp");
    /* When a rank ends with a status other than 0 (stopped, cancelled, failed), mpirun tells the others to and
     * sleeps a second before it looks. Ranks leave MPI_Finalize together, with all their files written, so
     * there is nothing to wait for; one that aborts has given up on the others' work anyway. */
    mca(out, "odls_base_sigkill_timeout", "0");
    if (m->ranks * m->threads > m->cores) {
        /* A waiting rank spins; here it has to let another one run. */
        arg(out, "--oversubscribe");
        mca(out, "mpi_yield_when_idle", "1");
    }
    if (m->hosts)
        add_hosts(out, m);
    else
        add_shortcuts(out);
    /* Hosts keep their session files on disks of their own; parameters would go there, the environment
     * does not. */
    if (m->dir && strlen(m->dir) <= DIR_MAX && m->hosts)
        vec_push(&out->env, str_fmt("TMPDIR=%s", m->dir));
    else if (m->dir && strlen(m->dir) <= DIR_MAX)
        mca(out, "orte_tmpdir_base", m->dir);
    for (char *const *c = m->command; *c; c++)
        arg(out, *c);
    vec_push(&out->args, NULL);
}

int mpirun_status(int status)
{
    return status;
}

static const char *after(const char *text, size_t len, const char *mark)
{
    const char *at = memmem(text, len, mark, strlen(mark));

    return at ? at + strlen(mark) : NULL;
}

/* Who called MPI_Abort, who was ended by a signal, who ended with a status other than 0: "[[JOB,1],RANK]". `text` ends
 * with a NUL. */
int mpirun_blames(const char *text, size_t len)
{
    const char *aborted = after(text, len, "MPI_ABORT was invoked on rank ");
    const char *killed = after(text, len, "mpirun noticed that process rank ");
    const char *ended = after(text, len, "Process name: [[");
    int rank;

    if ((aborted && sscanf(aborted, "%d", &rank) == 1) ||
        (killed && sscanf(killed, "%d", &rank) == 1) ||
        (ended && sscanf(ended, "%*d,%*d],%d]", &rank) == 1))
        return rank;
    return -1;
}

/* Of a rank's failure, and of its own, it has something to say, between rules. */
bool mpirun_was_told(int status, const char *text, size_t len)
{
    static const char rule[] = "--------------------";

    return status == 1 && !memmem(text, len, rule, sizeof(rule) - 1);
}

/* The session file in which mpirun says how it can be reached: "NUMBER.0;tcp://...". The ranks are the first
 * job that it has started, which has the next number. */
static bool read_number(const char *contact, uint32_t *job)
{
    struct buf text = buf_new(CONTACT_MAX);
    bool ok = file_read(contact, &text, NULL) && sscanf(buf_text(&text), "%" SCNu32 ".", job) == 1;

    ++*job;
    buf_free(&text);
    return ok;
}

/* The shared memory of ranks is named after their job's number. Some may have removed theirs. */
static void unlink_segments(const char *contact)
{
    char host[256], prefix[512];
    uint32_t job = 0;
    DIR *shm = opendir(SHM);

    if (shm && read_number(contact, &job) && gethostname(host, sizeof(host)) == 0) {
        snprintf(prefix, sizeof(prefix), "vader_segment.%s.%u.%" PRIx32 ".", host, geteuid(), job);
        for (const struct dirent *e; (e = readdir(shm));)
            if (str_starts(e->d_name, prefix))
                unlinkat(dirfd(shm), e->d_name, 0);
    }
    if (shm)
        closedir(shm);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    if (strcmp(path + ftw->base, "contact.txt") == 0)
        unlink_segments(path);
    return remove(path);
}

void mpirun_clean(const char *dir)
{
    nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
