#include "daemon/snapshot.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api.h"
#include "daemon/reach.h"
#include "daemon/sched.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"

enum {
    NEWEST = 500, /* of those that are over, in each of their states */
    REST = 19,    /* so many times as long as it took to write it may be given, */
    BEHIND = 256  /* unless so many events have come since: a new one is less to read */
};

static void add_job(struct job *take_job, void *items)
{
    job_write(items, NULL, take_job, false);
    job_destroy(take_job);
}

/* id: NULL for none. */
static void add_frame(struct buf *b, const uint64_t *id, const char *kind, const char *data)
{
    if (id)
        buf_fmt(b, "id: %" PRIu64 "\n", *id);
    buf_fmt(b, "event: %s\ndata: ", kind);
    buf_str(b, data);
    buf_str(b, "\n\n");
}

/* The id stands in the last frame alone: whoever loses the connection before it begins anew, and misses no end. */
static struct event *join_frames(uint64_t id, const char *items, char *const *ends, size_t n)
{
    struct buf b = buf_new(0);
    struct event *e;

    add_frame(&b, n ? NULL : &id, "snapshot", items);
    for (size_t i = 0; i < n; i++)
        add_frame(&b, i + 1 < n ? NULL : &id, "end", ends[i]);
    e = event_of_frames(id, "", b.data, b.len);
    buf_free(&b);
    return e;
}

/* Of those that are over nothing more is told, so that their end is. */
static struct event *write_named(struct daemon *d, const struct caller *who, char *const *jobs,
                                 size_t n)
{
    struct buf text = buf_new(0);
    struct jw w = jw_new(&text);
    VEC(char *) ends = {0};
    struct event *e;

    jw_begin_object(&w, NULL);
    jw_begin_array(&w, "items");
    for (size_t i = 0; i < n; i++) {
        struct job *owned;
        const struct job *j = api_find_job(d, who, jobs[i], &owned, NULL);

        if (j)
            job_write(&w, NULL, j, false);
        if (j && job_is_final(j->state))
            vec_push(&ends, job_text(j, false));
        job_destroy(owned);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    e = join_frames(events_next_id(d->events) - 1, buf_text(&text), ends.at, ends.n);
    for (size_t i = 0; i < ends.n; i++)
        free(ends.at[i]);
    vec_free(&ends);
    buf_free(&text);
    return e;
}

/* What is active is known better here than in the file. */
static bool write_all(struct daemon *d, const struct caller *who, struct jw *items)
{
    struct error err;
    bool ok = true;

    for (size_t i = d->active.n; i-- > 0;) {
        if (!reach_sees(who, d->active.at[i]->job->project))
            continue;
        sched_explain(d, d->active.at[i]);
        job_write(items, NULL, d->active.at[i]->job, false);
    }
    for (enum job_state s = 0; s < JOB_STATE_COUNT; s++)
        if (job_is_final(s))
            ok &= store_jobs_page(d->store, 0, NEWEST,
                                  &(struct job_filter){.state = s, .only = reach_only(who)},
                                  add_job, items, &err);
    if (!ok)
        log_error("an event stream begins without some of the jobs that are over error=\"%s\"",
                  err.msg);
    return ok;
}

/* *whole: false where the history could not be read. */
static struct event *write_snapshot(struct daemon *d, const struct caller *who, bool *whole)
{
    const char *only = reach_only(who);
    struct buf text = buf_new(0);
    struct jw w = jw_new(&text);
    struct event *e;

    jw_begin_object(&w, NULL);
    jw_begin_array(&w, "items");
    *whole = write_all(d, who, &w);
    jw_end_array(&w);
    jw_end_object(&w);
    e = event_new(events_next_id(d->events) - 1, "snapshot", "", only ? only : "", buf_text(&text));
    buf_free(&text);
    return e;
}

static bool may_be_given(const struct daemon *d, const struct snapshot *s)
{
    const uint64_t last = events_next_id(d->events) - 1;

    if (s->frame->id == last && s->untold == d->untold)
        return true;
    return clock_mono_s() < s->until_s && last - s->frame->id <= BEHIND &&
           events_cover(d->events, s->frame->id);
}

static struct snapshot *kept_for(struct daemon *d, const char *only)
{
    for (size_t i = 0; i < d->snapshots.n; i++)
        if (strcmp(d->snapshots.at[i].frame->project, only ? only : "") == 0)
            return &d->snapshots.at[i];
    return NULL;
}

static void keep(struct daemon *d, struct snapshot *old, const struct snapshot *s)
{
    if (!old) {
        vec_push(&d->snapshots, *s);
        return;
    }
    event_unref(old->frame);
    *old = *s;
}

struct event *snapshot_take(struct daemon *d, const struct caller *who, char *const *jobs, size_t n)
{
    struct snapshot *kept, s = {.untold = d->untold};
    const double began = clock_mono_s();
    bool whole;

    if (n)
        return write_named(d, who, jobs, n);
    kept = kept_for(d, reach_only(who));
    if (kept && may_be_given(d, kept))
        return event_ref(kept->frame);
    s.frame = write_snapshot(d, who, &whole);
    s.until_s = clock_mono_s() + REST * (clock_mono_s() - began);
    if (whole) {
        keep(d, kept, &s);
        event_ref(s.frame);
    }
    return s.frame;
}

void snapshot_forget(struct daemon *d)
{
    for (size_t i = 0; i < d->snapshots.n; i++)
        event_unref(d->snapshots.at[i].frame);
    vec_free(&d->snapshots);
}
