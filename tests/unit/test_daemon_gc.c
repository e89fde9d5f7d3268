/* daemon: what is removed, what stays, and what a kill in between leaves. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/db.h"
#include "daemon/gc.h"
#include "daemon/lifecycle.h"
#include "daemon/store_parts.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/str.h"
#include "tests/unit/daemon_rig.h"
#include "tests/unit/unit.h"

#define J(n)   "job_0000000000000000000000000" #n
#define OUT(n) "jobs/" J(n) "/out/"
#define DAY_MS (INT64_C(24) * 3600 * 1000)

static const char *id_of(int n, char out[JOB_ID_SIZE])
{
    snprintf(out, JOB_ID_SIZE, "job_%026d", n);
    return out;
}

/* Without waiting for the disk. */
static void write_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    ck_assert_int_eq(write(fd, "0123456789", 10), 10);
    close(fd);
}

/* A file below the state folder that was last changed so long ago, and so were its folders. */
static void put(struct daemon *d, const char *name, double days)
{
    char *path = str_path(d->state_dir, name), *slash;
    const int64_t at = (clock_wall_ms() - (int64_t)(days * (double)DAY_MS)) / 1000;
    const struct timespec times[2] = {{.tv_sec = at}, {.tv_sec = at}};
    struct error err;

    slash = strrchr(path, '/');
    *slash = '\0';
    ck_assert_ok(file_make_dirs(path, 0755, &err), err);
    *slash = '/';
    write_file(path);
    while (strlen(path) > strlen(d->state_dir)) {
        ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
        *strrchr(path, '/') = '\0';
    }
    free(path);
}

static bool there(struct daemon *d, const char *name)
{
    char *path = str_path(d->state_dir, name);
    bool found = file_exists(path);

    free(path);
    return found;
}

/* A job that ended so, so long ago, with an attempt, two events and a file. */
static void add_job(struct daemon *d, int n, enum job_state state, double days)
{
    struct job *j = rig_job(n);
    struct error err;
    char *path = str_fmt("jobs/%s/out/result.json", j->id);

    ck_assert_ok(store_jobs_add(d->store, &j, 1, &err), err);
    ck_assert_ok(store_attempt_add(d->store, j->id, 1, 5, "x", "h:1", &err), err);
    ck_assert_ok(store_event_add(d->store, events_next_id(d->events), 5, j, &err), err);
    events_publish(d->events, "state", j->id, j->project, "{}");
    j->state = state;
    j->attempt = 1;
    j->finished_ms = clock_wall_ms() - (int64_t)(days * (double)DAY_MS);
    ck_assert_ok(store_job_update(d->store, j, &err), err);
    ck_assert_ok(store_event_add(d->store, events_next_id(d->events), 6, j, &err), err);
    events_publish(d->events, "state", j->id, j->project, "{}");
    put(d, path, days);
    free(path);
    job_destroy(j);
}

/* The same made by a sweep. */
static void add_child(struct daemon *d, int n, const char *sweep, int64_t index)
{
    struct job *j = rig_job(n);
    struct error err;
    char *path = str_fmt("jobs/%s/out/result.json", j->id);

    memcpy(j->origin.sweep, sweep, JOB_ID_SIZE);
    j->origin.index = index;
    j->state = JOB_SUCCEEDED;
    j->finished_ms = 1;
    ck_assert_ok(store_jobs_add(d->store, &j, 1, &err), err);
    put(d, path, 100);
    free(path);
    job_destroy(j);
}

/* A job that is not over, with this in its spec. */
static void add_user(struct daemon *d, int n, const char *named)
{
    struct job *j = rig_submit(d, n);
    char *text = str_fmt("{\"teacher\":{\"weights\":\"%s\"}}", named);

    free(j->spec);
    j->spec = text;
}

static int64_t number(struct daemon *d, const char *sql)
{
    struct db_stmt *q = db_prepare(store_state(d->store), sql, NULL);
    int64_t n;

    ck_assert_int_eq(db_step(q, NULL), DB_ROW);
    n = db_int(q, 0);
    db_reset(q);
    return n;
}

static void note_idle(void *arg)
{
    *(bool *)arg = true;
}

/* Until nothing is left to be cleared away. */
static void settle(struct daemon *d)
{
    bool idle = false;

    purge_when_idle(d, note_idle, &idle);
    for (int i = 0; i < 1000 && !idle; i++)
        rig_turn(d);
    ck_assert(idle);
}

/* -- One job -------------------------------------------------------------------------------------- */

