#include "daemon/backup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/db.h"
#include "daemon/store.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"

enum {
    /* Ids of events that may have been given since the copy was made. */
    EVENTS_SINCE = 1 << 30
};

static atomic_flag busy = ATOMIC_FLAG_INIT;
static atomic_bool outdated;

char *backup_path(const char *state_dir)
{
    return str_path(state_dir, "backup/state.db");
}

bool backup_make(const char *state_dir, struct error *err)
{
    char *from = str_path(state_dir, "state.db"), *to = backup_path(state_dir);
    char *folder = str_path(state_dir, "backup");
    bool ok;

    if (atomic_flag_test_and_set(&busy)) {
        ok = err_set(err, ERR_CONFLICT, "a copy is being made already");
    } else {
        ok = file_make_dirs(folder, 0700, err) && db_copy(from, to, err);
        atomic_flag_clear(&busy);
    }
    free(folder);
    free(to);
    free(from);
    return ok;
}

/* -- Every hour --------------------------------------------------------------------------------------- */

struct round {
    uv_work_t work;
    char *state_dir;
    struct error err;
    bool ok;
};

static bool is_fresh(const char *state_dir)
{
    char *path = backup_path(state_dir);
    struct stat st;
    bool fresh = stat(path, &st) == 0 &&
                 clock_wall_ms() / 1000 - st.st_mtim.tv_sec < BACKUP_MINUTES * INT64_C(60);

    free(path);
    return fresh;
}

void backup_outdated(void)
{
    atomic_store(&outdated, true);
}

/* Nothing that is damaged takes the place of a copy that is not. */
static void make_round(uv_work_t *w)
{
    struct round *r = w->data;
    char *path = str_path(r->state_dir, "state.db");

    r->ok = db_check(path, &r->err);
    if (r->ok && (atomic_load(&outdated) || !is_fresh(r->state_dir))) {
        r->ok = backup_make(r->state_dir, &r->err);
        atomic_store(&outdated, !r->ok && atomic_load(&outdated));
    }
    free(path);
}

static void round_made(uv_work_t *w, int status)
{
    struct round *r = w->data;

    if (status == 0 && !r->ok)
        log_error("the state is not copied error=\"%s\"", r->err.msg);
    free(r->state_dir);
    free(r);
}

void backup_hourly(struct daemon *d)
{
    struct round *r = NEW(struct round);

    r->work.data = r;
    r->state_dir = str_dup(d->state_dir);
    if (uv_queue_work(&d->loop, &r->work, make_round, round_made) != 0)
        round_made(&r->work, -1);
}

/* -- The way back ------------------------------------------------------------------------------------- */

/* SQLite keeps what is not in the file yet beside it. */
static bool set_aside(const char *path, struct error *err)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    const int64_t now = clock_wall_ms();

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        char *from = str_fmt("%s%s", path, suffixes[i]);
        char *to = str_fmt("%s.damaged-%" PRId64 "%s", path, now, suffixes[i]);
        bool ok = (link(from, to) == 0 && unlink(from) == 0) || errno == ENOENT ||
                  err_set(err, ERR_IO, "setting %s aside: %s", from, strerror(errno));

        if (ok && i == 0)
            log_warn("set aside file=%s", to);
        free(from);
        free(to);
        if (!ok)
            return false;
    }
    return true;
}

/* Clients go on by the ids of events: none is given twice. And what has happened since has to be looked for. */
static bool mark(const char *path, int64_t copied_ms, struct error *err)
{
    static const char skip[] = "UPDATE counter SET value=value+? WHERE name='event'";
    static const char note[] = "INSERT OR REPLACE INTO setting VALUES('" STORE_RECOVERED "', ?)";

    return db_change(path, skip, EVENTS_SINCE, err) &&
           db_change(path, note, copied_ms > 0 ? copied_ms : 1, err);
}

static char *marked_path(const char *path)
{
    return str_fmt("%s.marked", path);
}

/* The copy takes the place of `path` with its marks, or not at all. */
static bool put_marked(const char *copy, int64_t copied_ms, const char *path, struct error *err)
{
    char *marked = marked_path(path);
    bool ok = db_copy(copy, marked, err) && mark(marked, copied_ms, err) && set_aside(path, err) &&
              db_copy(marked, path, err);

    unlink(marked);
    free(marked);
    return ok;
}

static bool take_copy(const char *copy, const char *path, struct error *err)
{
    char text[CLOCK_TEXT];
    struct stat st;
    int64_t copied_ms;

    if (stat(copy, &st) != 0)
        return err_set(err, ERR_DATA, "%s is not there: no copy has been made", copy);
    if (!db_check(copy, err))
        return err_wrap(err, "the copy");
    copied_ms = (int64_t)st.st_mtim.tv_sec * 1000;
    if (!put_marked(copy, copied_ms, path, err))
        return false;
    log_warn("recovered from the copy of %s; of what came since then, only jobs that have begun "
             "are known",
             clock_text(copied_ms, text));
    return true;
}

/* SQLite takes a file without a byte for a new one. */
static bool is_gone(const char *path, struct error *why)
{
    struct stat st;

    if (stat(path, &st) == 0 && st.st_size > 0)
        return false;
    err_set(why, ERR_DATA, "%s is %s", path, file_exists(path) ? "empty" : "not there");
    return true;
}

bool backup_check(const char *state_dir, struct error *err)
{
    char *path = str_path(state_dir, "state.db"), *copy = backup_path(state_dir);
    struct error why;
    bool ok = !file_exists(copy) || !is_gone(path, &why) ||
              err_set(err, ERR_DATA,
                      "%.400s, and there is a copy of it: distilld --recover takes that; to begin "
                      "anew, remove %.400s",
                      why.msg, copy);

    free(copy);
    free(path);
    return ok;
}

bool backup_recover(const char *state_dir, struct error *err)
{
    char *path = str_path(state_dir, "state.db"), *copy = backup_path(state_dir);
    char *metrics = str_path(state_dir, "metrics.db"), *marked = marked_path(path);
    struct error why;
    bool ok = !is_gone(path, &why) && db_check(path, &why);

    unlink(marked); /* of a way back that was cut short */
    if (ok)
        log_info("nothing to recover: the file is whole file=%s", path);
    else
        log_warn("recovering file=%s error=\"%s\"", path, why.msg);
    ok = ok || take_copy(copy, path, err);
    if (ok && file_exists(metrics) && !db_check(metrics, &why)) {
        log_warn("recovering file=%s error=\"%s\"", metrics, why.msg);
        ok = set_aside(metrics, err);
    }
    free(marked);
    free(metrics);
    free(copy);
    free(path);
    return ok;
}
