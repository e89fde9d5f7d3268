#include "daemon/options.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/base/table.h"
#include "proto/base/vec.h"

enum {
    CONFIG_MAX = 1 << 20,
    HELP_COLUMN = 24
};

void text_list_free(struct text_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->at[i]);
    vec_free(l);
}

static void *member(const struct option_row *row, void *values)
{
    return (char *)values + row->offset;
}

static const struct option_row *find(const struct option_table *t, const char *name,
                                     struct error *err)
{
    struct table rows = {t->rows, t->n, sizeof(*t->rows)};
    const struct option_row *row = table_find(rows, name);

    if (!row)
        table_unknown(rows, "option", name, err);
    return row;
}

static bool set_count(const struct option_row *row, const char *value, void *values,
                      struct error *err)
{
    return str_int(value, row->lo, row->hi, member(row, values)) ||
           err_set(err, ERR_INVALID,
                   "expected a whole number from %" PRId64 " to %" PRId64 ", got \"%s\"", row->lo,
                   row->hi, value);
}

static bool set_flag(const struct option_row *row, const char *value, void *values,
                     struct error *err)
{
    bool on = strcmp(value, "true") == 0;

    if (!on && strcmp(value, "false") != 0)
        return err_set(err, ERR_INVALID, "expected true or false, got \"%s\"", value);
    *(bool *)member(row, values) = on;
    return true;
}

static bool set_value(const struct option_row *row, const char *value, void *values,
                      struct error *err)
{
    char **text = member(row, values);
    struct text_list *list = member(row, values);

    switch (row->kind) {
    case OPTION_COUNT: return set_count(row, value, values, err);
    case OPTION_FLAG: return set_flag(row, value, values, err);
    case OPTION_TEXT:
    case OPTION_LIST: break;
    }
    if (!*value)
        return err_set(err, ERR_INVALID, "expected %s, got nothing", row->arg);
    if (row->kind == OPTION_LIST) {
        vec_push(list, str_dup(value));
        return true;
    }
    free(*text);
    *text = str_dup(value);
    return true;
}

/* One option of the command line; moves *at past it. */
static bool parse_one(const struct option_table *t, char *const *argv, int *at, void *values,
                      struct error *err)
{
    const char *word = argv[*at] + 2, *eq = strchr(word, '=');
    char *name = eq ? str_ndup(word, (size_t)(eq - word)) : str_dup(word);
    const struct option_row *row = find(t, name, err);
    const char *value = eq ? eq + 1 : NULL;
    bool ok;

    free(name);
    if (!row)
        return false;
    if (row->kind == OPTION_FLAG)
        value = value ? value : "true";
    else if (!value && !(value = argv[++*at]))
        return err_set(err, ERR_INVALID, "--%s: expected %s, got nothing", row->name, row->arg);
    ok = set_value(row, value, values, err);
    ++*at;
    return ok || err_wrap(err, "--%s", row->name);
}

bool options_parse(const struct option_table *t, int argc, char *const *argv, void *values,
                   int *rest, struct error *err)
{
    int at = 1;

    while (at < argc && str_starts(argv[at], "--") && argv[at][2])
        if (!parse_one(t, argv, &at, values, err))
            return false;
    if (at < argc && strcmp(argv[at], "--") == 0)
        at++;
    *rest = at;
    return true;
}

static char *trim(char *s)
{
    size_t n;

    s += strspn(s, " \t\r");
    n = strlen(s);
    while (n && strchr(" \t\r", s[n - 1]))
        s[--n] = '\0';
    return s;
}

static bool parse_line(const struct option_table *t, char *line, void *values, struct error *err)
{
    const struct option_row *row;
    char *eq;

    line[strcspn(line, "#")] = '\0';
    line = trim(line);
    if (!*line)
        return true;
    eq = strchr(line, '=');
    if (!eq)
        return err_set(err, ERR_INVALID, "expected name = value, got \"%s\"", line);
    *eq = '\0';
    row = find(t, trim(line), err);
    return row && (set_value(row, trim(eq + 1), values, err) || err_wrap(err, "%s", row->name));
}

bool options_read_file(const struct option_table *t, const char *path, void *values,
                       struct error *err)
{
    struct buf text = buf_new(CONFIG_MAX);
    bool ok = file_read(path, &text, err);
    int number = 0;

    for (char *line = text.data, *end; ok && line && *line; line = end) {
        end = line + strcspn(line, "\n");
        if (*end)
            *end++ = '\0';
        number++;
        ok = parse_line(t, line, values, err) || err_wrap(err, "%s line %d", path, number);
    }
    buf_free(&text);
    return ok;
}

static void help_row(const struct option_row *row, FILE *to)
{
    char *head = str_fmt("  --%s%s%s", row->name, row->arg ? " " : "", row->arg ? row->arg : "");
    const char *line = row->help;

    fprintf(to, "%-*s", HELP_COLUMN, head);
    if (strlen(head) >= HELP_COLUMN)
        fprintf(to, "\n%*s", HELP_COLUMN, "");
    while (*line) {
        size_t n = strcspn(line, "\n");

        fprintf(to, "%.*s\n", (int)n, line);
        line += n + (line[n] == '\n');
        if (*line)
            fprintf(to, "%*s", HELP_COLUMN, "");
    }
    free(head);
}

void options_help(const struct option_table *t, FILE *to)
{
    fprintf(to, "usage: %s\n\n%s\n\nOptions:\n", t->usage, t->about);
    for (size_t i = 0; i < t->n; i++)
        help_row(&t->rows[i], to);
}

void options_free(const struct option_table *t, void *values)
{
    for (size_t i = 0; i < t->n; i++) {
        char **text = member(&t->rows[i], values);

        if (t->rows[i].kind == OPTION_LIST) {
            text_list_free(member(&t->rows[i], values));
        } else if (t->rows[i].kind == OPTION_TEXT) {
            free(*text);
            *text = NULL;
        }
    }
}