START_TEST(a_removed_job_is_gone_for_good)
{
    char id[JOB_ID_SIZE], other[JOB_ID_SIZE], last[JOB_ID_SIZE], *path;
    struct buf answer = buf_new(0);
    uint64_t next, first;
    struct sockaddr_in a;
    struct error err;
    struct daemon d;
    struct json *j;

    rig_open(&d, "gone", 64);
    a = rig_serve(&d);
    add_job(&d, 1, JOB_SUCCEEDED, 0);
    add_job(&d, 2, JOB_FAILED, 0);
    id_of(2, id);
    path = str_fmt("/api/v1/jobs/%s", id);
    next = events_next_id(d.events);
    ck_assert_int_eq(rig_ask(&d, &a, "DELETE", path, "If-Match: \"x\"\r\n", "", &answer), 412);
    ck_assert_int_eq(rig_ask(&d, &a, "DELETE", path, "", "", &answer), 202);
    ck_assert_uint_eq(events_next_id(d.events), next + 1);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(rig_ask(&d, &a, i ? "GET" : "DELETE", path, "", "", &answer), 410);
        j = rig_json(&answer);
        ck_assert_str_eq(js_string(js_get(j, "code"), ""), "gone");
        ck_assert_msg(strstr(js_string(js_get(j, "detail"), ""), "failed"), "%s",
                      buf_text(&answer));
        js_free(j);
    }
    ck_assert_int_eq(rig_ask(&d, &a, "GET", "/api/v1/jobs", "", "", &answer), 200);
    j = rig_json(&answer);
    ck_assert_uint_eq(js_len(js_get(j, "items")), 1);
    ck_assert_str_eq(js_string(js_path(j, "items.0.id"), ""), id_of(1, other));
    js_free(j);
    ck_assert_int_eq(rig_ask(&d, &a, "GET", "/api/v1/audit", "", "", &answer), 200);
    j = rig_json(&answer);
    ck_assert_str_eq(js_string(js_path(j, "items.0.subject"), ""), id);
    ck_assert_str_eq(js_string(js_path(j, "items.0.method"), ""), "DELETE");
    js_free(j);
    free(path);

    settle(&d);
    path = str_fmt("jobs/%s", id);
    ck_assert_msg(!there(&d, path), "its folder is still there");
    free(path);
    path = str_fmt("jobs/%s/out/result.json", other);
    ck_assert(there(&d, path));
    free(path);
    ck_assert_int_eq(number(&d, "SELECT count(*) FROM purged WHERE remains"), 0);
    ck_assert_int_eq(number(&d, "SELECT count(*) FROM event"), 2);
    ck_assert_int_eq(number(&d, "SELECT count(*) FROM attempt"), 1);
    /* Neither its id nor those of its events are given again. */
    ck_assert_ok(store_last_job_id(d.store, last, &err), err);
    ck_assert_str_eq(last, id);
    ck_assert_ok(store_first_event_id(d.store, &first, &err), err);
    ck_assert_msg(first >= next, "%d and %d", (int)first, (int)next);
    buf_free(&answer);
    rig_hang_up(&d);
    rig_close(&d);
}
END_TEST

START_TEST(what_is_needed_is_not_removed)
{
    static const struct {
        int n, status;
        const char *says;
    } cases[] = {
        {1, 409, "queued"},
        {2, 409, "in its spec"},
        {3, 409, "part of sweep"},
        {4, 409, "in its spec"},
        {5, 202, ""},
        {6, 202, ""},
        {99, 404, ""},
    };
    char id[JOB_ID_SIZE], sweep[JOB_ID_SIZE];
    struct buf answer = buf_new(0);
    struct sockaddr_in a;
    struct daemon d;

    rig_open(&d, "needed", 64);
    a = rig_serve(&d);
    for (int n = 2; n < 7; n++)
        if (n != 3)
            add_job(&d, n, JOB_SUCCEEDED, 0);
    add_child(&d, 3, id_of(4, sweep), 0);
    add_user(&d, 1, "/s/jobs/job_00000000000000000000000002/out/best.safetensors");
    add_user(&d, 7, id_of(3, id)); /* of sweep 4 */
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *path = str_fmt("/api/v1/jobs/%s", id_of(cases[i].n, id));
        int status = rig_ask(&d, &a, "DELETE", path, "", "", &answer);

        ck_assert_msg(status == cases[i].status && strstr(buf_text(&answer), cases[i].says),
                      "case %zu: %s", i, buf_text(&answer));
        free(path);
    }
    buf_free(&answer);
    rig_hang_up(&d);
    rig_close(&d);
}
END_TEST

START_TEST(a_sweep_goes_with_its_jobs)
{
    char sweep[JOB_ID_SIZE], id[JOB_ID_SIZE];
    struct buf answer = buf_new(0);
    struct sockaddr_in a;
    struct daemon d;

    rig_open(&d, "sweep", 64);
    a = rig_serve(&d);
    add_job(&d, 1, JOB_SUCCEEDED, 0);
    add_job(&d, 2, JOB_SUCCEEDED, 0);
    for (int i = 0; i < 3; i++) {
        add_child(&d, 3 + i, id_of(1, sweep), i);
        add_child(&d, 6 + i, id_of(2, id), i);
    }
    ck_assert_int_eq(rig_ask(&d, &a, "DELETE", "/api/v1/jobs/" J(1), "", "", &answer), 202);
    settle(&d);
    ck_assert_int_eq(rig_ask(&d, &a, "GET", "/api/v1/jobs/" J(3), "", "", &answer), 410);
    ck_assert_int_eq(rig_ask(&d, &a, "GET", "/api/v1/jobs/" J(6), "", "", &answer), 200);
    ck_assert_int_eq(rig_ask(&d, &a, "GET", "/api/v1/jobs?sweep=" J(1), "", "", &answer), 200);
    ck_assert(strstr(buf_text(&answer), "\"items\":[]"));
    ck_assert_int_eq(number(&d, "SELECT count(*) FROM job"), 4);
    ck_assert(!there(&d, "jobs/" J(5)) && there(&d, "jobs/" J(8)));
    buf_free(&answer);
    rig_hang_up(&d);
    rig_close(&d);
}
END_TEST

/* One that was cancelled while it waited, when a job of it had been run again by itself. */
START_TEST(a_sweep_stays_while_a_job_of_it_goes_on)
{
    struct buf answer = buf_new(0);
    struct sockaddr_in a;
    struct error err;
    struct daemon d;
    struct job *j;

    rig_open(&d, "part", 64);
    a = rig_serve(&d);
    j = rig_job(1);
    j->sweep.total = 1;
    j->state = JOB_CANCELLED;
    ck_assert_ok(store_jobs_add(d.store, &j, 1, &err), err);
    job_destroy(j);
    j = rig_submit(&d, 2);
    memcpy(j->origin.sweep, J(1), JOB_ID_SIZE);
    ck_assert_int_eq(rig_ask(&d, &a, "DELETE", "/api/v1/jobs/" J(1), "", "", &answer), 409);
    ck_assert_msg(strstr(buf_text(&answer), J(2)), "%s", buf_text(&answer));
    daemon_drop_active(&d, daemon_active(&d, J(2)));
    ck_assert_int_eq(rig_ask(&d, &a, "DELETE", "/api/v1/jobs/" J(1), "", "", &answer), 202);
    buf_free(&answer);
    rig_hang_up(&d);
    rig_close(&d);
}
END_TEST

