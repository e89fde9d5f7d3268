#include "client/meter.h"

#include <inttypes.h>
#include <stdio.h>

#include "proto/base/clock.h"

enum {
    BAR_CELLS = 20
};

static const double redraw_s = 0.1, line_s = 1;

/* "42 %  12.3 MB of 50.1 MB  3.1 MB/s  ETA 12s" */
static void describe(const struct meter *m, struct buf *b)
{
    double seconds = clock_mono_s() - m->began;
    double rate = seconds > 0 ? (double)(m->have - m->had) / seconds : 0;
    char text[OUT_TEXT];

    if (m->total > 0)
        buf_fmt(b, "%3" PRId64 " %%  ", 100 * m->have / m->total);
    buf_str(b, out_bytes(m->have, text));
    if (m->total > 0)
        buf_fmt(b, " of %s", out_bytes(m->total, text));
    buf_fmt(b, "  %s/s", out_bytes((int64_t)rate, text));
    if (m->total > 0 && rate > 0)
        buf_fmt(b, "  ETA %s", out_duration((double)(m->total - m->have) / rate, text));
}

static void redraw(const struct meter *m)
{
    struct buf line = buf_new(0);

    if (m->total > 0) {
        out_bar(&line, (double)m->have / (double)m->total, BAR_CELLS);
        buf_str(&line, " ");
    }
    describe(m, &line);
    fprintf(stderr, "\r%s  %s\x1b[K", buf_text(&line), m->name);
    buf_free(&line);
}

static void print_line(const struct meter *m)
{
    struct buf line = buf_new(0);

    describe(m, &line);
    fprintf(stderr, "%s: %s\n", m->name, buf_text(&line));
    buf_free(&line);
}

static int64_t tenths_of(const struct meter *m)
{
    return m->total > 0 ? 10 * m->have / m->total : 0;
}

void meter_begin(struct meter *m)
{
    m->had = m->have;
    m->began = m->shown = clock_mono_s();
    m->tenths = tenths_of(m);
}

void meter_show(struct meter *m)
{
    double now = clock_mono_s();

    if (m->quiet || m->began <= 0 || now - m->shown < (m->term.tty ? redraw_s : line_s) ||
        (!m->term.tty && tenths_of(m) == m->tenths))
        return;
    m->shown = now;
    m->tenths = tenths_of(m);
    (m->term.tty ? redraw : print_line)(m);
}

void meter_end(const struct meter *m)
{
    if (m->term.tty && m->shown > m->began)
        fputs("\r\x1b[K", stderr);
}
