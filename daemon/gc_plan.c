/* Looks through the state folder, with a connection of its own to state.db. Folders are listed before it reads there, so
 * that what is listed has its row, if it ever had one. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/attempts.h"
#include "daemon/gc.h"
#include "daemon/secret.h"
#include "proto/base/clock.h"
#include "proto/base/pinned.h"
#include "proto/base/str.h"
#include "proto/base/tree.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)

enum {
    JOBS_MAX = 10000,   /* of a plan */
    PAGE = 1000,        /* jobs of a sweep, looked up at a time */
    SETTLED_DAYS = 1,   /* since a job ended, or a file was written: nobody is at it any more */
    ORPHAN_DAYS = 7,    /* whoever goes back to an old copy of state.db may want to have them */
    CLOCKS_MS = 3600000 /* by which those of hosts may differ */
};

static const struct {
    const char *name, *why;
} kinds[GC_KIND_COUNT] = {
    [GC_JOB] = {"job", "ended longer ago than the retention"},
    [GC_CHECKPOINT] = {"checkpoint", "the job is over, and a later one is kept"},
    [GC_CACHE] = {"cache", "has not been used for long, and can be computed again"},
    [GC_ORPHAN] = {"orphan", "belongs to no job, or to no attempt of its job"},
    [GC_TEMPORARY] = {"temporary", "what was writing it was killed"},
    [GC_COPY] = {"copy", "made before a change of schema, and a later one is kept"},
};

const char *gc_kind_name(enum gc_kind k)
{
    return kinds[k].name;
}

const char *gc_kind_why(enum gc_kind k)
{
    return kinds[k].why;
}

typedef VEC(char *) names;

struct scan {
    const struct gc_rules *rules;
    struct gc_plan *plan;
    struct store *store;
    int state;  /* STATE */
    names gone; /* jobs that the plan removes as wholes, sorted */
};

/* -- Rules -------------------------------------------------------------------------------------------- */

/* Each attempt uses its caches once it has begun. */
static int64_t in_use_since(struct daemon *d)
{
    int64_t since = INT64_MAX;

    for (size_t i = 0; i < d->active.n; i++) {
        const struct job *j = d->active.at[i]->job;
        int64_t began = attempts_running(d->active.at[i])
                            ? store_attempt_started_ms(d->store, j->id, j->attempt)
                            : INT64_MAX;

        since = began < since ? began : since;
    }
    return since == INT64_MAX ? since : since - CLOCKS_MS;
}

void gc_rules_take(struct daemon *d, int64_t retention_days, struct gc_rules *r)
{
    *r = (struct gc_rules){.state_dir = str_dup(d->state_dir),
                           .now_ms = clock_wall_ms(),
                           .in_use_ms = in_use_since(d),
                           .number = gc_next_number(d),
                           .cache_ms = d->settings.cache_days * DAY_MS};
    r->retention_ms = (retention_days < 0 ? d->settings.retention_days : retention_days) * DAY_MS;
    named_take(d, &r->named);
}

void gc_rules_free(struct gc_rules *r)
{
    named_free(&r->named);
    free(r->state_dir);
}

/* -- Names -------------------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_names(names *n)
{
    if (n->n)
        qsort(n->at, n->n, sizeof(*n->at), by_text);
}

static void free_names(names *n)
{
    for (size_t i = 0; i < n->n; i++)
        free(n->at[i]);
    vec_free(n);
}

static bool read_names(DIR *dir, names *n)
{
    const struct dirent *e;

    for (errno = 0; (e = readdir(dir)); errno = 0)
        if (e->d_name[0] != '.')
            vec_push(n, str_dup(e->d_name));
    return errno == 0;
}

/* The names in a folder below STATE, sorted; none where it is not there. False when it cannot be read. */
static bool read_folder(const struct scan *s, const char *path, names *n)
{
    struct error err;
    int fd = daemon_open_below(s->state, path, &err);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    bool ok = dir ? read_names(dir, n) : fd < 0 && err.code == ERR_NOT_FOUND;

    if (dir)
        closedir(dir);
    else if (fd >= 0)
        close(fd);
    sort_names(n);
    return ok;
}

