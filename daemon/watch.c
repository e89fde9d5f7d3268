#include "daemon/watch.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/mem.h"

static const double away_s = 1;   /* the longest that a watcher who is well looks away */
static const double margin_s = 2; /* for a rank whose clock runs slower */

double watch_heartbeat(double stall_s)
{
    return fmin(1, fmax(0.1, stall_s / 8));
}

void watch_init(struct watch *w, size_t ranks, const struct watch_limits *limits, double now)
{
    *w = (struct watch){.limits = *limits,
                        .looked_s = now,
                        .first_gone = -1,
                        .gave_up = -1,
                        .n = ranks,
                        .ranks = NEW_ARRAY(struct watch_rank, ranks)};
    for (size_t i = 0; i < ranks; i++)
        w->ranks[i].heard_s = w->ranks[i].moved_s = now;
}

void watch_free(struct watch *w)
{
    free(w->ranks);
}

void watch_look(struct watch *w, double now)
{
    double away = now - w->looked_s;

    w->looked_s = now;
    if (away <= away_s + w->limits.heartbeat_s)
        return;
    for (size_t i = 0; i < w->n; i++) {
        w->ranks[i].heard_s += away;
        w->ranks[i].moved_s += away;
    }
}

void watch_hello(struct watch *w, size_t rank, pid_t pid, const char *host, bool remote, double now)
{
    struct watch_rank *r = &w->ranks[rank];

    *r = (struct watch_rank){.known = true,
                             .remote = remote,
                             .pid = pid,
                             .heard_s = now,
                             .moved_s = now,
                             .answered_s = now,
                             .word = {.phase = "start", .place = "computing"}};
    snprintf(r->host, sizeof(r->host), "%s", host);
}

void watch_hear(struct watch *w, size_t rank, const struct watch_word *word, double now)
{
    struct watch_rank *r = &w->ranks[rank];

    r->heard_s = now;
    if (word->count != r->word.count)
        r->moved_s = now;
    r->word = *word;
}

/* Those that are left will notice, or will be done, too. */
void watch_gone(struct watch *w, size_t rank, double now)
{
    if (w->first_gone < 0)
        w->first_gone = (int)rank;
    w->ranks[rank].gone = true;
    w->ranks[rank].heard_s = w->ranks[rank].moved_s = now;
}

bool watch_is_silent(const struct watch *w, size_t rank, double now)
{
    const struct watch_rank *r = &w->ranks[rank];

    return r->known && !r->gone && now - r->heard_s > 1 + 3 * w->limits.heartbeat_s;
}

/* To begin may take long, but not to speak: ranks do that beside their work. */
static bool stands_still(const struct watch *w, const struct watch_rank *r, double now)
{
    const bool begun = r->word.count || r->gone;

    return now - r->moved_s > (begun ? w->limits.stall_s : w->limits.first_s) ||
           (r->known && !r->gone && now - r->heard_s > w->limits.stall_s);
}

static bool all_stand_still(const struct watch *w, double now)
{
    for (size_t i = 0; i < w->n; i++)
        if (!stands_still(w, &w->ranks[i], now))
            return false;
    return true;
}

static bool is_cut_off(const struct watch *w, const struct watch_rank *r, double now)
{
    return r->remote && !r->gone && now - r->heard_s > w->limits.silence_s;
}

/* It could get on, and does not. */
static bool holds_up(const struct watch *w, size_t rank, double now)
{
    const struct watch_rank *r = &w->ranks[rank];

    return stands_still(w, r, now) && !r->gone &&
           (!r->word.waiting || watch_is_silent(w, rank, now));
}

static bool anybody(const struct watch *w, double now)
{
    for (size_t i = 0; i < w->n; i++)
        if (holds_up(w, i, now))
            return true;
    return false;
}

enum watch_state watch_judge(const struct watch *w, double now)
{
    for (size_t i = 0; i < w->n; i++)
        if (is_cut_off(w, &w->ranks[i], now))
            return WATCH_LOST_HOST;
    return anybody(w, now) || all_stand_still(w, now) ? WATCH_HUNG : WATCH_WELL;
}

bool watch_is_at_fault(const struct watch *w, size_t rank, double now)
{
    switch (watch_judge(w, now)) {
    case WATCH_LOST_HOST: return is_cut_off(w, &w->ranks[rank], now);
    case WATCH_HUNG: return holds_up(w, rank, now) || !anybody(w, now);
    case WATCH_WELL: break;
    }
    return false;
}

bool watch_may_live(const struct watch *w, size_t rank, double now)
{
    const struct watch_rank *r = &w->ranks[rank];

    return r->remote && !r->gone && now < r->answered_s + w->limits.lease_s + margin_s;
}

void watch_describe(const struct watch *w, size_t rank, double now, char *out, size_t size)
{
    const struct watch_rank *r = &w->ranks[rank];
    const struct watch_word *at = &r->word;

    if (!r->known)
        snprintf(out, size, "rank %zu has not said a word for %.0f s", rank, now - r->heard_s);
    else if (r->gone)
        snprintf(out, size, "rank %zu ended %.0f s ago, but its launcher goes on", rank,
                 now - r->moved_s);
    else if (is_cut_off(w, r, now))
        snprintf(out, size, "no word from rank %zu on host %s for %.0f s", rank, r->host,
                 now - r->heard_s);
    else if (watch_is_silent(w, rank, now))
        snprintf(out, size,
                 "rank %zu on host %s has been silent for %.0f s; last heard of at step %" PRId64
                 ", %s, %s",
                 rank, r->host, now - r->heard_s, at->step, at->phase, at->place);
    else
        snprintf(out, size,
                 "rank %zu on host %s has made no progress for %.0f s: at step %" PRId64 ", %s, %s",
                 rank, r->host, now - r->moved_s, at->step, at->phase, at->place);
}
