#include "daemon/accept.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* How much a type is wanted, in thousandths, and how closely the range names it: 0 any type, 1 its first half, 2 all. */
struct wish {
    int weight, closeness;
};

/* The length of the token at `at`, behind blanks that are passed over. */
static size_t token(const char **at)
{
    *at += strspn(*at, " \t");
    return strcspn(*at, " \t;,");
}

/* "0.5" in thousandths; what is none, 1000, as if it was left out. */
static int weight_of(const char *text, size_t len)
{
    int weight = 0, scale = 1000;

    if (len == 0 || len > 5 || (text[0] != '0' && text[0] != '1') || (len > 1 && text[1] != '.'))
        return 1000;
    weight = (text[0] - '0') * scale;
    for (size_t i = 2; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return 1000;
        scale /= 10;
        weight += (text[i] - '0') * scale;
    }
    return weight < 1000 ? weight : 1000;
}

/* Passes over the parameters of a range, to its comma or the end. Text in quotes may hold either. */
static int take_weight(const char **at)
{
    int weight = 1000;
    bool quoted = false;

    for (; **at && (quoted || **at != ','); ++*at) {
        const char *p = *at + 1;
        size_t len;

        if (quoted && **at == '\\' && *p) {
            ++*at;
            continue;
        }
        quoted ^= **at == '"';
        if (quoted || **at != ';')
            continue;
        len = token(&p);
        if (len >= 2 && strncasecmp(p, "q=", 2) == 0)
            weight = weight_of(p + 2, len - 2);
    }
    return weight;
}

/* -1: the range does not hold the type. */
static int closeness_of(const char *range, size_t len, const char *type)
{
    const size_t half = (size_t)(strchr(type, '/') - type) + 1;

    if (len == strlen(type) && strncasecmp(range, type, len) == 0)
        return 2;
    if (len == half + 1 && range[half] == '*' && strncasecmp(range, type, half) == 0)
        return 1;
    return len == 3 && memcmp(range, "*/*", 3) == 0 ? 0 : -1;
}

/* The range that names it most closely counts. */
static struct wish wish_for(const char *accept, const char *type)
{
    struct wish w = {0, -1};

    while (*accept) {
        const size_t len = token(&accept);
        const int closeness = closeness_of(accept, len, type);
        int weight;

        accept += len;
        weight = take_weight(&accept);
        accept += *accept == ',';
        if (closeness > w.closeness)
            w = (struct wish){weight, closeness};
    }
    return w;
}

int accept_choose(const char *accept, const char *const *types, int n)
{
    struct wish best = {0, -1};
    int chosen = -1;

    if (!accept || !accept[strspn(accept, " \t")])
        return 0;
    for (int i = 0; i < n; i++) {
        const struct wish w = wish_for(accept, types[i]);

        if (w.weight > best.weight ||
            (w.weight && w.weight == best.weight && w.closeness > best.closeness)) {
            best = w;
            chosen = i;
        }
    }
    return chosen;
}

bool accept_prefers(const char *accept, const char *type, const char *usual)
{
    return accept_choose(accept, (const char *const[]){usual, type}, 2) == 1;
}