/* Those that can be read. */
static names list_folder(const struct scan *s, const char *path)
{
    names n = {0};

    read_folder(s, path, &n);
    return n;
}

static int64_t changed_ms(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
}

/* -- Items -------------------------------------------------------------------------------------------- */

static void add_item(struct scan *s, enum gc_kind kind, char *take_name, const struct tree *size,
                     int64_t stamp_ms)
{
    struct gc_item i = {.kind = kind,
                        .name = take_name,
                        .files = size->files,
                        .bytes = size->bytes,
                        .stamp_ms = stamp_ms};

    vec_push(&s->plan->items, i);
    s->plan->files += i.files;
    s->plan->bytes += i.bytes;
}

/* A file that was not changed for so long. */
static void add_file(struct scan *s, enum gc_kind kind, const char *folder, const char *name,
                     int64_t before_ms)
{
    char *path = *folder ? str_fmt("%s/%s", folder, name) : str_dup(name);
    struct tree size = {0};
    struct stat st;
    int fd = daemon_open_below(s->state, folder, NULL);

    if (fd >= 0 && fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
        changed_ms(&st) < before_ms && tree_measure(fd, name, &size, NULL)) {
        add_item(s, kind, path, &size, changed_ms(&st));
        path = NULL;
    }
    if (fd >= 0)
        close(fd);
    free(path);
}

/* A folder in which nothing was changed for so long. */
static void add_folder(struct scan *s, enum gc_kind kind, const char *folder, const char *name,
                       int64_t before_ms)
{
    struct tree size = {0};
    int fd = daemon_open_below(s->state, folder, NULL);

    if (fd >= 0 && tree_measure(fd, name, &size, NULL) && size.newest_ms < before_ms)
        add_item(s, kind, str_fmt("%s/%s", folder, name), &size, size.newest_ms);
    if (fd >= 0)
        close(fd);
}

/* "x.tmp-123": file.h. */
static bool is_temporary(const char *name)
{
    const char *at = NULL, *next = name;

    while ((next = strstr(next, ".tmp-")))
        at = next += strlen(".tmp-");
    return at && *at && strspn(at, "0123456789") == strlen(at);
}

static void add_temporaries(struct scan *s, const char *folder)
{
    names n = list_folder(s, folder);

    for (size_t i = 0; i < n.n; i++)
        if (is_temporary(n.at[i]))
            add_file(s, GC_TEMPORARY, folder, n.at[i], s->rules->now_ms - SETTLED_DAYS * DAY_MS);
    free_names(&n);
}

/* -- Files of checkpoints ------------------------------------------------------------------------------ */

static const char note_end[] = ".json", tensors_end[] = ".safetensors";

/* "step-000000123" of one of the files of a checkpoint; NULL for other names. free() */
static char *step_of(const char *name)
{
    static const char *const ends[] = {note_end, tensors_end, PINNED_EXT};

    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        if (pinned_step(name, ends[i]) >= 0)
            return str_ndup(name, strlen(name) - strlen(ends[i]));
    return NULL;
}

static bool has(const names *n, const char *step, const char *end)
{
    char *name = str_fmt("%s%s", step, end);
    bool found = n->n && bsearch(&name, n->at, n->n, sizeof(*n->at), by_text);

    free(name);
    return found;
}

static bool is_whole(const names *n, const char *step)
{
    return has(n, step, note_end) && has(n, step, tensors_end);
}

static bool is_pinned(const names *n, const char *step)
{
    return is_whole(n, step) && has(n, step, PINNED_EXT);
}

/* What cannot be looked at may be pinned. */
static bool has_pinned(const struct scan *s, const char *id)
{
    char *folder = str_fmt("jobs/%s/out/checkpoints", id);
    names n = {0};
    bool found = !read_folder(s, folder, &n);

    for (size_t i = 0; !found && i < n.n; i++) {
        char *step = str_ends(n.at[i], PINNED_EXT) ? step_of(n.at[i]) : NULL;

        found = step && is_pinned(&n, step);
        free(step);
    }
    free_names(&n);
    free(folder);
    return found;
}

