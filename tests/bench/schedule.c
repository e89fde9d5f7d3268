/* How long a look at the queue takes: tests/bench/schedule [--jobs N] [--nodes N]. No test. One JSON line for
 * each part:
 *   decision  the pure part: jobs in order, and which of them start
 *   waiting   a whole pass of a daemon in this process while no slot is free
 *   deciding  the same when a node has just become free, up to the first start (processor: all of it)
 *   starting  and with the starts: their files, commits and forks
 * cpu_ms is what the processor did; the rest of a start is waiting for the disk (its commit and files).
 * The nodes have 8 slots each, all in use by jobs with time limits; every second job that waits has one. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/daemon.h"
#include "daemon/hosts.h"
#include "daemon/queue.h"
#include "daemon/sched.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/opt.h"
#include "proto/base/rng.h"
#include "proto/base/str.h"

enum {
    SLOTS = 8, /* of a node */
    RUNNING_RANKS = 4,
    ROUNDS = 50
};

struct bench {
    int64_t jobs, nodes;
};

static const struct opt rows[] = {
    OPT(struct bench, jobs, OPT_INT, "jobs", "that wait", .value = "N", .fallback = "10000",
        .lo = 1, .hi = 1000000),
    OPT(struct bench, nodes, OPT_INT, "nodes", "that they could run on", .value = "N",
        .fallback = "64", .lo = 1, .hi = 10000),
};

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* By the clock, and of the processor. */
struct times {
    double wall[ROUNDS], cpu[ROUNDS];
};

static double cpu_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void begin(struct times *t, int round)
{
    t->cpu[round] = -cpu_s();
    t->wall[round] = -clock_mono_s();
}

static void end(struct times *t, int round)
{
    t->wall[round] += clock_mono_s();
    t->cpu[round] += cpu_s();
}

static void report(const struct bench *b, const char *part, struct times *t)
{
    qsort(t->wall, ROUNDS, sizeof(*t->wall), by_value);
    qsort(t->cpu, ROUNDS, sizeof(*t->cpu), by_value);
    printf("{\"bench\":\"schedule\",\"part\":\"%s\",\"jobs\":%" PRId64 ",\"nodes\":%" PRId64
           ",\"rounds\":%d,\"median_ms\":%.3f,\"max_ms\":%.3f,\"cpu_median_ms\":%.3f,\"cpu_max_"
           "ms\":%.3f}\n",
           part, b->jobs, b->nodes, ROUNDS, 1e3 * t->wall[ROUNDS / 2], 1e3 * t->wall[ROUNDS - 1],
           1e3 * t->cpu[ROUNDS / 2], 1e3 * t->cpu[ROUNDS - 1]);
    fflush(stdout);
}

static int64_t draw(uint64_t stream, size_t i, int64_t lo, int64_t hi)
{
    return lo + (int64_t)rng_below(rng_key(1, stream), i, (uint64_t)(hi - lo + 1));
}

/* 1, 2, 4 or 8 */
static int64_t ranks_of(size_t i)
{
    return INT64_C(1) << draw(1, i, 0, 3);
}

static double limit_s_of(size_t i)
{
    return i % 2 ? (double)draw(2, i, 60, 7200) : 0;
}

/* -- The decision ------------------------------------------------------------------------------------ */

/* Each node is held by two jobs. */
static struct queue_running *running_jobs(const struct bench *b)
{
    size_t nodes = (size_t)b->nodes;
    struct queue_running *all = NEW_ARRAY(struct queue_running, 2 * nodes);

    for (size_t i = 0; i < 2 * nodes; i++) {
        int64_t *ranks = NEW_ARRAY(int64_t, nodes);

        ranks[i / 2] = RUNNING_RANKS;
        all[i] = (struct queue_running){
            .ranks = ranks, .threads = 1, .left_ms = 1000 * draw(3, i, 1, 7200)};
    }
    return all;
}

