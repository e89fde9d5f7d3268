#include "proto/base/crew.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

struct crew {
    int members;
    pthread_t *threads; /* members - 1; started ones first */
    int started;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t begin, done;
    bool over;
    int64_t next, n; /* items */
    int busy; /* threads that are at an item; one that comes when all are taken is not waited for */
    int seats; /* numbers given to threads */
    crew_fn work;
    void *arg;
};

/* Items until there are no more. Called and left with the lock held. */
static void take_items(struct crew *c, int member)
{
    while (c->next < c->n) {
        int64_t item = c->next++;

        pthread_mutex_unlock(&c->lock);
        c->work(c->arg, member, item);
        pthread_mutex_lock(&c->lock);
    }
}

static void *member_main(void *arg)
{
    struct crew *c = arg;
    int member;

    pthread_mutex_lock(&c->lock);
    member = ++c->seats;
    for (;;) {
        while (c->next == c->n && !c->over)
            pthread_cond_wait(&c->begin, &c->lock);
        if (c->over)
            break;
        c->busy++;
        take_items(c, member);
        if (--c->busy == 0)
            pthread_cond_signal(&c->done);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* Signals are for the program's main thread. */
static bool start_threads(struct crew *c, struct error *err)
{
    sigset_t all, old;
    int e = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    while (!e && c->started < c->members - 1) {
        e = pthread_create(&c->threads[c->started], NULL, member_main, c);
        c->started += e == 0;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return !e || err_set(err, ERR_IO, "start a thread: %s", strerror(e));
}

struct crew *crew_new(int members, struct error *err)
{
    struct crew *c = NEW(struct crew);

    c->members = members;
    c->threads = NEW_ARRAY(pthread_t, (size_t)members);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->begin, NULL);
    pthread_cond_init(&c->done, NULL);
    if (start_threads(c, err))
        return c;
    crew_free(c);
    return NULL;
}

void crew_run(struct crew *c, int64_t n, crew_fn work, void *arg)
{
    pthread_mutex_lock(&c->lock);
    c->work = work;
    c->arg = arg;
    c->next = 0;
    c->n = n;
    pthread_cond_broadcast(&c->begin);
    take_items(c, 0);
    while (c->busy)
        pthread_cond_wait(&c->done, &c->lock);
    pthread_mutex_unlock(&c->lock);
}

void crew_free(struct crew *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->over = true;
    pthread_cond_broadcast(&c->begin);
    pthread_mutex_unlock(&c->lock);
    for (int i = 0; i < c->started; i++)
        pthread_join(c->threads[i], NULL);
    pthread_cond_destroy(&c->done);
    pthread_cond_destroy(&c->begin);
    pthread_mutex_destroy(&c->lock);
    free(c->threads);
    free(c);
}
