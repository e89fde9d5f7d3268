/* distill-worker: one MPI rank of a job, or a tool on its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/table.h"
#include "worker/cmd.h"
#include "worker/report/watch.h"

static const struct cmd commands[] = {
    {"train", "train a model, or distill one (jobs of kind train and distill)", cmd_train},
    {"class-means", "mean penultimate feature of the teacher for each class", cmd_class_means},
    {"eval", "accuracy and feature statistics of a trained student", cmd_eval},
    {"inspect", "what a job or model would compute: layers, steps, memory", cmd_inspect},
    {"bench", "how fast a training step is, and where its time goes", cmd_bench},
    {"conformance", "run golden vectors from reference implementations", cmd_conformance},
    {"export", "write trained weights or class means for other programs", cmd_export},
    {"describe", "what a file of weights is, as JSON", cmd_describe},
    {"manifest", "what a data set holds: images, classes, hashes, bad files", cmd_manifest},
    {"pack", "make one file of folders of images", cmd_pack},
    {"catalog", "print the names that a job may use, as JSON", cmd_catalog},
};

static void print_help(FILE *out)
{
    fputs("distill-worker trains a small network to learn from a large one.\n"
          "\n"
          "usage: distill-worker COMMAND ...\n"
          "       mpirun -n 4 distill-worker train job.json\n"
          "\n"
          "commands:\n",
          out);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].help);
    fputs("\n`distill-worker COMMAND --help` tells more of each. Exit status: 0 done, 1 failed,\n"
          "2 wrong usage or invalid job, 3 cancelled, 65 bad data, 75 stopped and resumable.\n",
          out);
}

static void print_command_help(const struct cmd *cmd, const struct opt_set *sets, size_t n_sets)
{
    struct buf b = buf_new(0);

    buf_fmt(&b, "usage: distill-worker %s", cmd->name);
    for (size_t i = 0; i < n_sets; i++) {
        buf_str(&b, i ? "\n       " : " ");
        opt_usage(&sets[i], &b);
    }
    buf_fmt(&b, "\n\n%s\n\n", cmd->help);
    for (size_t i = 0; i < n_sets; i++)
        opt_help(&sets[i], &b);
    fputs(buf_text(&b), stdout);
    buf_free(&b);
}

int cmd_fail(const struct cmd *cmd, const struct error *err)
{
    fprintf(stderr, "distill-worker %s: %s\n", cmd->name, err->msg);
    return watch_exit_status(err->code);
}

bool cmd_parse(const struct cmd *cmd, const struct opt_set *sets, size_t n_sets,
               struct opt_words words, int *status)
{
    struct error err;
    bool ok = true;

    for (size_t i = 0; i < words.n; i++)
        if (strcmp(words.at[i], "--help") == 0) {
            print_command_help(cmd, sets, n_sets);
            *status = 0;
            return false;
        }
    for (size_t i = 0; ok && i < n_sets; i++)
        ok = opt_defaults(&sets[i], &err);
    if (ok && opt_parse(sets, n_sets, &words, &err))
        return true;
    *status = cmd_fail(cmd, &err);
    fprintf(stderr, "try: distill-worker %s --help\n", cmd->name);
    return false;
}

int main(int argc, char **argv)
{
    const struct cmd *cmd;
    struct error err;

    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return 0;
    }
    mem_large_apart(); /* footprint.h counts so */
    file_set_roots(getenv("DISTILLD_ROOTS"));
    cmd = table_find(TABLE(commands), argv[1]);
    if (!cmd) {
        table_unknown(TABLE(commands), "command", argv[1], &err);
        fprintf(stderr, "distill-worker: %s\n", err.msg);
        return 2;
    }
    return cmd->run(cmd, (struct opt_words){argv + 2, (size_t)argc - 2});
}