/* As a kill right after the commit leaves it. */
static void purge_rows(struct daemon *d, int n)
{
    char id[JOB_ID_SIZE];
    struct error err;
    struct job *j = store_job_get(d->store, id_of(n, id), &err);

    ck_assert_msg(j, "%s", err.msg);
    ck_assert_ok(store_begin(d->store, &err), err);
    ck_assert_ok(purge_store(d, j, "test", &err), err);
    ck_assert_ok(store_commit(d->store, &err), err);
    job_destroy(j);
}

START_TEST(what_a_kill_leaves_goes_at_the_next_start)
{
    enum {
        CHILDREN = 150,
        POINTS = 12001
    };
    struct metric_point *points = NEW_ARRAY(struct metric_point, POINTS);
    char sweep[JOB_ID_SIZE], other[JOB_ID_SIZE], id[JOB_ID_SIZE], *path;
    struct error err;
    struct daemon d;

    rig_open(&d, "killed", 64);
    add_job(&d, 1, JOB_SUCCEEDED, 0);
    add_job(&d, 2, JOB_FAILED, 0);
    for (int i = 0; i < CHILDREN; i++)
        add_child(&d, 3 + i, id_of(2, sweep), i);
    for (int i = 0; i < POINTS; i++)
        points[i] = (struct metric_point){.name = i % 3 ? "a" : "b", .split = "", .step = i};
    for (int n = 1; n <= 2; n++)
        ck_assert_ok(store_metrics_add(d.store, id_of(n, id), points, POINTS, 7, &err), err);
    purge_rows(&d, 2);
    path = str_fmt("jobs/%s/out/result.json", sweep);
    ck_assert(there(&d, path));
    rig_close(&d);

    rig_open(&d, "killed", 64);
    settle(&d);
    ck_assert(!there(&d, path));
    free(path);
    ck_assert_int_eq(number(&d, "SELECT count(*) FROM purged"), 1 + CHILDREN);
    ck_assert_int_eq(number(&d, "SELECT count(*) FROM purged WHERE remains"), 0);
    ck_assert_int_eq(number(&d, "SELECT count(*) FROM job"), 1);
    path = str_fmt("jobs/%s", id_of(3 + CHILDREN - 1, id));
    ck_assert(!there(&d, path));
    free(path);
    ck_assert_int_eq(store_metrics_offset(d.store, sweep), 0);
    ck_assert_int_eq(store_metrics_offset(d.store, id_of(1, other)), 7);
    rig_close(&d);
    free(points);
}
END_TEST

static void count_point(const struct metric_point *p, void *arg)
{
    (void)p;
    ++*(int *)arg;
}

START_TEST(points_go_in_parts)
{
    struct metric_point points[100];
    char one[JOB_ID_SIZE], two[JOB_ID_SIZE];
    int before = 200, left = 0, parts = 0;
    struct error err;
    struct daemon d;
    bool more = true;

    rig_open(&d, "parts", 64);
    for (int i = 0; i < 100; i++)
        points[i] = (struct metric_point){.name = i % 2 ? "a" : "b", .split = "", .step = i};
    for (int n = 1; n <= 2; n++)
        ck_assert_ok(store_metrics_add(d.store, id_of(n, n == 1 ? one : two), points, 100, 7, &err),
                     err);
    for (before = 100; more; before = left, parts++) {
        ck_assert_ok(store_metrics_trim(d.store, one, 20, &more, &err), err);
        left = 0;
        store_metrics_read(d.store, &(struct metric_query){.job = one, .to = INT64_MAX},
                           count_point, &left, &err);
        ck_assert_msg(before - left <= 21, "%d at once", before - left);
    }
    ck_assert_msg(left == 0 && parts > 4, "%d left after %d parts", left, parts);
    ck_assert_int_eq(store_metrics_offset(d.store, one), 0);
    left = 0;
    store_metrics_read(d.store, &(struct metric_query){.job = two, .to = INT64_MAX}, count_point,
                       &left, &err);
    ck_assert_int_eq(left, 100);
    rig_close(&d);
}
END_TEST

/* -- Plans and runs ------------------------------------------------------------------------------- */

/* What a plan with these names says; the rest of the folder is not to be touched. */
static void check_items(const struct json *plan, const char *const *names, size_t n)
{
    const struct json *items = js_get(plan, "items");
    int64_t bytes = 0;

    for (size_t i = 0; i < n; i++) {
        bool found = false;

        for (size_t k = 0; k < js_len(items); k++)
            found |= strcmp(js_string(js_get(js_at(items, k), "name"), ""), names[i]) == 0;
        ck_assert_msg(found, "%s is missing", names[i]);
    }
    for (size_t k = 0; k < js_len(items); k++)
        bytes += js_int(js_get(js_at(items, k), "size_bytes"), -1);
    ck_assert_int_eq(bytes, js_int(js_get(plan, "size_bytes"), -2));
    for (size_t k = 0; js_len(items) != n && k < js_len(items); k++)
        fprintf(stderr, "item %s\n", js_string(js_get(js_at(items, k), "name"), ""));
    ck_assert_uint_eq(js_len(items), n);
}