static void time_decision(const struct bench *b)
{
    size_t n = (size_t)b->jobs, nodes = (size_t)b->nodes;
    struct place_host *hosts = NEW_ARRAY(struct place_host, nodes);
    struct queue_running *running = running_jobs(b);
    struct queue_place *places = NEW_ARRAY(struct queue_place, n);
    struct queue_job *jobs = NEW_ARRAY(struct queue_job, n);
    struct times times;

    for (size_t h = 0; h < nodes; h++)
        hosts[h] = (struct place_host){SLOTS, h == 0 ? RUNNING_RANKS : 0};
    for (int round = 0; round < ROUNDS; round++) {
        begin(&times, round);
        for (size_t i = 0; i < n; i++)
            places[i] = (struct queue_place){.arrived_ms = (int64_t)i * 1000,
                                             .ahead_ms = queue_ahead(draw(4, i, -2, 2), false),
                                             .arrival = i};
        queue_order(places, n);
        for (size_t i = 0; i < n; i++) {
            size_t j = places[i].arrival;

            jobs[i] = (struct queue_job){.ranks = ranks_of(j),
                                         .threads = 1,
                                         .left_ms = j % 2 ? (int64_t)(1e3 * limit_s_of(j))
                                                          : TIMELINE_EVER};
        }
        queue_decide(jobs, n, running, 2 * nodes, hosts, nodes, NULL);
        end(&times, round);
        for (size_t i = 0; i < n; i++)
            free(jobs[i].given);
    }
    report(b, "decision", &times);
    for (size_t i = 0; i < 2 * nodes; i++)
        free((void *)(uintptr_t)running[i].ranks);
    free(running);
    free(jobs);
    free(places);
    free(hosts);
}

/* -- A pass ------------------------------------------------------------------------------------------ */

static bool write_hosts(struct daemon *d, const struct bench *b, struct error *err)
{
    struct buf text = buf_new(0);
    char *path = str_path(d->state_dir, "hosts");
    bool ok;

    for (int64_t i = 0; i < b->nodes; i++)
        buf_fmt(&text, "node%" PRId64 " slots=%d\n", i, SLOTS);
    ok = file_replace(path, buf_text(&text), text.len, 0644, err);
    d->settings.hostfile = path;
    buf_free(&text);
    return ok;
}

static bool open_daemon(struct daemon *d, const struct bench *b, const char *dir, struct error *err)
{
    *d = (struct daemon){.settings = {.shim = "/bin/true",
                                      .worker = "/bin/true",
                                      .launch_agent = "ssh",
                                      .advertise = "localhost",
                                      .lease_s = 30,
                                      .silence_s = 5}};
    d->state_dir = str_dup(dir);
    d->started_ms = clock_wall_ms();
    d->store = store_open(dir, err);
    if (!d->store || !write_hosts(d, b, err) || !hosts_open(d, err))
        return false;
    d->events = events_new(1, 10000, 8 << 20, NULL, NULL);
    uv_loop_init(&d->loop);
    uv_timer_init(&d->loop, &d->schedule);
    d->schedule.data = d;
    return true;
}

static struct job *new_job(size_t i, int64_t ranks, double limit_s)
{
    char *text = str_fmt("{\"kind\":\"train\",\"data\":{\"source\":\"idx:/x\"},"
                         "\"student\":{\"model\":\"resnet8\"},\"train\":{\"lanes\":8},"
                         "\"resources\":{\"ranks\":%" PRId64 "},\"priority\":%" PRId64 "}",
                         ranks, draw(4, i, -2, 2));
    struct json *j = js_parse(text, strlen(text), NULL);
    struct problems p = {0};
    JobSpec *spec = job_from_json(j, &p);
    char *id = str_fmt("job_%026zu", i);
    struct job *job;

    if (limit_s > 0)
        spec->time_limit_s = limit_s;
    job = job_new(id, spec, clock_wall_ms() - 1000000 + (int64_t)i);
    free(id);
    free(text);
    job_free(spec);
    js_free(j);
    problems_free(&p);
    return job;
}

