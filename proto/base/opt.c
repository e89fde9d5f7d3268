#include "proto/base/opt.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/base/suggest.h"
#include "proto/base/vec.h"

enum {
    HELP_COLUMN = 26,
    HELP_WIDTH = 80,
    USAGE_WIDTH = 100
};

bool opt_is_argument(const struct opt *o)
{
    return o->kind >= ARG_ONE;
}

static bool is_list(const struct opt *o)
{
    return o->kind == OPT_MANY || o->kind == ARG_SOME || o->kind == ARG_ANY;
}

static void *target(const struct opt_set *s, const struct opt *o)
{
    return (char *)s->to + o->offset;
}

static bool store_int(const struct opt *o, void *to, const char *text, struct error *err)
{
    if (str_int(text, o->lo, o->hi, to))
        return true;
    return err_set(err, ERR_INVALID,
                   "--%s %s: expected a whole number from %" PRId64 " to %" PRId64, o->name, text,
                   o->lo, o->hi);
}

static bool store_real(const struct opt *o, void *to, const char *text, struct error *err)
{
    double *v = to;

    if (str_double(text, v) && *v >= (double)o->lo)
        return true;
    return err_set(err, ERR_INVALID, "--%s %s: expected a number from %" PRId64 " up", o->name,
                   text, o->lo);
}

static bool store(const struct opt_set *s, const struct opt *o, const char *text, struct error *err)
{
    void *to = target(s, o);

    switch (o->kind) {
    case OPT_FLAG: *(bool *)to = true; return true;
    case OPT_INT: return store_int(o, to, text, err);
    case OPT_REAL: return store_real(o, to, text, err);
    case OPT_TEXT:
    case ARG_ONE:
    case ARG_MAYBE: *(const char **)to = text; return true;
    case OPT_MANY:
    case ARG_SOME:
    case ARG_ANY: vec_push((opt_list *)to, text); return true;
    }
    return true;
}

bool opt_defaults(const struct opt_set *s, struct error *err)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct opt *o = &s->rows[i];
        const char *text = o->env ? getenv(o->env) : NULL;

        if (text && *text) {
            if (!store(s, o, text, err))
                return err_wrap(err, "%s", o->env);
        } else if (o->fallback) {
            ASSERT(store(s, o, o->fallback, err));
        }
    }
    return true;
}

void opt_free(const struct opt_set *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (is_list(&s->rows[i]))
            vec_free((opt_list *)target(s, &s->rows[i]));
}

/* What find gives back: a row and the set that it belongs to. */
struct place {
    const struct opt_set *set;
    const struct opt *opt;
};

static struct place find_long(const struct opt_set *sets, size_t n, const char *name, size_t len)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < sets[i].n; k++) {
            const struct opt *o = &sets[i].rows[k];

            if (!opt_is_argument(o) && strlen(o->name) == len && strncmp(o->name, name, len) == 0)
                return (struct place){&sets[i], o};
        }
    return (struct place){NULL, NULL};
}

static struct place find_letter(const struct opt_set *sets, size_t n, char letter)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < sets[i].n; k++)
            if (letter && sets[i].rows[k].letter == letter)
                return (struct place){&sets[i], &sets[i].rows[k]};
    return (struct place){NULL, NULL};
}

const struct opt *opt_named(const struct opt_set *sets, size_t n, const char *word)
{
    if (word[0] != '-' || !word[1])
        return NULL;
    return word[1] == '-' ? find_long(sets, n, word + 2, strcspn(word + 2, "=")).opt
                          : find_letter(sets, n, word[1]).opt;
}

static bool unknown_option(const struct opt_set *sets, size_t n, const char *word, size_t len,
                           struct error *err)
{
    VEC(const char *) names = {0};
    char *name = str_ndup(word, len);
    const char *near;

    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < sets[i].n; k++)
            if (!opt_is_argument(&sets[i].rows[k]))
                vec_push(&names, sets[i].rows[k].name);
    near = suggest(name + strspn(name, "-"), names.at, names.n);
    err_set(err, ERR_INVALID, near ? "unknown option %s; did you mean --%s?" : "unknown option %s",
            name, near);
    free(name);
    vec_free(&names);
    return false;
}