static const char *const waste[] = {
    J(1),
    OUT(3) "checkpoints/step-000000001.json",
    OUT(3) "checkpoints/step-000000001.safetensors",
    OUT(3) "checkpoints/step-000000002.json",
    OUT(3) "checkpoints/step-000000002.safetensors",
    OUT(4) "checkpoints/step-000000001.json",
    OUT(4) "checkpoints/step-000000001.safetensors",
    OUT(4) "metrics.jsonl.tmp-77",
    "jobs/" J(4) "/attempts/2",
    "jobs/" J(9),
    "cache/class_means/old.safetensors",
    "cache/teacher_outputs/old.safetensors",
    "state.db.before-2",
    "address.tmp-12",
};

static const char *const needed[] = {
    OUT(2) "result.json",
    OUT(3) "checkpoints/step-000000003.json",
    OUT(3) "checkpoints/step-000000003.safetensors",
    OUT(3) "student.safetensors",
    OUT(4) "checkpoints/step-000000002.json",
    OUT(4) "checkpoints/step-000000003.safetensors",
    "jobs/" J(4) "/attempts/1/token",
    OUT(5) "checkpoints/step-000000001.json",
    OUT(6) "checkpoints/step-000000001.json",
    OUT(7) "checkpoints/step-000000001.json",
    OUT(7) "metrics.jsonl.tmp-77",
    "jobs/" J(8) "/out/result.json",
    "cache/class_means/young.safetensors",
    "cache/teacher_outputs/lock",
    "state.db.before-3",
    "blobs/unknown",
    "jobs/notes.txt",
    "fresh.tmp-12",
};

/* 1: old. 2: old, and named. 3: succeeded lately. 4: failed lately. 5: named. 6: ended just now. 7: not over. 8: a
 * folder without a row, but young. 9: the same, and old. */
static void fill(struct daemon *d)
{
    static const char *const old[] = {"address.tmp-12",
                                      "state.db.before-2",
                                      "state.db.before-3",
                                      "blobs/unknown",
                                      "jobs/notes.txt",
                                      "cache/teacher_outputs/lock",
                                      "cache/class_means/old.safetensors",
                                      "cache/teacher_outputs/old.safetensors",
                                      OUT(3) "student.safetensors",
                                      OUT(4) "metrics.jsonl.tmp-77",
                                      OUT(7) "metrics.jsonl.tmp-77",
                                      "jobs/" J(4) "/attempts/1/token",
                                      "jobs/" J(4) "/attempts/2/token",
                                      OUT(9) "result.json"};
    struct job *running;

    add_job(d, 1, JOB_FAILED, 31);
    add_job(d, 2, JOB_SUCCEEDED, 31);
    add_job(d, 3, JOB_SUCCEEDED, 2);
    add_job(d, 4, JOB_FAILED, 2);
    add_job(d, 5, JOB_SUCCEEDED, 2);
    add_job(d, 6, JOB_CANCELLED, 0.5);
    running = rig_submit(d, 7);
    free(running->spec);
    running->spec =
        str_dup("{\"depends_on\":[{\"job\":\"" J(2) "\"}],\"student\":\"/x/" J(5) "/y\"}");
    for (int n = 3; n <= 7; n++)
        for (int step = 1; step <= 3; step++)
            for (int k = 0; k < 2; k++) {
                char *path = str_fmt("jobs/job_%026d/out/checkpoints/step-%09d.%s", n, step,
                                     k ? "json" : "safetensors");

                put(d, path, 40);
                free(path);
            }
    for (size_t i = 0; i < ARRAY_LEN(old); i++)
        put(d, old[i], 40);
    put(d, OUT(8) "result.json", 3);
    put(d, "cache/class_means/young.safetensors", 20);
    put(d, "fresh.tmp-12", 0);
}

static struct json *make_plan(struct daemon *d, const struct sockaddr_in *a)
{
    struct buf answer = buf_new(0);
    struct json *plan;

    ck_assert_int_eq(
        rig_ask(d, a, "POST", "/api/v1/gc:plan", "", "{\"retention_days\":30}", &answer), 200);
    plan = rig_json(&answer);
    buf_free(&answer);
    return plan;
}

static struct json *run_plan(struct daemon *d, const struct sockaddr_in *a, const struct json *plan)
{
    char *body = str_fmt("{\"plan\":\"%s\"}", js_string(js_get(plan, "plan"), ""));
    struct buf answer = buf_new(0);
    struct json *done;

    ck_assert_msg(rig_ask(d, a, "POST", "/api/v1/gc:run", "", body, &answer) == 200, "%s",
                  buf_text(&answer));
    done = rig_json(&answer);
    free(body);
    buf_free(&answer);
    return done;
}

static void check_left(struct daemon *d)
{
    for (size_t i = 0; i < ARRAY_LEN(needed); i++)
        ck_assert_msg(there(d, needed[i]), "%s is gone", needed[i]);
}

