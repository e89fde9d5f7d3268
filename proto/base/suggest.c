#include "proto/base/suggest.h"

#include <ctype.h>
#include <string.h>

#include "proto/base/buf.h"

enum {
    LONGEST = 64, /* longer words get no suggestion */
    FAR = LONGEST + 1
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static bool same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Damerau and Levenshtein's distance, in the form in which no stretch is changed twice. */
static size_t distance(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    size_t d[LONGEST + 1][LONGEST + 1];

    if (na > LONGEST || nb > LONGEST)
        return FAR;
    for (size_t i = 0; i <= na; i++)
        d[i][0] = i;
    for (size_t j = 0; j <= nb; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= na; i++)
        for (size_t j = 1; j <= nb; j++) {
            d[i][j] = d[i - 1][j - 1] + !same(a[i - 1], b[j - 1]);
            d[i][j] = least(d[i][j], least(d[i - 1][j], d[i][j - 1]) + 1);
            if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[na][nb];
}

const char *suggest(const char *word, const char *const *names, size_t n)
{
    size_t len = strlen(word), best = len < 4 ? 1 : len < 9 ? 2 : len / 3;
    const char *nearest = NULL;

    for (size_t i = 0; i < n; i++) {
        size_t d = distance(word, names[i]);

        if (d < best || (d == best && !nearest)) {
            best = d;
            nearest = names[i];
        }
    }
    return nearest;
}

bool suggest_unknown(const char *what, const char *name, const char *const *names, size_t n,
                     struct error *err)
{
    const char *near = suggest(name, names, n);
    struct buf known = buf_new(0);

    for (size_t i = 0; i < n; i++)
        buf_fmt(&known, "%s%s", i ? ", " : "", names[i]);
    err_set(err, ERR_INVALID, "unknown %s '%s'; %s%s%sknown: %s", what, name,
            near ? "did you mean '" : "", near ? near : "", near ? "'? " : "", buf_text(&known));
    buf_free(&known);
    return false;
}
