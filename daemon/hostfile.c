#define _GNU_SOURCE
#include "daemon/hostfile.h"

#include <string.h>

#include "proto/base/file.h"
#include "proto/base/str.h"

#define SPACE " \t\r"

enum {
    FILE_MAX = 1 << 20,
    SLOTS_MAX = 65536,
    NAME_MAX_LENGTH = 255
};

/* What can stand in mpirun's list of hosts. */
static bool is_name(const char *s)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "-._";
    size_t n = strspn(s, allowed);

    return n > 0 && n <= NAME_MAX_LENGTH && !s[n] && s[0] != '-';
}

/* What is wrong with a line that is not empty, or NULL. */
static const char *read_line(const char *name, const char *slots, const char *more,
                             const hostfile_list *before, int64_t *n)
{
    static const char key[] = "slots=";

    if (!is_name(name))
        return "expected a host's name (letters, digits, - . _)";
    if (!slots || more || !str_starts(slots, key) || !str_int(slots + strlen(key), 1, SLOTS_MAX, n))
        return "expected `NAME slots=N` with N from 1 to 65536";
    for (size_t i = 0; i < before->n; i++)
        if (strcmp(before->at[i].name, name) == 0)
            return "this host has a line already";
    return NULL;
}

/* The next word of *rest, or NULL. */
static char *next_word(char **rest)
{
    char *word = *rest + strspn(*rest, SPACE);

    if (!*word)
        return NULL;
    *rest = word + strcspn(word, SPACE);
    if (**rest)
        *(*rest)++ = '\0';
    return word;
}

static bool take_line(const char *path, int number, char *line, hostfile_list *out,
                      struct error *err)
{
    char *name, *slots, *more, *shown;
    const char *wrong;
    int64_t n = 0;

    line[strcspn(line, "#")] = '\0';
    shown = str_dup(line);
    name = next_word(&line);
    slots = next_word(&line);
    more = next_word(&line);
    wrong = name ? read_line(name, slots, more, out, &n) : NULL;
    if (wrong)
        err_set(err, ERR_INVALID, "%s:%d: %s, got \"%.100s\"", path, number, wrong, shown);
    else if (name)
        vec_push(out, (struct hostfile_line){name, n});
    free(shown);
    return !wrong;
}

bool hostfile_parse(const char *path, char *text, hostfile_list *out, struct error *err)
{
    int number = 0;

    for (char *line; (line = strsep(&text, "\n"));)
        if (!take_line(path, ++number, line, out, err))
            return false;
    return out->n > 0 || err_set(err, ERR_INVALID, "%s: names no host", path);
}

bool hostfile_read(const char *path, struct buf *text, hostfile_list *out, struct error *err)
{
    *text = buf_new(FILE_MAX);
    if (!file_read(path, text, err)) {
        err_named_file(err);
        return err_wrap(err, "--hostfile");
    }
    return (strlen(buf_text(text)) == text->len ||
            err_set(err, ERR_INVALID, "%s: has a NUL byte", path)) &&
           hostfile_parse(path, text->data, out, err);
}
