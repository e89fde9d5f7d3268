#include "proto/wire/problems.h"

#include <stdarg.h>
#include <stdlib.h>

#include "proto/base/buf.h"
#include "proto/base/str.h"

void problems_add(struct problems *p, const char *pointer, const char *fmt, ...)
{
    struct buf detail = buf_new(0);
    va_list ap;

    if (p->list.n == PROBLEMS_MAX)
        return;
    if (p->list.n == PROBLEMS_MAX - 1) {
        pointer = "#";
        fmt = "there are more problems than these";
    }
    va_start(ap, fmt);
    buf_vfmt(&detail, fmt, ap);
    va_end(ap);
    vec_push(&p->list, (struct problem){str_dup(pointer), buf_take(&detail)});
}

static int by_value(const void *a, const void *b)
{
    const int32_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

void problems_check_set(struct problems *p, const char *pointer, const char *what,
                        const int32_t *numbers, size_t n)
{
    int32_t *sorted = NEW_ARRAY(int32_t, n);
    size_t i = 1;

    for (size_t k = 0; k < n; k++)
        sorted[k] = numbers[k];
    qsort(sorted, n, sizeof(*sorted), by_value);
    while (i < n && sorted[i] != sorted[i - 1])
        i++;
    if (n && sorted[0] < 0)
        problems_add(p, pointer, "%s %d is negative", what, sorted[0]);
    if (i < n)
        problems_add(p, pointer, "%s %d stands there twice", what, sorted[i]);
    free(sorted);
}

void problems_free(struct problems *p)
{
    for (size_t i = 0; i < p->list.n; i++) {
        free(p->list.at[i].pointer);
        free(p->list.at[i].detail);
    }
    vec_free(&p->list);
}

struct json *problems_json(const struct problems *p)
{
    struct json *all = js_new_array();

    for (size_t i = 0; i < p->list.n; i++) {
        struct json *one = js_new_object();

        js_set(one, "pointer", js_new_string(p->list.at[i].pointer));
        js_set(one, "detail", js_new_string(p->list.at[i].detail));
        js_push(all, one);
    }
    return all;
}

bool problems_none(const struct problems *p, struct error *err)
{
    struct buf text = buf_new(0);

    if (!p->list.n)
        return true;
    for (size_t i = 0; i < p->list.n; i++)
        buf_fmt(&text, "%s%s: %s", i ? "; " : "", p->list.at[i].pointer, p->list.at[i].detail);
    err_set(err, ERR_INVALID, "%s", buf_text(&text));
    buf_free(&text);
    return false;
}
