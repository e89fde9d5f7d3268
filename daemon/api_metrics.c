/* Figures for Prometheus. No label takes its values from users or grows with the jobs. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/accept.h"
#include "daemon/api.h"
#include "daemon/hosts.h"
#include "daemon/problem.h"
#include "daemon/prom.h"
#include "proto/base/clock.h"

static void add_jobs(struct prom *p, const int64_t counts[JOB_STATE_COUNT])
{
    char label[64];

    prom_family(p, "distilld_jobs", PROM_GAUGE, "Jobs by state.");
    for (enum job_state s = 0; s < JOB_STATE_COUNT; s++) {
        snprintf(label, sizeof(label), "{state=\"%s\"}", job_state_name(s));
        prom_sample(p, label, (double)counts[s]);
    }
}

static void add_queue(struct prom *p, const struct daemon *d)
{
    prom_family(p, "distilld_slots", PROM_GAUGE, "Cores for jobs.");
    prom_sample(p, "{use=\"held\"}", (double)hosts_used(d));
    prom_sample(p, "{use=\"free\"}", (double)(d->settings.slots - hosts_used(d)));
    prom_family(p, "distilld_queue_paused", PROM_GAUGE, "1 while no job may start.");
    prom_sample(p, "", d->paused);
    prom_family(p, "distilld_job_submissions_total", PROM_COUNTER,
                "Jobs accepted since the daemon was started.");
    prom_sample(p, "", (double)d->submissions);
    prom_family(p, "distilld_schedule_cycle_seconds", PROM_HISTOGRAM,
                "Duration of a look at the whole queue, starts included.");
    prom_histogram(p, &d->schedule_seconds);
}

static void add_checkpoints(struct prom *p, const struct daemon *d)
{
    prom_family(
        p, "distilld_checkpoint_write_seconds", PROM_HISTOGRAM,
        "Duration of checkpoints that workers wrote, as they told since the daemon was started.");
    prom_histogram(p, &d->checkpoint_seconds);
}

/* Of the attempt that was silent longest; there is no sample while none is connected. */
static void add_heartbeat(struct prom *p, const struct daemon *d)
{
    int64_t now = clock_mono_ns(), oldest = 0;

    for (size_t i = 0; i < d->active.n; i++) {
        const struct active *a = d->active.at[i];

        if (a->peer && now - a->heard_ns > oldest)
            oldest = now - a->heard_ns;
    }
    prom_family(p, "distilld_worker_heartbeat_age_seconds", PROM_GAUGE,
                "Time since the last word of the running attempt that has been silent longest.");
    if (oldest)
        prom_sample(p, "", (double)oldest / 1e9);
}

static void add_daemon(struct prom *p, const struct daemon *d)
{
    prom_family(p, "distilld_build_info", PROM_INFO, "The program that runs.");
    prom_sample(p, "{version=\"" PACKAGE_VERSION "\"}", 1);
    prom_family(p, "distilld_start_time_seconds", PROM_GAUGE, "When it was started.");
    prom_sample(p, "", (double)d->started_ms / 1e3);
    prom_family(p, "distilld_sse_clients", PROM_GAUGE, "Open event streams.");
    prom_sample(p, "", (double)daemon_streams(d));
    prom_family(p, "distilld_db_commit_seconds", PROM_HISTOGRAM,
                "Duration of commits of the daemon's state to the disk.");
    prom_histogram(p, store_commit_seconds(d->store));
}

/* The older format is for those who ask for it and not for OpenMetrics: promtool, for example, reads no
 * other. */
static bool wants_open_metrics(const struct request *r)
{
    return !accept_prefers(http_header_list(r, "Accept"), "text/plain",
                           "application/openmetrics-text");
}

void api_metrics(struct daemon *d, struct request *r)
{
    struct prom p = {.text = buf_new(0), .open_metrics = wants_open_metrics(r)};
    int64_t counts[JOB_STATE_COUNT];
    struct error err;

    if (!store_job_counts(d->store, counts, &err)) {
        problem_reply_error(r, &err);
        return;
    }
    add_daemon(&p, d);
    add_jobs(&p, counts);
    add_queue(&p, d);
    add_heartbeat(&p, d);
    add_checkpoints(&p, d);
    prom_end(&p);
    reply_text(r, prom_content_type(&p), buf_text(&p.text));
    buf_free(&p.text);
}