START_TEST(a_run_does_what_the_plan_says)
{
    struct json *plan, *done;
    struct buf answer = buf_new(0);
    struct sockaddr_in a;
    struct daemon d;

    rig_open(&d, "plan", 64);
    a = rig_serve(&d);
    d.settings.cache_days = 30;
    fill(&d);
    plan = make_plan(&d, &a);
    check_items(plan, waste, ARRAY_LEN(waste));
    for (size_t i = 1; i < ARRAY_LEN(waste); i++)
        ck_assert_msg(there(&d, waste[i]), "the plan has removed %s", waste[i]);
    done = run_plan(&d, &a, plan);
    ck_assert_int_eq(js_int(js_get(done, "removed"), 0), ARRAY_LEN(waste));
    ck_assert_int_eq(js_int(js_get(done, "size_bytes"), 0), js_int(js_get(plan, "size_bytes"), -1));
    ck_assert_int_eq(js_int(js_get(done, "failed"), -1) + js_int(js_get(done, "skipped"), -1), 0);
    check_left(&d);
    for (size_t i = 1; i < ARRAY_LEN(waste); i++)
        ck_assert_msg(!there(&d, waste[i]), "%s is still there", waste[i]);
    ck_assert(!there(&d, "jobs/" J(1)));
    ck_assert_int_eq(rig_ask(&d, &a, "GET", "/api/v1/jobs/" J(1), "", "", &answer), 410);
    ck_assert_int_eq(rig_ask(&d, &a, "GET", "/api/v1/jobs/" J(2), "", "", &answer), 200);
    js_free(done);
    js_free(plan);

    ck_assert_int_eq(rig_ask(&d, &a, "GET", "/api/v1/audit", "", "", &answer), 200);
    done = rig_json(&answer);
    ck_assert_str_eq(js_string(js_path(done, "items.0.path"), ""), "/api/v1/gc:run");
    ck_assert(str_starts(js_string(js_path(done, "items.0.subject"), ""), "gc_"));
    ck_assert_uint_eq(js_len(js_get(done, "items")), 1);
    js_free(done);
    plan = make_plan(&d, &a);
    check_items(plan, NULL, 0);
    js_free(plan);
    buf_free(&answer);
    rig_hang_up(&d);
    rig_close(&d);
}
END_TEST

/* One before the plan was made, one after it. A mark of nothing goes. */
START_TEST(what_is_pinned_is_not_collected)
{
    static const char *const items[] = {OUT(4) "checkpoints/step-000000002.json",
                                        OUT(4) "checkpoints/step-000000002.safetensors",
                                        OUT(4) "checkpoints/step-000000005.pinned"};
    struct json *plan, *done;
    struct sockaddr_in a;
    struct daemon d;

    rig_open(&d, "pins", 64);
    a = rig_serve(&d);
    add_job(&d, 4, JOB_FAILED, 2);
    for (int step = 1; step <= 4; step++)
        for (int k = 0; k < 2; k++) {
            char *path =
                str_fmt(OUT(4) "checkpoints/step-%09d.%s", step, k ? "json" : "safetensors");

            put(&d, path, 40);
            free(path);
        }
    put(&d, OUT(4) "checkpoints/step-000000001.pinned", 0);
    put(&d, OUT(4) "checkpoints/step-000000005.pinned", 0);
    plan = make_plan(&d, &a);
    check_items(plan, items, ARRAY_LEN(items));
    put(&d, OUT(4) "checkpoints/step-000000002.pinned", 0);
    done = run_plan(&d, &a, plan);
    ck_assert_int_eq(js_int(js_get(done, "removed"), -1), 1);
    ck_assert_int_eq(js_int(js_get(done, "skipped"), -1), 2);
    for (size_t i = 0; i < ARRAY_LEN(items); i++)
        ck_assert_msg(there(&d, items[i]) == (i < 2), "%s", items[i]);
    ck_assert(there(&d, OUT(4) "checkpoints/step-000000001.json"));
    js_free(done);
    js_free(plan);
    rig_hang_up(&d);
    rig_close(&d);
}
END_TEST

static void pin(struct daemon *d, const struct sockaddr_in *a, const char *job)
{
    char *path = str_fmt("/api/v1/jobs/%s/checkpoints/step-000000001", job);
    struct buf answer = buf_new(0);

    ck_assert_int_eq(rig_ask(d, a, "PATCH", path, "Content-Type: application/json\r\n",
                             "{\"pinned\": true}", &answer),
                     200);
    buf_free(&answer);
    free(path);
}

/* All of the job: one before the plan was made, and one after it. */
START_TEST(a_job_with_a_pinned_checkpoint_is_kept)
{
    static const char *const items[] = {J(2), J(3)};
    static const char *const notes[] = {OUT(1) "checkpoints/step-000000001",
                                        OUT(2) "checkpoints/step-000000001",
                                        OUT(3) "checkpoints/step-000000001"};
    struct json *plan, *done;
    struct sockaddr_in a;
    struct daemon d;

    rig_open(&d, "kept", 64);
    a = rig_serve(&d);
    d.settings.retention_days = 90;
    for (int n = 1; n <= 3; n++)
        add_job(&d, n, JOB_SUCCEEDED, 100);
    for (size_t i = 0; i < ARRAY_LEN(notes); i++)
        for (int k = 0; k < 2; k++) {
            char *path = str_fmt("%s.%s", notes[i], k ? "json" : "safetensors");

            put(&d, path, 100);
            free(path);
        }
    pin(&d, &a, J(1));
    plan = make_plan(&d, &a);
    check_items(plan, items, ARRAY_LEN(items));
    pin(&d, &a, J(2));
    done = run_plan(&d, &a, plan);
    ck_assert_int_eq(js_int(js_get(done, "removed"), -1), 1);
    ck_assert_int_eq(js_int(js_get(done, "skipped"), -1), 1);
    for (size_t i = 0; i < ARRAY_LEN(notes); i++) {
        char *path = str_fmt("%s.safetensors", notes[i]);

        ck_assert_msg(there(&d, path) == (i < 2), "%s", path);
        free(path);
    }
    js_free(done);
    js_free(plan);
    rig_hang_up(&d);
    rig_close(&d);
}
END_TEST