/* -- Jobs that are old -------------------------------------------------------------------------------- */

struct old_job {
    char id[JOB_ID_SIZE];
    int64_t ended_ms;
    bool is_sweep;
};
struct old_jobs {
    VEC(struct old_job) list;
};

static void add_old(const struct ended_row *row, void *arg)
{
    struct old_jobs *old = arg;
    struct old_job j = {.ended_ms = row->ended_ms, .is_sweep = row->sweep_total > 0};

    snprintf(j.id, sizeof(j.id), "%s", row->id);
    vec_push(&old->list, j);
}

static void measure_job(struct scan *s, const char *id, void *arg)
{
    struct tree *size = arg;
    int jobs = daemon_open_below(s->state, "jobs", NULL);

    if (jobs >= 0) {
        tree_measure(jobs, id, size, NULL);
        close(jobs);
    }
    vec_push(&s->gone, str_dup(id));
}

struct sweep_page {
    names ids;
    int64_t last;
};

static void add_child(const char *id, int64_t index, void *arg)
{
    struct sweep_page *page = arg;

    vec_push(&page->ids, str_dup(id));
    page->last = index;
}

static bool each_of_sweep(struct scan *s, const char *id,
                          void (*visit)(struct scan *s, const char *id, void *arg), void *arg,
                          struct error *err)
{
    struct sweep_page page = {.last = -1};
    bool ok = true, more = true;

    while (ok && more) {
        ok = store_sweep_ids(s->store, id, page.last, PAGE, add_child, &page, err);
        more = page.ids.n > 0;
        for (size_t i = 0; i < page.ids.n; i++)
            visit(s, page.ids.at[i], arg);
        free_names(&page.ids);
    }
    return ok;
}

static void look_for_pinned(struct scan *s, const char *id, void *arg)
{
    bool *found = arg;

    *found = *found || has_pinned(s, id);
}

static bool add_old_job(struct scan *s, const struct old_job *j, struct error *err)
{
    struct tree size = {0};
    bool pinned = false;

    look_for_pinned(s, j->id, &pinned);
    if (j->is_sweep && !each_of_sweep(s, j->id, look_for_pinned, &pinned, err))
        return false;
    if (pinned || named_by(&s->rules->named, j->id))
        return true;
    measure_job(s, j->id, &size);
    if (j->is_sweep && !each_of_sweep(s, j->id, measure_job, &size, err))
        return false;
    add_item(s, GC_JOB, str_dup(j->id), &size, j->ended_ms);
    return true;
}

static bool look_for_old(struct scan *s, struct error *err)
{
    struct old_jobs old = {0};
    bool ok;

    if (!s->rules->retention_ms)
        return true;
    ok = store_ended_before(s->store, s->rules->now_ms - s->rules->retention_ms, JOBS_MAX + 1,
                            add_old, &old, err);
    s->plan->more = old.list.n > JOBS_MAX;
    for (size_t i = 0; ok && i < old.list.n && i < JOBS_MAX; i++)
        ok = add_old_job(s, &old.list.at[i], err);
    vec_free(&old.list);
    sort_names(&s->gone);
    return ok;
}

/* -- Checkpoints -------------------------------------------------------------------------------------- */

/* A job that succeeded is not run again: the newest is for people. Any other one may go on from its newest, or from the
 * one before should that be damaged. */
static size_t kept_checkpoints(enum job_state s)
{
    return s == JOB_SUCCEEDED ? 1 : 2;
}