static bool add_job(struct daemon *d, struct job *take_job, const char *placement,
                    struct error *err)
{
    struct active *a;

    if (!store_jobs_add(d->store, &take_job, 1, err))
        return false;
    a = daemon_add_active(d, take_job);
    if (placement) {
        take_job->state = JOB_RUNNING;
        take_job->placement = str_dup(placement);
        a->since_ns = clock_mono_ns();
        daemon_note_change(d, a);
    }
    return true;
}

static bool fill(struct daemon *d, const struct bench *b, struct error *err)
{
    size_t taken = 2 * (size_t)b->nodes;
    bool ok = store_begin(d->store, err);

    for (size_t i = 0; ok && i < taken; i++) {
        char *placement = str_fmt("node%zu:%d", i / 2, RUNNING_RANKS);

        ok = add_job(d, new_job(i, RUNNING_RANKS, (double)draw(3, i, 100, 7200)), placement, err);
        free(placement);
    }
    for (size_t i = 0; ok && i < (size_t)b->jobs; i++)
        ok = add_job(d, new_job(taken + i, ranks_of(i), limit_s_of(i)), NULL, err);
    return ok && store_commit(d->store, err);
}

static void time_pass(struct daemon *d, struct times *t, int round)
{
    d->pass_s = 0; /* or it would rest after the last one */
    sched_soon(d);
    uv_update_time(&d->loop);
    begin(t, round);
    uv_run(&d->loop, UV_RUN_NOWAIT);
    end(t, round);
}

static struct active *longest_running(const struct daemon *d)
{
    size_t i = 0;

    while (d->active.at[i]->job->state == JOB_QUEUED)
        i++;
    return d->active.at[i];
}

/* What the passes before have left to do is not the next one's. */
static void settle(struct daemon *d)
{
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    uv_run(&d->loop, UV_RUN_NOWAIT);
    uv_timer_stop(&d->schedule);
}

static void time_passes(const struct bench *b, struct daemon *d)
{
    struct times times, deciding;

    time_pass(d, &times, 0);
    for (int i = 0; i < ROUNDS; i++)
        time_pass(d, &times, i);
    report(b, "waiting", &times);
    for (int i = 0; i < ROUNDS; i++) {
        daemon_drop_active(d, longest_running(d));
        daemon_drop_active(d, longest_running(d));
        settle(d);
        deciding.wall[i] = -d->schedule_seconds.sum;
        time_pass(d, &times, i);
        deciding.wall[i] += d->schedule_seconds.sum;
        deciding.cpu[i] = times.cpu[i];
    }
    report(b, "deciding", &deciding);
    report(b, "starting", &times);
}

static bool run(const struct bench *b, const char *dir, struct error *err)
{
    struct daemon d;
    bool ok = open_daemon(&d, b, dir, err) && fill(&d, b, err);

    if (ok)
        time_passes(b, &d);
    return ok;
}

int main(int argc, char **argv)
{
    char dir[] = "/tmp/distilld-bench-XXXXXX";
    struct bench b = {0};
    const struct opt_set all = OPT_SET(rows, &b);
    struct opt_words words = {argv + 1, (size_t)argc - 1};
    struct error err = {0};
    char *forget;
    bool ok = opt_defaults(&all, &err) && opt_parse(&all, 1, &words, &err);

    if (ok && !mkdtemp(dir))
        ok = err_set(&err, ERR_IO, "making %s: %s", dir, strerror(errno));
    log_set_level(LOG_LEVEL_ERROR);
    if (ok)
        time_decision(&b);
    ok = ok && run(&b, dir, &err);
    if (!ok)
        fprintf(stderr, "%s: %s\n", argv[0], err.msg);
    forget = str_fmt("rm -rf %s", dir);
    if (system(forget) != 0)
        ok = false;
    free(forget);
    return ok ? 0 : err_exit_status(err.code);
}
