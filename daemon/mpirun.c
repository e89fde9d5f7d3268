#include "daemon/mpirun.h"

#include <string.h>

#include "proto/base/str.h"

void mpirun_line_free(struct mpirun_line *line)
{
    for (size_t i = 0; i < line->env.n; i++)
        free(line->env.at[i]);
    for (size_t i = 0; i < line->args.n; i++)
        free(line->args.at[i]);
    vec_free(&line->env);
    vec_free(&line->args);
}

static void print_word(const char *word, struct buf *out)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-+=./,:@%";

    if (*word && strspn(word, plain) == strlen(word)) {
        buf_str(out, word);
        return;
    }
    buf_str(out, "'");
    for (const char *c = word; *c; c++)
        buf_fmt(out, *c == '\'' ? "'\\%c'" : "%c", *c);
    buf_str(out, "'");
}

void mpirun_print(const struct mpirun_line *line, struct buf *out)
{
    if (line->env.n)
        buf_str(out, "env ");
    for (size_t i = 0; i < line->env.n; i++) {
        print_word(line->env.at[i], out);
        buf_str(out, " ");
    }
    for (size_t i = 0; line->args.at[i]; i++) {
        if (i)
            buf_str(out, " ");
        print_word(line->args.at[i], out);
    }
    buf_str(out, "\n");
}
