/* The log that commits go into, and its way back into the file. */
#include "daemon/db_parts.h"

enum {
    /* So many are worth writing back. Few, because commits wait for the disk meanwhile: each a little is better than a few
     * long. */
    LOG_PAGES = 100,
    /* Under a load that never rests others follow while they are, and the log cannot begin anew: of one that is so long
     * the loop's thread writes back the last few itself, */
    LOG_PAGES_LONG = 1000,
    LOG_PAGES_LAST = 250,
    LOG_PAGES_MAX = 4000 /* and of one as long as this all: it waits for the disk then */
};

/* The extended code. *pages: of the log that are in the file, before and after. At most one thread does this at a time, and
 * none begins what another one has just ended: SQLite before 3.51.3 can lose commits where the log begins anew meanwhile
 * (its "WAL-reset bug"). */
static int write_back(sqlite3 *handle, int *pages)
{
    const int before = *pages;
    int log;

    if (sqlite3_wal_checkpoint_v2(handle, "main", SQLITE_CHECKPOINT_PASSIVE, &log, pages) !=
        SQLITE_OK)
        return sqlite3_extended_errcode(handle);
    /* SQLite leaves that to the one that comes to the end of the log. None gets far while a copy is being made. */
    return *pages != before && *pages < log ? db_sync_handle(handle, SQLITE_FCNTL_FILE_POINTER)
                                            : SQLITE_OK;
}

static void write_back_here(struct db *db)
{
    int pages = db->written_back, code;

    pthread_mutex_lock(&db->back.lock);
    db->back.taken = true;
    code = write_back(db->handle, &pages);
    pthread_mutex_unlock(&db->back.lock);
    if (code == SQLITE_OK)
        db->written_back = pages;
    else if ((code & 0xff) != SQLITE_BUSY)
        db_note_failure(db, code, sqlite3_errstr(code));
}

/* Takes the place of SQLite's own, which hides that a sync has failed. */
int db_on_wal(void *arg, sqlite3 *handle, const char *name, int pages)
{
    struct db *db = arg;

    (void)handle;
    (void)name;
    db->log_pages = pages;
    if (pages < db->written_back) /* it has begun anew */
        db->written_back = 0;
    if (db->broken || pages - db->written_back < LOG_PAGES)
        return SQLITE_OK;
    if (!db->on_long_log || pages >= LOG_PAGES_MAX) {
        write_back_here(db);
    } else if (!db->back.going) {
        db->back.going = true;
        db->back.taken = false;
        db->back.code = SQLITE_OK;
        db->back.pages = db->written_back;
        db->on_long_log(db->on_long_log_arg, db);
    }
    return SQLITE_OK;
}

void db_on_long_log(struct db *db, void (*fn)(void *arg, struct db *db), void *arg)
{
    db->on_long_log = fn;
    db->on_long_log_arg = arg;
}

/* One that cannot be opened, for want of descriptors, is good for nothing later, either. */
static int fail_back(struct db *db, int code)
{
    if (code == SQLITE_OK)
        return code;
    sqlite3_close(db->back.handle);
    db->back.handle = NULL;
    return code;
}

/* A handle that has read nothing does not know that there is a log. */
static int open_back(struct db *db)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_NOMUTEX;
    int code;

    if (db->back.handle)
        return SQLITE_OK;
    code = sqlite3_open_v2(db->path, &db->back.handle, flags, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(db->back.handle, "PRAGMA schema_version", NULL, NULL, NULL);
    return fail_back(db, code);
}

void db_write_back(struct db *db)
{
    pthread_mutex_lock(&db->back.lock);
    if (!db->back.taken) {
        db->back.code = open_back(db);
        if (db->back.code == SQLITE_OK)
            db->back.code = fail_back(db, write_back(db->back.handle, &db->back.pages));
    }
    pthread_mutex_unlock(&db->back.lock);
}

void db_written_back(struct db *db)
{
    const int left = db->log_pages - db->back.pages;

    db->back.going = false;
    if (db->back.code != SQLITE_OK) {
        if ((db->back.code & 0xff) != SQLITE_BUSY)
            db_note_failure(db, db->back.code, sqlite3_errstr(db->back.code));
        return;
    }
    if (db->back.taken)
        return;
    db->written_back = db->back.pages;
    if (db->log_pages >= LOG_PAGES_LONG && left > 0 && left < LOG_PAGES_LAST && !db->broken)
        write_back_here(db);
}
