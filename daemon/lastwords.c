/* mpirun sets its own messages between two rules of dashes; everything else comes from the ranks. */
#include "daemon/lastwords.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/mem.h"

enum {
    RULE_MIN = 20,
    LINES = 3
};

struct line {
    const char *at;
    size_t len;
};

static bool is_rule(struct line l)
{
    size_t dashes = 0;

    while (dashes < l.len && l.at[dashes] == '-')
        dashes++;
    return dashes == l.len && dashes >= RULE_MIN;
}

/* "[host:1234] PMIX ERROR: ...": Open MPI's own complaints, of a full disk for example. */
static bool is_launcher(struct line l)
{
    const char *end = l.len && l.at[0] == '[' ? memchr(l.at, ']', l.len) : NULL;
    const char *p = end;

    while (p && p > l.at && p[-1] >= '0' && p[-1] <= '9')
        p--;
    return p && p < end && p[-1] == ':';
}

/* Messages of mpirun that say more than that something ended. */
static bool is_telling(struct line l)
{
    static const char *const starts[] = {
        "mpirun noticed that process rank ", "mpirun was unable to ", "There are not enough slots ",
        "Remote daemon: ", /* which host was lost */
    };

    for (size_t i = 0; i < ARRAY_LEN(starts); i++)
        if (l.len >= strlen(starts[i]) && memcmp(l.at, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

/* Of the line, before the dashes that end it. */
static size_t before_rule(struct line l)
{
    size_t n = l.len;

    while (n && l.at[n - 1] == '-')
        n--;
    return n && l.len - n >= RULE_MIN ? n : l.len;
}

/* A line that somebody left without an end has mpirun's rule behind it: that is a line of its own. */
static struct line take_line(const char **text, size_t *len)
{
    const char *end = memchr(*text, '\n', *len);
    struct line l = {*text, end ? (size_t)(end - *text) : *len};
    size_t n = before_rule(l), used = n < l.len ? n : l.len + (end != NULL);

    l.len = n;
    *text += used;
    *len -= used;
    while (l.len && l.at[0] == ' ') {
        l.at++;
        l.len--;
    }
    while (l.len && (l.at[l.len - 1] == '\r' || l.at[l.len - 1] == ' '))
        l.len--;
    return l;
}

/* The paragraph that starts with `first`, in one line. */
static void add_paragraph(struct buf *out, struct line first, const char *text, size_t len)
{
    buf_reset(out);
    for (struct line l = first; l.len && !is_rule(l); l = take_line(&text, &len)) {
        if (out->len)
            buf_str(out, " ");
        buf_add(out, l.at, l.len);
        if (!len)
            break;
    }
}

/* What a terminal or a log would take for more than text is not passed on. */
static void clean(char *text)
{
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
}

static bool is_own(struct line l, bool inside)
{
    return !inside && l.len && !is_launcher(l);
}

void last_lines(const char *text, size_t len, char *out, size_t size)
{
    struct buf all = buf_new(0);
    struct line said[LINES];
    const char *end;
    size_t n = 0;
    bool inside = false;

    while (len) {
        struct line l = take_line(&text, &len);

        if (is_rule(l))
            inside = !inside;
        else if (is_own(l, inside))
            said[n++ % LINES] = l;
    }
    for (size_t i = n > LINES ? n - LINES : 0; i < n; i++) {
        if (all.len)
            buf_str(&all, " / ");
        buf_add(&all, said[i % LINES].at, said[i % LINES].len);
    }
    /* Where they are too long, the last one tells most. */
    end = buf_text(&all) + (all.len < size ? 0 : all.len + 1 - size);
    while (((unsigned char)*end & 0xc0) == 0x80) /* within a character of UTF-8 */
        end++;
    snprintf(out, size, "%s", end);
    clean(out);
    buf_free(&all);
}

void last_words(const char *text, size_t len, bool killed, char *out, size_t size)
{
    struct buf noticed = buf_new(0);
    struct line said = {"", 0};
    bool inside = false;

    while (len) {
        struct line l = take_line(&text, &len);

        if (is_rule(l))
            inside = !inside;
        else if (inside && is_telling(l))
            add_paragraph(&noticed, l, text, len);
        else if (is_own(l, inside))
            said = l;
    }
    if (noticed.len && (killed || !said.len))
        snprintf(out, size, "%s", buf_text(&noticed));
    else
        snprintf(out, size, "%.*s", (int)said.len, said.at);
    clean(out);
    buf_free(&noticed);
}
