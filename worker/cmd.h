/* The sub-commands of distill-worker: one row each, in main.c. */
#ifndef WORKER_CMD_H
#define WORKER_CMD_H

#include "proto/base/opt.h"

struct cmd {
    const char *name;
    const char *help;
    int (*run)(const struct cmd *cmd, struct opt_words words);
};

/* Parses words by the rows. False when the command is over with *status: help was asked for (0), or
 * something is wrong (2, and said on standard error). */
bool cmd_parse(const struct cmd *cmd, const struct opt_set *sets, size_t n_sets,
               struct opt_words words, int *status);
/* Prints "distill-worker NAME: message" and returns the exit status of the error's code. */
int cmd_fail(const struct cmd *cmd, const struct error *err);

int cmd_train(const struct cmd *cmd, struct opt_words words);
int cmd_class_means(const struct cmd *cmd, struct opt_words words);
int cmd_eval(const struct cmd *cmd, struct opt_words words);
int cmd_inspect(const struct cmd *cmd, struct opt_words words);
int cmd_bench(const struct cmd *cmd, struct opt_words words);
int cmd_conformance(const struct cmd *cmd, struct opt_words words);
int cmd_export(const struct cmd *cmd, struct opt_words words);
int cmd_describe(const struct cmd *cmd, struct opt_words words);
int cmd_manifest(const struct cmd *cmd, struct opt_words words);
int cmd_pack(const struct cmd *cmd, struct opt_words words);
int cmd_catalog(const struct cmd *cmd, struct opt_words words);

#endif