START_TEST(what_has_come_into_use_since_the_plan_is_left_alone)
{
    static const char *const spared[] = {"cache/class_means/old.safetensors", "address.tmp-12",
                                         OUT(4) "checkpoints/step-000000001.safetensors",
                                         OUT(3) "checkpoints/step-000000001.safetensors",
                                         OUT(1) "result.json"};
    struct json *plan, *done;
    struct sockaddr_in a;
    struct error err;
    struct daemon d;

    rig_open(&d, "since", 64);
    a = rig_serve(&d);
    d.settings.cache_days = 30;
    fill(&d);
    plan = make_plan(&d, &a);
    put(&d, "cache/class_means/old.safetensors", 0);
    put(&d, "address.tmp-12", 0);
    d.paused = true;
    ck_assert_ok(lifecycle_retry(&d, J(4), &err), err);
    add_user(&d, 10, J(1));
    add_user(&d, 11, "/s/" OUT(3) "checkpoints/step-000000001.safetensors");
    done = run_plan(&d, &a, plan);
    /* Two files, all four things in the folder of 4, as many in that of 3, and job 1. */
    ck_assert_int_eq(js_int(js_get(done, "skipped"), 0), 11);
    ck_assert_int_eq(js_int(js_get(done, "removed"), 0), ARRAY_LEN(waste) - 11);
    for (size_t i = 0; i < ARRAY_LEN(spared); i++)
        ck_assert_msg(there(&d, spared[i]), "%s is gone", spared[i]);
    check_left(&d);
    js_free(done);
    js_free(plan);
    rig_hang_up(&d);
    rig_close(&d);
}
END_TEST

/* An operator's link leads to a larger disk; one that a rank has made leads nowhere. */
START_TEST(jobs_may_lie_elsewhere)
{
    static const char *const first[] = {OUT(4) "checkpoints/step-000000001.json"};
    char *jobs, *elsewhere;
    struct buf answer = buf_new(0);
    struct json *plan, *done;
    struct sockaddr_in a;
    struct daemon d;

    rig_open(&d, "link", 64);
    a = rig_serve(&d);
    jobs = str_path(d.state_dir, "jobs");
    elsewhere = str_path(unit_dir(), "disk");
    ck_assert_int_eq(mkdir(elsewhere, 0700), 0);
    ck_assert_int_eq(symlink(elsewhere, jobs), 0);
    add_job(&d, 1, JOB_SUCCEEDED, 31);
    add_job(&d, 4, JOB_SUCCEEDED, 2);
    put(&d, first[0], 40);
    ck_assert_int_eq(
        rig_ask(&d, &a, "GET", "/api/v1/jobs/" J(1) "/artifacts/result.json", "", "", &answer),
        200);
    plan = make_plan(&d, &a);
    done = run_plan(&d, &a, plan);
    ck_assert_int_eq(js_int(js_get(done, "removed"), 0), 2);
    ck_assert_msg(js_int(js_get(done, "size_bytes"), 0) > 0, "nothing was measured");
    ck_assert(!there(&d, "jobs/" J(1)) && !there(&d, first[0]) && there(&d, OUT(4) "result.json"));
    js_free(plan);
    js_free(done);
    free(elsewhere);
    free(jobs);
    buf_free(&answer);
    rig_hang_up(&d);
    rig_close(&d);
}
END_TEST

START_TEST(caches_of_attempts_that_run_are_in_use)
{
    static const char *const old[] = {"cache/class_means/old.safetensors"};
    struct sockaddr_in a;
    struct json *plan;
    struct error err;
    struct daemon d;
    struct job *j;

    rig_open(&d, "in-use", 64);
    a = rig_serve(&d);
    d.settings.cache_days = 30;
    put(&d, "cache/class_means/old.safetensors", 60);
    put(&d, "cache/class_means/used.safetensors", 40);
    j = rig_submit(&d, 1);
    rig_set_state(&d, j, JOB_RUNNING);
    j->attempt = 1;
    ck_assert_ok(
        store_attempt_add(d.store, j->id, 1, clock_wall_ms() - 50 * DAY_MS, "x", "h:1", &err), err);
    plan = make_plan(&d, &a);
    check_items(plan, old, ARRAY_LEN(old));
    js_free(plan);
    d.settings.cache_days = 0;
    plan = make_plan(&d, &a);
    check_items(plan, NULL, 0);
    js_free(plan);
    rig_hang_up(&d);
    rig_close(&d);
}
END_TEST

START_TEST(only_the_newest_plan_is_run)
{
    static const struct {
        const char *path, *body;
        int status;
    } cases[] = {
        {"/api/v1/gc:run", "{\"plan\":\"gc_0123456789abcdef\"}", 404},
        {"/api/v1/gc:run", "{\"plan\":5}", 422},
        {"/api/v1/gc:run", "{\"days\":5}", 422},
        {"/api/v1/gc:plan", "{\"retention_days\":-1}", 422},
        {"/api/v1/gc:plan", "{\"retention_days\":\"x\"}", 422},
        {"/api/v1/gc:plan", "nothing", 400},
        {"/api/v1/gc:plan", "", 200},
        {"/api/v1/gc:run", "", 200},
        {"/api/v1/gc:run", "{}", 200},
    };
    struct buf answer = buf_new(0);
    struct json *first, *second;
    struct sockaddr_in a;
    struct daemon d;
    char *body;

    rig_open(&d, "newest", 64);
    a = rig_serve(&d);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        ck_assert_msg(rig_ask(&d, &a, "POST", cases[i].path, "", cases[i].body, &answer) ==
                          cases[i].status,
                      "case %zu: %s", i, buf_text(&answer));
    first = make_plan(&d, &a);
    second = make_plan(&d, &a);
    body = str_fmt("{\"plan\":\"%s\"}", js_string(js_get(first, "plan"), ""));
    ck_assert_int_eq(rig_ask(&d, &a, "POST", "/api/v1/gc:run", "", body, &answer), 404);
    js_free(run_plan(&d, &a, second));
    free(body);
    js_free(first);
    js_free(second);
    buf_free(&answer);
    rig_hang_up(&d);
    rig_close(&d);
}
END_TEST

