#include "daemon/range.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

struct input {
    const char *at, *end;
};

static void skip_spaces(struct input *in)
{
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\t'))
        in->at++;
}

static bool take_unit(struct input *in)
{
    static const char unit[] = "bytes=";
    size_t n = strlen(unit);

    if ((size_t)(in->end - in->at) < n || strncasecmp(in->at, unit, n) != 0)
        return false;
    in->at += n;
    return true;
}

/* Digits, if there are any. A number beyond 64 bits reads as the largest: it lies behind every body. */
static bool take_number(struct input *in, uint64_t *out)
{
    const char *start = in->at;

    *out = 0;
    for (; in->at < in->end && *in->at >= '0' && *in->at <= '9'; in->at++) {
        uint64_t digit = (uint64_t)(*in->at - '0');

        *out = *out > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *out * 10 + digit;
    }
    return in->at > start;
}

/* "5-9", "5-" or "-5", and nothing more. */
static bool take_range(struct input *in, bool *has_first, uint64_t *first, bool *has_last,
                       uint64_t *last)
{
    skip_spaces(in);
    *has_first = take_number(in, first);
    if (in->at == in->end || *in->at++ != '-')
        return false;
    *has_last = take_number(in, last);
    skip_spaces(in);
    return in->at == in->end && (*has_first || *has_last);
}

enum range_kind range_parse(const char *text, size_t len, uint64_t size, uint64_t *from,
                            uint64_t *count)
{
    struct input in = {text, text + len};
    bool has_first, has_last;
    uint64_t first, last;

    skip_spaces(&in);
    if (!take_unit(&in) || !take_range(&in, &has_first, &first, &has_last, &last) ||
        (has_first && has_last && last < first))
        return RANGE_WHOLE;
    if (!has_first) {
        if (last == 0 || size == 0)
            return RANGE_OUTSIDE;
        *count = last < size ? last : size;
        *from = size - *count;
        return RANGE_PART;
    }
    if (first >= size)
        return RANGE_OUTSIDE;
    *from = first;
    *count = has_last && last < size ? last - first + 1 : size - first;
    return RANGE_PART;
}
