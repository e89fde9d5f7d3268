#include "worker/report/progress.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/json.h"

enum {
    BAR_WIDTH = 28
};

/* Whether descriptor 1 of the launcher (our parent) is a terminal. */
static bool launcher_has_terminal(void)
{
    char path[64];
    int fd;
    bool yes;

    snprintf(path, sizeof(path), "/proc/%ld/fd/1", (long)getppid());
    fd = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return false;
    yes = isatty(fd);
    close(fd);
    return yes;
}

void progress_init(struct progress *p, bool json)
{
    bool launched = getenv("OMPI_COMM_WORLD_SIZE") || getenv("PMI_SIZE");
    bool terminal = isatty(STDOUT_FILENO) && (!launched || launcher_has_terminal());

    *p = (struct progress){.style = json       ? PROGRESS_JSON
                                    : terminal ? PROGRESS_BAR
                                               : PROGRESS_PLAIN,
                           .last_s = -1e9};
}

const char *progress_duration(double seconds, char out[32])
{
    int64_t s = (int64_t)(seconds + 0.5);

    if (s >= 3600)
        snprintf(out, 32, "%" PRId64 " h %02" PRId64 " min", s / 3600, s % 3600 / 60);
    else if (s >= 60)
        snprintf(out, 32, "%" PRId64 " min %02" PRId64 " s", s / 60, s % 60);
    else
        snprintf(out, 32, "%" PRId64 " s", s < 0 ? 0 : s);
    return out;
}

static void describe(const struct progress_state *s, struct buf *b)
{
    char eta[32];

    buf_fmt(b, "%s %" PRId64 "/%" PRId64, s->phase, s->done, s->total);
    if (s->epochs)
        buf_fmt(b, ", epoch %" PRId64 "/%" PRId64, s->epoch, s->epochs);
    if (s->images_per_s > 0)
        buf_fmt(b, ", %.0f images/s", s->images_per_s);
    if (s->eta_s >= 0)
        buf_fmt(b, ", %s left", progress_duration(s->eta_s, eta));
}

static void show_json(const struct progress_state *s)
{
    struct json *j = js_new_object();
    char *text;

    js_set(j, "event", js_new_string("progress"));
    js_set(j, "phase", js_new_string(s->phase));
    js_set(j, "done", js_new_int(s->done));
    js_set(j, "total", js_new_int(s->total));
    js_set(j, "epoch", js_new_int(s->epoch));
    js_set(j, "eta_s", js_new_real(s->eta_s));
    js_set(j, "images_per_s", js_new_real(s->images_per_s));
    text = js_text(j, JS_COMPACT);
    puts(text);
    free(text);
    js_free(j);
}

static void show_bar(const struct progress_state *s)
{
    struct buf b = buf_new(0);
    int64_t filled = s->total > 0 ? s->done * BAR_WIDTH / s->total : 0;

    buf_str(&b, "\r[");
    for (int64_t i = 0; i < BAR_WIDTH; i++)
        buf_str(&b, i < filled ? "#" : ".");
    buf_str(&b, "] ");
    describe(s, &b);
    buf_str(&b, "\033[K");
    fputs(buf_text(&b), stdout);
    buf_free(&b);
}

static void show_line(const struct progress_state *s)
{
    struct buf b = buf_new(0);

    describe(s, &b);
    puts(buf_text(&b));
    buf_free(&b);
}

void progress_show(struct progress *p, const struct progress_state *s)
{
    double now = clock_mono_s();

    if (now - p->last_s < (p->style == PROGRESS_BAR ? 0.1 : 10))
        return;
    p->last_s = now;
    if (p->style == PROGRESS_JSON)
        show_json(s);
    else if (p->style == PROGRESS_BAR)
        show_bar(s);
    else
        show_line(s);
    p->bar_open = p->style == PROGRESS_BAR;
    fflush(stdout);
}

void progress_clear(struct progress *p)
{
    if (p->bar_open)
        fputs("\r\033[K", stdout);
    p->bar_open = false;
    fflush(stdout);
}

void progress_say(struct progress *p, const char *fmt, ...)
{
    va_list ap;

    if (p->style == PROGRESS_JSON)
        return;
    progress_clear(p);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
}