START_TEST(a_daemon_with_a_retention_cleans_up_by_itself)
{
    struct daemon d;

    rig_open(&d, "hourly", 64);
    fill(&d);
    gc_hourly(&d);
    rig_turn(&d);
    ck_assert(there(&d, "jobs/" J(1)));
    d.settings.retention_days = 30;
    gc_hourly(&d);
    for (int i = 0; i < 1000 && there(&d, "jobs/" J(9)); i++)
        rig_turn(&d);
    settle(&d);
    ck_assert(!there(&d, "jobs/" J(1)) && !there(&d, "jobs/" J(9)));
    check_left(&d);
    rig_close(&d);
}
END_TEST

START_TEST(a_daemon_that_stops_leaves_the_rest)
{
    struct json *plan;
    struct sockaddr_in a;
    struct error err;
    struct daemon d;

    rig_open(&d, "stops", 64);
    a = rig_serve(&d);
    fill(&d);
    plan = make_plan(&d, &a);
    ck_assert_ok(gc_run(&d, js_string(js_get(plan, "plan"), ""), NULL, NULL, NULL, &err), err);
    ck_assert(!gc_run(&d, js_string(js_get(plan, "plan"), ""), NULL, NULL, NULL, &err));
    ck_assert_int_eq(err.code, ERR_CONFLICT);
    d.stopping = true;
    rig_hang_up(&d);
    rig_close(&d);
    js_free(plan);
    rig_open(&d, "stops", 64);
    check_left(&d);
    rig_close(&d);
}
END_TEST

/* -- What was stored before jobs could be removed --------------------------------------------------- */

START_TEST(an_older_file_keeps_what_names_jobs)
{
    static const char *const sqls[] = {
        "INSERT INTO job(id, name, kind, spec, ranks, threads, created_ms, state)"
        " VALUES('" J(1) "', 's', 'train', '{}', 1, 1, 1, 'succeeded')",
        "INSERT INTO job(id, name, kind, spec, ranks, threads, created_ms, state, sweep,"
        " sweep_index) VALUES('" J(2) "', 'c', 'train', '{}', 1, 1, 1, 'failed', '" J(1) "', 3)",
        "INSERT INTO model(name, version, kind, sha256, tensors_sha256, size, created_ms, job,"
        " about) VALUES('m', 1, 'train', 'a', 'b', 1, 1, '" J(1) "', '{}')",
        "INSERT INTO model(name, version, kind, sha256, tensors_sha256, size, created_ms, job,"
        " about) VALUES('m', 2, 'upload', 'a', 'b', 1, 1, NULL, '{}')",
        "INSERT INTO model_parent VALUES(2, 'teacher', 1)",
        "INSERT INTO reply(key, body_sha256, job, status, text, created_ms)"
        " VALUES('k', 'x', '" J(1) "', 202, 't', 1)",
    };
    char *path = str_path(unit_dir(), "older"), *file = str_path(path, "state.db");
    struct db_schema before = store_state_schema;
    struct stored_reply reply;
    struct error err;
    struct daemon d;
    struct job *j;
    struct db *db;

    ck_assert_ok(file_make_dirs(path, 0700, &err), err);
    before.version = 12; /* the last with references from one job to another */
    db = db_open(file, DB_SYNC_FULL, &before, &err);
    ck_assert_msg(db, "%s", err.msg);
    for (size_t i = 0; i < ARRAY_LEN(sqls); i++)
        ck_assert_ok(db_run(db_prepare(db, sqls[i], &err), &err), err);
    db_close(db);

    rig_open(&d, "older", 16);
    j = store_job_get(d.store, J(2), &err);
    ck_assert_msg(j && strcmp(j->origin.sweep, J(1)) == 0 && j->origin.index == 3, "%s", err.msg);
    job_destroy(j);
    purge_rows(&d, 1);
    ck_assert_int_eq(number(&d, "SELECT count(*) FROM model WHERE job='" J(1) "' AND seq=1"), 1);
    ck_assert_int_eq(number(&d, "SELECT count(*) FROM model WHERE job IS NULL AND seq=2"), 1);
    ck_assert_int_eq(number(&d, "SELECT count(*) FROM model_parent"), 1);
    ck_assert_ok(store_reply_find(d.store, "k", &reply, &err), err);
    ck_assert_str_eq(reply.job, J(1));
    free(reply.text);
    rig_close(&d);
    free(file);
    free(path);
}
END_TEST

/* -- Changes of a job ------------------------------------------------------------------------------- */

/* If-Match of the answer; free(). */
static char *tag_of(const struct buf *answer)
{
    const char *at = strcasestr(buf_text(answer), "\r\nETag: ");

    ck_assert_msg(at, "no tag: %s", buf_text(answer));
    ASSERT(at);
    at += strlen("\r\nETag: ");
    return str_fmt("If-Match: %.*s\r\n", (int)strcspn(at, "\r"), at);
}

