#include "client/out.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"

struct term term_of(FILE *f)
{
    struct term t = {.tty = isatty(fileno(f)) == 1, .width = 80};
    const char *no_color = getenv("NO_COLOR");
    struct winsize size;

    t.colour = t.tty && !(no_color && *no_color);
    if (t.tty && ioctl(fileno(f), TIOCGWINSZ, &size) == 0 && size.ws_col >= 20)
        t.width = size.ws_col;
    return t;
}

/* Characters on the screen: bytes that do not continue a UTF-8 sequence. */
static size_t text_width(const char *s)
{
    size_t n = 0;

    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

void out_clean(struct buf *b, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text, next = (unsigned char)text[1];

        if (c < 0x20 || c == 0x7f)
            buf_str(b, "?");
        else if (c == 0xc2 && next >= 0x80 && next < 0xa0) { /* C1 controls, in UTF-8 */
            buf_str(b, "?");
            text++;
        } else
            buf_add(b, text, 1);
    }
}

void out_state(struct buf *b, const struct term *term, const char *state, const char *text)
{
    static const struct {
        const char *state, *colour;
    } rows[] = {
        {"starting", "36"}, {"running", "36"},   {"succeeded", "32"},
        {"failed", "31"},   {"cancelled", "33"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (term->colour && strcmp(rows[i].state, state) == 0) {
            buf_fmt(b, "\x1b[%sm%s\x1b[0m", rows[i].colour, text);
            return;
        }
    buf_str(b, text);
}

void out_cell(struct out_table *t, const char *fmt, ...)
{
    struct buf raw = buf_new(0), clean = buf_new(0);
    va_list ap;

    va_start(ap, fmt);
    buf_vfmt(&raw, fmt, ap);
    va_end(ap);
    out_clean(&clean, buf_text(&raw));
    vec_push(&t->cells, buf_take(&clean));
    buf_free(&raw);
}

void out_table_free(struct out_table *t)
{
    for (size_t i = 0; i < t->cells.n; i++)
        free(t->cells.at[i]);
    vec_free(&t->cells);
}

static size_t column_width(const struct out_table *t, size_t column)
{
    size_t width = text_width(t->columns[column].title);

    for (size_t i = column; i < t->cells.n; i += t->n_columns)
        if (text_width(t->cells.at[i]) > width)
            width = text_width(t->cells.at[i]);
    return width;
}

static void write_cell(const struct out_column *c, size_t width, bool last, const char *text,
                       const struct term *term, struct buf *out)
{
    int space = (int)(width - text_width(text));

    if (c->right)
        buf_fmt(out, "%*s", space, "");
    if (c->state)
        out_state(out, term, text, text);
    else
        buf_str(out, text);
    if (!last)
        buf_fmt(out, "%*s", c->right ? 2 : space + 2, "");
}

void out_table_write(const struct out_table *t, const struct term *term, struct buf *out)
{
    size_t *width = NEW_ARRAY(size_t, t->n_columns);

    for (size_t c = 0; c < t->n_columns; c++) {
        width[c] = column_width(t, c);
        write_cell(&t->columns[c], width[c], c + 1 == t->n_columns, t->columns[c].title, term, out);
    }
    buf_str(out, "\n");
    for (size_t i = 0; i < t->cells.n; i++) {
        size_t c = i % t->n_columns;
        bool last = c + 1 == t->n_columns;

        write_cell(&t->columns[c], width[c], last, t->cells.at[i], term, out);
        buf_str(out, last ? "\n" : "");
    }
    free(width);
}

const char *out_duration(double s, char out[OUT_TEXT])
{
    static const struct {
        int64_t below, large, small;
        char large_unit, small_unit;
    } rows[] = {
        {3600, 60, 1, 'm', 's'},
        {86400, 3600, 60, 'h', 'm'},
        {INT64_MAX, 86400, 3600, 'd', 'h'},
    };
    int64_t whole;
    size_t i = 0;

    snprintf(out, OUT_TEXT, "-");
    if (!(s >= 0 && s < 1e12))
        return out;
    whole = (int64_t)(s + 0.5);
    if (whole < 60) {
        snprintf(out, OUT_TEXT, "%" PRId64 "s", whole);
        return out;
    }
    while (whole >= rows[i].below)
        i++;
    snprintf(out, OUT_TEXT, "%" PRId64 "%c%02" PRId64 "%c", whole / rows[i].large,
             rows[i].large_unit, whole % rows[i].large / rows[i].small, rows[i].small_unit);
    return out;
}

const char *out_bytes(int64_t bytes, char out[OUT_TEXT])
{
    static const char *const units[] = {"kB", "MB", "GB", "TB"};
    double v = (double)bytes / 1000;
    size_t u = 0;

    if (bytes < 0)
        snprintf(out, OUT_TEXT, "-");
    else if (bytes < 1000)
        snprintf(out, OUT_TEXT, "%" PRId64 " B", bytes);
    else {
        for (; v >= 999.95 && u + 1 < ARRAY_LEN(units); u++)
            v /= 1000;
        snprintf(out, OUT_TEXT, "%.1f %s", v, units[u]);
    }
    return out;
}

const char *out_real(int digits, double v, char out[OUT_TEXT])
{
    if (isfinite(v))
        snprintf(out, OUT_TEXT, "%.*f", digits, v);
    else
        snprintf(out, OUT_TEXT, "-");
    return out;
}

/* Days from 1970-01-01 to a date of the Gregorian calendar; March begins the year here, so that the
 * leap day is its last. */
static int64_t days_from_date(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    m += m <= 2 ? 9 : -3;
    return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + d - 719469;
}

double out_age(const char *time, int64_t now_ms)
{
    int y, mon, d, h, min;
    double s;

    if (!time || sscanf(time, "%4d-%2d-%2dT%2d:%2d:%lf", &y, &mon, &d, &h, &min, &s) != 6)
        return (double)NAN;
    return (double)now_ms / 1000 -
           (double)(days_from_date(y, mon, d) * 86400 + h * 3600 + min * 60) - s;
}

void out_bar(struct buf *b, double fraction, size_t cells)
{
    double f = fraction < 0 ? 0 : fraction > 1 ? 1 : fraction;
    size_t full = (size_t)(f * (double)cells);

    buf_str(b, "[");
    for (size_t i = 0; i < cells; i++)
        buf_str(b, i < full ? "#" : ".");
    buf_str(b, "]");
}

/* As much of a line as fits, so that it never takes two rows of the screen. */
static int fitting(const char *line, size_t width)
{
    size_t n = 0, shown = 0;

    for (; line[n]; n++) {
        shown += ((unsigned char)line[n] & 0xc0) != 0x80;
        if (shown > width)
            break;
    }
    return (int)n;
}

void out_live_show(struct out_live *l, const char *const *lines, size_t n)
{
    if (l->lines)
        fprintf(l->to, "\x1b[%zuA", l->lines);
    for (size_t i = 0; i < n; i++)
        fprintf(l->to, "\r%.*s\x1b[K\n", fitting(lines[i], l->term.width - 1), lines[i]);
    fflush(l->to);
    l->lines = n;
}

void out_print(const struct buf *b)
{
    fwrite(buf_text(b), 1, b->len, stdout);
}

static void print_json(const struct json *j, int flags)
{
    struct buf b = buf_new(0);

    js_write(j, flags, &b);
    buf_str(&b, "\n");
    out_print(&b);
    buf_free(&b);
}

void out_json(const struct json *j)
{
    print_json(j, JS_INDENT);
}

void out_json_line(const struct json *j)
{
    print_json(j, JS_COMPACT);
    fflush(stdout);
}

void out_list(struct out_table take_table, const struct json *items,
              void (*add)(struct out_table *t, const struct json *item), const struct term *term)
{
    struct out_table t = take_table;
    struct buf b = buf_new(0);

    for (size_t i = 0; i < js_len(items); i++)
        add(&t, js_at(items, i));
    out_table_write(&t, term, &b);
    out_print(&b);
    buf_free(&b);
    out_table_free(&t);
}

void out_file(bool json, const char *path, int64_t bytes)
{
    struct json *j;

    if (!json) {
        printf("%s\n", path);
        return;
    }
    j = js_new_object();
    js_set(j, "path", js_new_string(path));
    js_set(j, "bytes", js_new_int(bytes));
    out_json(j);
    js_free(j);
}