/* From the newest: names of steps have one length. The .json goes first: without it a checkpoint does not count. */
static void add_checkpoints(struct scan *s, const char *folder, size_t keep)
{
    names n = list_folder(s, folder), steps = {0};

    for (size_t i = 0; i < n.n; i++) {
        char *step = step_of(n.at[i]);

        if (step && (!steps.n || strcmp(steps.at[steps.n - 1], step) != 0))
            vec_push(&steps, step);
        else
            free(step);
    }
    for (size_t i = steps.n; i-- > 0;) {
        const char *step = steps.at[i];
        char *note = str_fmt("%s%s", step, note_end), *tensors = str_fmt("%s%s", step, tensors_end),
             *mark = str_fmt("%s%s", step, PINNED_EXT);

        if (is_pinned(&n, step)) {
            /* and it does not count */
        } else if (keep && is_whole(&n, step)) {
            keep--;
        } else {
            add_file(s, GC_CHECKPOINT, folder, mark, INT64_MAX); /* of nothing */
            add_file(s, GC_CHECKPOINT, folder, note, INT64_MAX);
            add_file(s, GC_CHECKPOINT, folder, tensors, INT64_MAX);
        }
        free(note);
        free(tensors);
        free(mark);
    }
    free_names(&steps);
    free_names(&n);
}

/* -- Folders of jobs ---------------------------------------------------------------------------------- */

static void look_at_attempts(struct scan *s, const char *id, const char *folder)
{
    names n = list_folder(s, folder);
    int64_t number;

    for (size_t i = 0; i < n.n; i++) {
        char *path = str_fmt("%s/%s", folder, n.at[i]);

        if (str_int(n.at[i], 1, INT64_MAX, &number) && !store_attempt_exists(s->store, id, number))
            add_folder(s, GC_ORPHAN, folder, n.at[i], s->rules->now_ms - ORPHAN_DAYS * DAY_MS);
        else
            add_temporaries(s, path);
        free(path);
    }
    free_names(&n);
}

/* Of a job that is over, and stays. */
static void look_into(struct scan *s, const struct ended_row *row)
{
    static const char *const folders[] = {"", "/out", "/out/checkpoints"};
    char *path;

    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        path = str_fmt("jobs/%s%s", row->id, folders[i]);
        add_temporaries(s, path);
        free(path);
    }
    path = str_fmt("jobs/%s/out/checkpoints", row->id);
    add_checkpoints(s, path, kept_checkpoints(row->state));
    free(path);
    path = str_fmt("jobs/%s/attempts", row->id);
    look_at_attempts(s, row->id, path);
    free(path);
}

static bool look_at_job(struct scan *s, char *id, struct error *err)
{
    const int64_t settled = s->rules->now_ms - SETTLED_DAYS * DAY_MS;
    struct ended_row row;

    if (!id_valid(id) || named_by(&s->rules->named, id) ||
        (s->gone.n && bsearch(&id, s->gone.at, s->gone.n, sizeof(id), by_text)))
        return true;
    if (store_ended(s->store, id, &row, err)) {
        if (row.state != JOB_STATE_COUNT && row.ended_ms && row.ended_ms < settled)
            look_into(s, &row);
    } else if (err->code == ERR_NOT_FOUND) {
        add_folder(s, GC_ORPHAN, "jobs", id, s->rules->now_ms - ORPHAN_DAYS * DAY_MS);
    } else {
        return false;
    }
    return true;
}

static bool look_at_jobs(struct scan *s, const names *folders, struct error *err)
{
    for (size_t i = 0; i < folders->n; i++)
        if (!look_at_job(s, folders->at[i], err))
            return false;
    return true;
}

/* -- What else lies there ----------------------------------------------------------------------------- */

static void look_for_caches(struct scan *s)
{
    static const char *const folders[] = {"cache/class_means", "cache/teacher_outputs",
                                          "cache/data"};
    const int64_t old = s->rules->now_ms - s->rules->cache_ms;
    const int64_t before = old < s->rules->in_use_ms ? old : s->rules->in_use_ms;

    for (size_t f = 0; f < ARRAY_LEN(folders); f++) {
        names n = list_folder(s, folders[f]);

        add_temporaries(s, folders[f]);
        for (size_t i = 0; s->rules->cache_ms && i < n.n; i++)
            if (strcmp(n.at[i], "lock") != 0 && !is_temporary(n.at[i]))
                add_file(s, GC_CACHE, folders[f], n.at[i], before);
        free_names(&n);
    }
}

