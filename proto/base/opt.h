/* Options and arguments of a command as rows of a table: parsing, defaults and help all read them. */
#ifndef PROTO_BASE_OPT_H
#define PROTO_BASE_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/error.h"
#include "proto/base/vec.h"

typedef VEC(const char *) opt_list;

enum opt_kind {
    OPT_FLAG, /* bool */
    OPT_TEXT, /* const char * */
    OPT_INT,  /* int64_t within lo and hi */
    OPT_REAL, /* double, at least lo */
    OPT_MANY, /* opt_list; each use adds one */
    /* Arguments without a name, in the order of their rows. */
    ARG_ONE,   /* const char *, must be given */
    ARG_MAYBE, /* const char * */
    ARG_SOME,  /* opt_list, at least one; takes all that follow */
    ARG_ANY    /* the same, also none */
};

struct opt {
    const char *name; /* "tail" for --tail; an argument as the usage shows it: "SPEC" */
    enum opt_kind kind;
    size_t offset; /* where the value goes */
    const char *help;
    char letter;          /* short form, or 0 */
    const char *value;    /* how the usage calls the value; NULL for flags and arguments */
    const char *env;      /* variable that is read when the option is not given, or NULL */
    const char *fallback; /* the default as one would type it, or NULL */
    int64_t lo, hi;
};

/* A row; what follows the help are further members: OPT(struct logs, tail, OPT_INT, "tail", "only the
 * last N lines", .value = "N", .lo = 1, .hi = 1000) */
#define OPT(type, member, how, called, text, ...)                                          \
    {                                                                                      \
        .name = (called), .kind = (how), .offset = offsetof(type, member), .help = (text), \
        __VA_ARGS__                                                                        \
    }

/* Rows and the struct that they fill. */
struct opt_set {
    const struct opt *rows;
    size_t n;
    void *to;
};

#define OPT_SET(array, target) ((struct opt_set){(array), ARRAY_LEN(array), (target)})

/* What is left of argv. */
struct opt_words {
    char **at;
    size_t n;
};

/* Environment, else default. Before any parsing. */
bool opt_defaults(const struct opt_set *s, struct error *err);
/* Takes the options in front, up to the first other word (or past "--"). */
bool opt_leading(const struct opt_set *sets, size_t n, struct opt_words *w, struct error *err);
/* Takes everything; options may stand anywhere before "--". */
bool opt_parse(const struct opt_set *sets, size_t n, struct opt_words *w, struct error *err);
/* Lines of `name = value`, `#` starts a comment, flags take true or false: a configuration file for the
 * same rows. The text is cut up in place and values point into it. An option of which there is one
 * stands in one line at most. The error names the line. */
bool opt_lines(const struct opt_set *sets, size_t n, char *text, struct error *err);
void opt_free(const struct opt_set *s);

bool opt_is_argument(const struct opt *o);
/* What a word with a dash in front names ("--tail", "--tail=5", "-f"), and what an argument after
 * `index` others would be; NULL for neither. */
const struct opt *opt_named(const struct opt_set *sets, size_t n, const char *word);
const struct opt *opt_argument(const struct opt_set *sets, size_t n, size_t index);

/* "SPEC [--set a.b=c]... [--wait]", in lines of at most 100 columns; those behind the first are indented. */
void opt_usage(const struct opt_set *s, struct buf *out);
/* Words into lines of at most 80 columns that begin at `column`, where the first one stands already. */
void opt_fold(struct buf *out, size_t column, const char *text);
/* One aligned block of name and help per row, folded at 80 columns. */
void opt_help(const struct opt_set *s, struct buf *out);

#endif