START_TEST(a_change_is_made_to_what_was_seen)
{
    static const struct {
        int job;
        const char *match, *body; /* match NULL: the tag that it has */
        int status;
        const char *says;
    } cases[] = {
        {1, "", "{\"priority\":5}", 428, "If-Match"},
        {1, "If-Match: \"x\"\r\n", "{\"priority\":5}", 412, "has changed"},
        {1, NULL, "{\"priority\":\"x\"}", 422, "#/priority"},
        {1, NULL, "{\"priority\":3000000000}", 422, "#/priority"},
        {1, NULL, "{\"ranks\":3}", 422, "ranks"},
        {1, NULL, "{\"name\":\"\"}", 422, "128 bytes"},
        {1, NULL, "{\"labels\":{\"a\":1}}", 422, "#/labels"},
        {1, NULL, "{\"labels\":{\"a:b\":\"c\"}}", 422, "got \\\"a:b\\\""},
        {1, NULL, "{\"labels\":{\"a\":\"\\u0007\"}}", 422, "control characters"},
        {1, NULL, "{}", 200, "\"priority\":0"},
        {1, NULL, "{\"priority\":5,\"name\":\"other\",\"labels\":{\"team\":\"edge\"}}", 200,
         "\"priority\":5"},
        {1, "If-Match: *\r\n", "{\"priority\":6}", 200, "\"priority\":6"},
        {2, NULL, "{\"name\":\"over\"}", 200, "\"name\":\"over\""},
        {2, NULL, "{\"priority\":6}", 409, "no place in the queue"},
        {9, "If-Match: *\r\n", "{\"priority\":6}", 404, ""},
    };
    struct buf answer = buf_new(0);
    char id[JOB_ID_SIZE];
    struct sockaddr_in a;
    struct error err;
    struct daemon d;
    struct job *j;

    rig_open(&d, "change", 64);
    d.paused = true;
    a = rig_serve(&d);
    rig_submit(&d, 1);
    add_job(&d, 2, JOB_SUCCEEDED, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *path = str_fmt("/api/v1/jobs/%s", id_of(cases[i].job, id)), *tag = NULL;
        int status;

        if (!cases[i].match) {
            ck_assert_int_eq(rig_ask(&d, &a, "GET", path, "", "", &answer), 200);
            tag = tag_of(&answer);
        }
        status = rig_ask(&d, &a, "PATCH", path, tag ? tag : cases[i].match, cases[i].body, &answer);
        ck_assert_msg(status == cases[i].status && strstr(buf_text(&answer), cases[i].says),
                      "case %zu: %s", i, buf_text(&answer));
        if (status == 200)
            free(tag_of(&answer));
        free(tag);
        free(path);
    }
    ck_assert_int_eq(rig_ask(&d, &a, "GET", "/api/v1/jobs?label=team:edge", "", "", &answer), 200);
    ck_assert(strstr(buf_text(&answer), "\"name\":\"other\""));
    ck_assert_int_eq(rig_ask(&d, &a, "GET", "/api/v1/jobs/" J(1) "/events", "", "", &answer), 200);
    ck_assert_msg(strstr(buf_text(&answer), "priority 0 became 5"), "%s", buf_text(&answer));
    ck_assert_int_eq(number(&d, "SELECT count(*) FROM audit WHERE method='PATCH'"), 3);
    rig_hang_up(&d);
    rig_close(&d);
    rig_open(&d, "change", 64);
    j = store_job_get(d.store, id_of(1, id), &err);
    ck_assert_msg(j && j->priority == 6 && strcmp(j->name, "other") == 0 &&
                      strstr(j->spec, "\"priority\":6"),
                  "%s", err.msg);
    job_destroy(j);
    buf_free(&answer);
    rig_close(&d);
}
END_TEST

START_TEST(of_two_changes_the_second_is_told)
{
    struct buf answer = buf_new(0);
    struct sockaddr_in a;
    struct daemon d;
    struct job *j;
    char *tag;

    rig_open(&d, "two", 64);
    d.paused = true;
    a = rig_serve(&d);
    j = rig_submit(&d, 1);
    ck_assert_int_eq(rig_ask(&d, &a, "GET", "/api/v1/jobs/" J(1), "", "", &answer), 200);
    tag = tag_of(&answer);
    j->progress.step += 5; /* which nobody decides upon */
    ck_assert_int_eq(
        rig_ask(&d, &a, "PATCH", "/api/v1/jobs/" J(1), tag, "{\"priority\":1}", &answer), 200);
    ck_assert_int_eq(
        rig_ask(&d, &a, "PATCH", "/api/v1/jobs/" J(1), tag, "{\"priority\":2}", &answer), 412);
    ck_assert_int_eq(j->priority, 1);
    buf_free(&answer);
    free(tag);
    rig_hang_up(&d);
    rig_close(&d);
}
END_TEST

START_TEST(a_priority_changes_the_place_in_line)
{
    struct buf answer = buf_new(0);
    struct sockaddr_in a;
    struct daemon d;

    rig_open(&d, "line", 64);
    d.paused = true;
    a = rig_serve(&d);
    for (int n = 1; n <= 3; n++)
        rig_submit(&d, n);
    ck_assert_int_eq(rig_ask(&d, &a, "PATCH", "/api/v1/jobs/" J(3), "If-Match: *\r\n",
                             "{\"priority\":9}", &answer),
                     200);
    rig_turn(&d);
    ck_assert_uint_eq(d.line.n, 3);
    ck_assert_int_eq(d.line.at[0].seq, d.active.at[2]->job->seq);
    buf_free(&answer);
    rig_hang_up(&d);
    rig_close(&d);
}
END_TEST

UNIT_MAIN(a_removed_job_is_gone_for_good, what_is_needed_is_not_removed, a_sweep_goes_with_its_jobs,
          a_sweep_stays_while_a_job_of_it_goes_on, what_a_kill_leaves_goes_at_the_next_start,
          points_go_in_parts, a_run_does_what_the_plan_says, what_is_pinned_is_not_collected,
          a_job_with_a_pinned_checkpoint_is_kept,
          what_has_come_into_use_since_the_plan_is_left_alone, jobs_may_lie_elsewhere,
          caches_of_attempts_that_run_are_in_use, only_the_newest_plan_is_run,
          a_daemon_with_a_retention_cleans_up_by_itself, a_daemon_that_stops_leaves_the_rest,
          an_older_file_keeps_what_names_jobs, a_change_is_made_to_what_was_seen,
          of_two_changes_the_second_is_told, a_priority_changes_the_place_in_line)
