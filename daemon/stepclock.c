#include "daemon/stepclock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/mem.h"
#include "proto/base/vec.h"

enum {
    /* Tens of thousands of epochs: the job's ranks write it, and it is read on the loop. */
    FILE_MAX = 4 << 20
};

/* Steps that one attempt took in an epoch: those behind `from`, up to `to`. */
struct stretch {
    int64_t from, to;
    double began_s, ended_s;
    int64_t epoch;
};

struct stepclock {
    VEC(struct stretch) stretches; /* by rising steps */
    int64_t steps;                 /* of an epoch */
};

/* What an attempt does again from a checkpoint on, is no more what was before. */
static void cut(struct stepclock *c, int64_t step)
{
    while (c->stretches.n && c->stretches.at[c->stretches.n - 1].from >= step)
        c->stretches.n--;
    if (c->stretches.n && c->stretches.at[c->stretches.n - 1].to > step) {
        struct stretch *s = &c->stretches.at[c->stretches.n - 1];

        s->ended_s = stepclock_time(c, step);
        s->to = step;
    }
}

static void add(struct stepclock *c, const struct json *j, int64_t from)
{
    struct stretch s = {
        .from = from, .to = js_int(js_get(j, "step"), -1), .epoch = js_int(js_get(j, "epoch"), -1)};
    const double seconds = js_real(js_get(j, "seconds"), -1);
    int64_t at_ms;

    if (from < 0 || s.to <= from || s.epoch < 0 || s.epoch >= s.to || !(seconds >= 0) ||
        !clock_parse(js_string(js_get(j, "at"), ""), &at_ms))
        return;
    s.ended_s = (double)at_ms / 1e3;
    s.began_s = s.ended_s - seconds;
    /* All epochs have as many steps; the last one may have been cut short. */
    if (s.to / (s.epoch + 1) > c->steps)
        c->steps = s.to / (s.epoch + 1);
    vec_push(&c->stretches, s);
}

/* from: the step behind which the next epoch of the attempt begins. */
static void take_line(struct stepclock *c, const struct json *j, int64_t *from)
{
    const char *event = js_string(js_get(j, "event"), "");

    if (strcmp(event, "start") == 0) {
        *from = js_int(js_get(j, "resumed_from"), 0);
        cut(c, *from);
    } else if (strcmp(event, "epoch") == 0) {
        add(c, j, *from);
        *from = js_int(js_get(j, "step"), *from);
    }
}

/* Lines that are none, as one that is being written, say nothing. */
static void take_lines(struct stepclock *c, const char *at, const char *end)
{
    int64_t from = 0;

    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        struct json *j = newline ? js_parse(at, (size_t)(newline - at), NULL) : NULL;

        if (j)
            take_line(c, j, &from);
        js_free(j);
        at = newline ? newline + 1 : end;
    }
}

struct stepclock *stepclock_open(int take_fd, struct error *err)
{
    struct stepclock *c = NEW(struct stepclock);
    struct buf text = buf_new(FILE_MAX);

    if (take_fd >= 0 && file_read_open(take_fd, "timing.jsonl", &text, NULL))
        take_lines(c, buf_text(&text), buf_text(&text) + text.len);
    if (take_fd >= 0)
        close(take_fd);
    buf_free(&text);
    if (c->stretches.n)
        return c;
    err_set(err, ERR_NOT_FOUND, "no epoch of it has ended");
    stepclock_close(c);
    return NULL;
}

void stepclock_close(struct stepclock *c)
{
    if (!c)
        return;
    vec_free(&c->stretches);
    free(c);
}

double stepclock_time(const struct stepclock *c, int64_t step)
{
    size_t low = 0, high = c->stretches.n;

    /* The first that reaches so far. */
    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (c->stretches.at[middle].to < step)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < c->stretches.n && step >= c->stretches.at[low].from) {
        const struct stretch *s = &c->stretches.at[low];
        const double share = (double)(step - s->from) / (double)(s->to - s->from);

        return s->began_s + share * (s->ended_s - s->began_s);
    }
    return (double)NAN;
}

double stepclock_epoch(const struct stepclock *c, int64_t step)
{
    return c->steps > 0 ? (double)step / (double)c->steps : (double)NAN;
}