static char *shift(struct opt_words *w)
{
    w->n--;
    return *w->at++;
}

/* `attached` is the value in the same word, or NULL. */
static bool take_option(struct place p, const char *attached, struct opt_words *w,
                        struct error *err)
{
    if (p.opt->kind == OPT_FLAG) {
        if (attached)
            return err_set(err, ERR_INVALID, "--%s takes no value", p.opt->name);
    } else if (!attached) {
        if (!w->n)
            return err_set(err, ERR_INVALID, "--%s needs a value: %s", p.opt->name, p.opt->value);
        attached = shift(w);
    }
    return store(p.set, p.opt, attached, err);
}

static bool long_option(const struct opt_set *sets, size_t n, const char *word, struct opt_words *w,
                        struct error *err)
{
    size_t len = strcspn(word + 2, "=");
    struct place p = find_long(sets, n, word + 2, len);

    if (!p.opt)
        return unknown_option(sets, n, word, len + 2, err);
    return take_option(p, word[2 + len] ? word + 2 + len + 1 : NULL, w, err);
}

/* -o DIR, -oDIR; letters are not joined. */
static bool short_option(const struct opt_set *sets, size_t n, const char *word,
                         struct opt_words *w, struct error *err)
{
    struct place p = find_letter(sets, n, word[1]);

    if (!p.opt)
        return unknown_option(sets, n, word, strlen(word), err);
    return take_option(p, word[2] ? word + 2 : NULL, w, err);
}

bool opt_leading(const struct opt_set *sets, size_t n, struct opt_words *w, struct error *err)
{
    while (w->n && w->at[0][0] == '-' && w->at[0][1]) {
        const char *word = w->at[0];
        bool is_long = word[1] == '-';

        if (is_long && !word[2])
            return true;
        shift(w);
        if (!(is_long ? long_option : short_option)(sets, n, word, w, err))
            return false;
    }
    return true;
}

static struct place nth_argument(const struct opt_set *sets, size_t n, size_t index)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < sets[i].n; k++) {
            const struct opt *o = &sets[i].rows[k];

            if (opt_is_argument(o) && (is_list(o) || index-- == 0))
                return (struct place){&sets[i], o};
        }
    return (struct place){NULL, NULL};
}

const struct opt *opt_argument(const struct opt_set *sets, size_t n, size_t index)
{
    return nth_argument(sets, n, index).opt;
}

