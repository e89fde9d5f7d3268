/* MPICH 4 with its launcher Hydra, chosen by ./configure --with-mpi=mpich. It passes the environment on, binds
 * no rank and knows no folder for session files; it has no name for what Open MPI calls yielding. */
#define _GNU_SOURCE
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>

#include "daemon/mpirun.h"
#include "proto/base/str.h"

static void arg(struct mpirun_line *line, const char *a)
{
    vec_push(&line->args, str_dup(a));
}

void mpirun_build(const struct mpirun *m, struct mpirun_line *out)
{
    *out = (struct mpirun_line){0};
    arg(out, "mpirun.mpich");
    arg(out, "-n");
    vec_push(&out->args, str_fmt("%" PRId64, m->ranks));
    if (m->hosts) {
        arg(out, "-hosts");
        arg(out, m->hosts);
    }
    if (m->hosts && m->launch_agent) {
        arg(out, "-launcher-exec");
        arg(out, m->launch_agent);
    }
    for (char *const *c = m->command; *c; c++)
        arg(out, *c);
    vec_push(&out->args, NULL);
}

/* Hydra tells N alike for a signal and for an exit. The worker itself ends with 0 to 3, or above 64. */
int mpirun_status(int status)
{
    return status > 3 && status < 32 ? 128 + status : status;
}

/* Hydra tells on standard output, and names a process. */
int mpirun_blames(const char *text, size_t len)
{
    (void)text;
    (void)len;
    return -1;
}

bool mpirun_was_told(int status, const char *text, size_t len)
{
    (void)status;
    (void)text;
    (void)len;
    return false;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void mpirun_clean(const char *dir)
{
    nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
