/* Options as rows of a table: the command line, the configuration file and --help read the same. */
#ifndef DAEMON_OPTIONS_H
#define DAEMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/base/error.h"

/* The values of an option that may be given more than once. Works with vec.h. */
struct text_list {
    char **at;
    size_t n, cap;
};
void text_list_free(struct text_list *l);

enum option_kind {
    OPTION_TEXT,  /* char *: the last one given */
    OPTION_LIST,  /* struct text_list: all that were given */
    OPTION_COUNT, /* int64_t within [lo, hi] */
    OPTION_FLAG,  /* bool; takes no value */
};

struct option_row {
    const char *name; /* without the dashes */
    const char *arg;  /* how help calls the value */
    const char *help; /* may have several lines */
    enum option_kind kind;
    size_t offset; /* of the member in the struct of values */
    int64_t lo, hi;
};

struct option_table {
    const char *usage; /* one or more lines behind "usage: " */
    const char *about; /* paragraphs that say what the program does */
    const struct option_row *rows;
    size_t n;
};

/* Reads `--name VALUE` and `--name=VALUE` up to the first word that is no option, or past `--`; its
 * index is written to *rest. The error names the option, what it wants and what came. */
bool options_parse(const struct option_table *t, int argc, char *const *argv, void *values,
                   int *rest, struct error *err);
/* Reads lines of `name = value`; `#` starts a comment. Flags take true or false. */
bool options_read_file(const struct option_table *t, const char *path, void *values,
                       struct error *err);
void options_help(const struct option_table *t, FILE *to);
/* Releases texts and lists. */
void options_free(const struct option_table *t, void *values);

#endif