bool opt_parse(const struct opt_set *sets, size_t n, struct opt_words *w, struct error *err)
{
    bool words_only = false;
    size_t given = 0;
    struct place p;

    for (;;) {
        if (!words_only && !opt_leading(sets, n, w, err))
            return false;
        if (!w->n)
            break;
        if (!words_only && strcmp(w->at[0], "--") == 0) {
            words_only = true;
            shift(w);
            continue;
        }
        p = nth_argument(sets, n, given);
        if (!p.opt)
            return err_set(err, ERR_INVALID, "one argument too many: %s", w->at[0]);
        store(p.set, p.opt, shift(w), err);
        given++;
    }
    p = nth_argument(sets, n, given);
    if (p.opt && p.opt->kind != ARG_MAYBE && p.opt->kind != ARG_ANY &&
        !(p.opt->kind == ARG_SOME && given))
        return err_set(err, ERR_INVALID, "%s is missing", p.opt->name);
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

/* `taken`: the option that the line sets, NULL for none. */
static bool take_line(const struct opt_set *sets, size_t n, char *line, const struct opt **taken,
                      struct error *err)
{
    struct place p;
    char *eq, *name, *value;

    *taken = NULL;
    line[strcspn(line, "#")] = '\0';
    name = trim(line);
    if (!*name)
        return true;
    eq = strchr(name, '=');
    if (!eq)
        return err_set(err, ERR_INVALID, "expected name = value, got \"%s\"", name);
    *eq = '\0';
    name = trim(name);
    value = trim(eq + 1);
    p = find_long(sets, n, name, strlen(name));
    if (!p.opt)
        return unknown_option(sets, n, name, strlen(name), err);
    *taken = p.opt;
    if (p.opt->kind != OPT_FLAG)
        return *value ? store(p.set, p.opt, value, err)
                      : err_set(err, ERR_INVALID, "%s needs a value: %s", name, p.opt->value);
    if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
        return err_set(err, ERR_INVALID, "%s: expected true or false, got \"%s\"", name, value);
    *(bool *)target(p.set, p.opt) = strcmp(value, "true") == 0;
    return true;
}

struct set_line {
    const struct opt *opt;
    int number;
};

/* Which line has set what, but for options of which there may be several. */
typedef VEC(struct set_line) set_lines;

static bool note_line(set_lines *lines, const struct opt *opt, int number, struct error *err)
{
    if (!opt || is_list(opt))
        return true;
    for (size_t i = 0; i < lines->n; i++)
        if (lines->at[i].opt == opt)
            return err_set(err, ERR_INVALID, "%s stands in line %d already", opt->name,
                           lines->at[i].number);
    vec_push(lines, (struct set_line){opt, number});
    return true;
}

bool opt_lines(const struct opt_set *sets, size_t n, char *text, struct error *err)
{
    set_lines lines = {0};
    bool ok = true;

    for (int number = 1; ok && *text; number++) {
        const struct opt *taken;
        char *line = text;
        size_t len = strcspn(text, "\n");

        text += len + (text[len] == '\n');
        line[len] = '\0';
        ok = (take_line(sets, n, line, &taken, err) && note_line(&lines, taken, number, err)) ||
             err_wrap(err, "line %d", number);
    }
    vec_free(&lines);
    return ok;
}

/* One row as the usage shows it; free(). */
static char *usage_of(const struct opt *o)
{
    bool needed = o->kind == ARG_ONE || o->kind == ARG_SOME;

    return str_fmt("%s%s%s%s%s%s%s", needed ? "" : "[", opt_is_argument(o) ? "" : "--", o->name,
                   o->value ? " " : "", o->value ? o->value : "", needed ? "" : "]",
                   is_list(o) ? "..." : "");
}

/* Characters behind the last newline. */
static size_t column_of(const struct buf *b)
{
    const char *newline = strrchr(buf_text(b), '\n');

    return newline ? strlen(newline + 1) : b->len;
}

void opt_usage(const struct opt_set *s, struct buf *out)
{
    for (size_t i = 0; i < s->n; i++) {
        char *text = usage_of(&s->rows[i]);
        bool fits = column_of(out) + 1 + strlen(text) <= USAGE_WIDTH;

        buf_fmt(out, "%s%s", !i ? "" : fits ? " " : "\n       ", text);
        free(text);
    }
}

void opt_fold(struct buf *out, size_t column, const char *text)
{
    size_t at = column;

    while (*text) {
        size_t word = strcspn(text, " ");

        if (at + 1 + word > HELP_WIDTH && at > column) {
            buf_fmt(out, "\n%*s", (int)column, "");
            at = column;
        } else if (at > column) {
            buf_str(out, " ");
            at++;
        }
        buf_add(out, text, word);
        at += word;
        text += word + (text[word] == ' ');
    }
    buf_str(out, "\n");
}

static char *help_text(const struct opt *o)
{
    struct buf b = buf_new(0);

    buf_str(&b, o->help);
    if (o->fallback)
        buf_fmt(&b, " (default: %s)", o->fallback);
    if (o->env)
        buf_fmt(&b, " [%s]", o->env);
    return buf_take(&b);
}

void opt_help(const struct opt_set *s, struct buf *out)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct opt *o = &s->rows[i];
        struct buf left = buf_new(0);
        char *text = help_text(o);

        if (o->letter)
            buf_fmt(&left, "-%c, ", o->letter);
        buf_fmt(&left, "%s%s%s%s", opt_is_argument(o) ? "" : "--", o->name, o->value ? " " : "",
                o->value ? o->value : "");
        buf_fmt(out, "  %-*s", HELP_COLUMN - 2, buf_text(&left));
        if (left.len > HELP_COLUMN - 4)
            buf_fmt(out, "\n%*s", HELP_COLUMN, "");
        opt_fold(out, HELP_COLUMN, text);
        free(text);
        buf_free(&left);
    }
}