/* "state.db.before-12"; 0 for other names. */
static int64_t copy_number(const char *name, const char *base)
{
    char *start = str_fmt("%s.before-", base);
    int64_t number = 0;

    if (str_starts(name, start))
        str_int(name + strlen(start), 1, INT64_MAX, &number);
    free(start);
    return number;
}

static void look_for_copies(struct scan *s)
{
    static const char *const bases[] = {"state.db", "metrics.db"};
    names n = list_folder(s, "");

    for (size_t b = 0; b < ARRAY_LEN(bases); b++) {
        int64_t newest = 0, number;

        for (size_t i = 0; i < n.n; i++) {
            number = copy_number(n.at[i], bases[b]);
            newest = number > newest ? number : newest;
        }
        for (size_t i = 0; i < n.n; i++) {
            number = copy_number(n.at[i], bases[b]);
            if (number && number < newest)
                add_file(s, GC_COPY, "", n.at[i], INT64_MAX);
        }
    }
    free_names(&n);
}

/* -- The plan ----------------------------------------------------------------------------------------- */

static bool look(struct scan *s, struct error *err)
{
    names folders = list_folder(s, "jobs");
    bool ok;

    s->store = store_open_reader(s->rules->state_dir, err);
    ok = s->store && look_for_old(s, err) && look_at_jobs(s, &folders, err);
    look_for_caches(s);
    look_for_copies(s);
    add_temporaries(s, "");
    add_temporaries(s, "backup");
    store_close(s->store);
    free_names(&s->gone);
    free_names(&folders);
    return ok;
}

static void name_plan(struct gc_plan *p)
{
    unsigned char bytes[8];

    secret_bytes(bytes, sizeof(bytes));
    snprintf(p->id, sizeof(p->id), "gc_");
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(p->id + 3 + 2 * i, sizeof(p->id) - 3 - 2 * i, "%02x", bytes[i]);
}

struct gc_plan *gc_plan_make(const struct gc_rules *r, struct error *err)
{
    struct gc_plan *p = NEW(struct gc_plan);
    struct scan s = {.rules = r, .plan = p};
    bool ok;

    p->made_ms = r->now_ms;
    p->number = r->number;
    name_plan(p);
    s.state = open(r->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ok = s.state >= 0 ? look(&s, err)
                      : err_set(err, ERR_IO, "open %s: %s", r->state_dir, strerror(errno));
    if (s.state >= 0)
        close(s.state);
    if (ok)
        return p;
    gc_plan_free(p);
    return NULL;
}

void gc_plan_free(struct gc_plan *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->items.n; i++)
        free(p->items.at[i].name);
    vec_free(&p->items);
    free(p);
}

static bool is_as_it_was(int folder, const char *name, const struct gc_item *i, struct error *err)
{
    struct tree now = {0};

    if (!tree_measure(folder, name, &now, err))
        return false;
    return now.newest_ms == i->stamp_ms ||
           err_set(err, ERR_CONFLICT, now.newest_ms ? "has changed since" : "is gone already");
}

/* It may have been pinned since the plan was made. */
static bool remove_checkpoint(int folder, const char *name, struct error *err)
{
    char *step = step_of(name);
    int lock = pinned_hold(folder, step, err);
    bool ok = lock >= 0 && tree_remove(folder, name, err);

    if (lock >= 0)
        close(lock);
    free(step);
    return ok;
}

bool gc_item_remove(int state, const struct gc_item *i, struct error *err)
{
    const char *slash = strrchr(i->name, '/');
    char *folder = str_ndup(i->name, slash ? (size_t)(slash - i->name) : 0);
    const char *name = slash ? slash + 1 : i->name;
    int fd = daemon_open_below(state, folder, err);
    bool ok =
        fd >= 0 && is_as_it_was(fd, name, i, err) &&
        (i->kind == GC_CHECKPOINT ? remove_checkpoint(fd, name, err) : tree_remove(fd, name, err));

    if (fd >= 0)
        close(fd);
    free(folder);
    return ok || err_wrap(err, "%s", i->name);
}
