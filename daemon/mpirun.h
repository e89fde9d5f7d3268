/* The one place that builds an mpirun line, for the shim, for tests and for the documentation:
 * `distill-shim --print-mpirun`. mpirun_openmpi.c or mpirun_mpich.c, as configured. */
#ifndef DAEMON_MPIRUN_H
#define DAEMON_MPIRUN_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/vec.h"

struct mpirun {
    int64_t ranks, threads; /* threads of each rank */
    int64_t cores;          /* of this host */
    bool root;              /* started by uid 0 */
    const char *dir;        /* for mpirun's session files here, or NULL: mpirun's own choice */
    /* Ranks on other hosts: "a:2,b:1", or NULL for none; what reaches them (NULL: ssh); their network as
     * ADDRESS/BITS (NULL: any). */
    const char *hosts, *launch_agent, *network;
    char *const *environment; /* mpirun's own, for hosts; ended by NULL */
    char *const *command;     /* what each rank runs, ended by NULL */
};

/* The line in two parts: variables for its environment and its arguments. */
struct mpirun_line {
    VEC(char *) env;  /* NAME=VALUE */
    VEC(char *) args; /* from "mpirun" on, ended by NULL */
};

void mpirun_build(const struct mpirun *m, struct mpirun_line *out);
void mpirun_line_free(struct mpirun_line *line);
/* As a shell takes it: `env NAME=VALUE mpirun ...`, quoted where needed. */
void mpirun_print(const struct mpirun_line *line, struct buf *out);

/* The exit status of an mpirun, with 128 + N for a rank that was ended by signal N. */
int mpirun_status(int status);

/* The rank that ended first, and not as it should, by what mpirun wrote to standard error; -1: it does not say. */
int mpirun_blames(const char *text, size_t len);

/* Whether it ended because somebody told it to (SIGTERM, SIGINT, SIGHUP), by its status and what was written to standard
 * error. False where that cannot be told from a rank's failure. */
bool mpirun_was_told(int status, const char *text, size_t len);

/* Removes the session files, and the shared memory that they name: an mpirun that was killed leaves
 * both. Nothing of the run may be alive any more. */
void mpirun_clean(const char *dir);

#endif
