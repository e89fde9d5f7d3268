#include "daemon/checkpointer.h"

#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"

struct checkpointer {
    char *path;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    bool wanted, stopped, failed;
};

/* A connection sees the log only after it has read something. */
static sqlite3 *connect(const char *path)
{
    sqlite3 *handle = NULL;

    if (sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW, NULL) ==
            SQLITE_OK &&
        sqlite3_exec(handle, "PRAGMA schema_version", NULL, NULL, NULL) == SQLITE_OK)
        return handle;
    sqlite3_close(handle);
    return NULL;
}

/* False: the disk has failed. Other failures, and that somebody else does it just now, are left to the next time. */
static bool checkpoint(sqlite3 *handle)
{
    if (sqlite3_wal_checkpoint_v2(handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) == SQLITE_OK)
        return true;
    return sqlite3_extended_errcode(handle) != SQLITE_IOERR_FSYNC;
}

/* False: it is to end. */
static bool wait_for_work(struct checkpointer *c)
{
    bool go_on;

    pthread_mutex_lock(&c->lock);
    while (!c->wanted && !c->stopped)
        pthread_cond_wait(&c->changed, &c->lock);
    c->wanted = false;
    go_on = !c->stopped && !c->failed;
    pthread_mutex_unlock(&c->lock);
    return go_on;
}

static void *run(void *arg)
{
    struct checkpointer *c = arg;
    sqlite3 *handle = NULL;

    while (wait_for_work(c)) {
        if (!handle)
            handle = connect(c->path);
        if (!handle || checkpoint(handle))
            continue;
        pthread_mutex_lock(&c->lock);
        c->failed = true;
        pthread_mutex_unlock(&c->lock);
    }
    sqlite3_close(handle);
    return NULL;
}

static void release(struct checkpointer *c)
{
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->changed);
    free(c->path);
    free(c);
}

struct checkpointer *checkpointer_open(const char *path)
{
    struct checkpointer *c = NEW(struct checkpointer);
    sigset_t all, before;
    bool ok;

    c->path = str_dup(path);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    sigfillset(&all); /* signals are the loop's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    ok = pthread_create(&c->thread, NULL, run, c) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (ok)
        return c;
    release(c);
    return NULL;
}

void checkpointer_close(struct checkpointer *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->stopped = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    release(c);
}

void checkpointer_wake(struct checkpointer *c)
{
    pthread_mutex_lock(&c->lock);
    c->wanted = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

bool checkpointer_failed(struct checkpointer *c)
{
    bool failed;

    pthread_mutex_lock(&c->lock);
    failed = c->failed;
    pthread_mutex_unlock(&c->lock);
    return failed;
}
