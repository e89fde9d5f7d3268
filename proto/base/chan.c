#include "proto/base/chan.h"

#include <pthread.h>
#include <stdlib.h>

#include "proto/base/mem.h"

struct chan {
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t not_full, not_empty;
    void **items;
    size_t capacity, first, count;
    bool closed;
};

struct chan *chan_new(size_t capacity)
{
    struct chan *c = NEW(struct chan);

    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->not_full, NULL);
    pthread_cond_init(&c->not_empty, NULL);
    c->items = NEW_ARRAY(void *, capacity);
    c->capacity = capacity;
    return c;
}

void chan_free(struct chan *c)
{
    if (!c)
        return;
    pthread_cond_destroy(&c->not_full);
    pthread_cond_destroy(&c->not_empty);
    pthread_mutex_destroy(&c->lock);
    free(c->items);
    free(c);
}

bool chan_send(struct chan *c, void *item)
{
    bool open;

    pthread_mutex_lock(&c->lock);
    while (!c->closed && c->count == c->capacity)
        pthread_cond_wait(&c->not_full, &c->lock);
    open = !c->closed;
    if (open) {
        c->items[(c->first + c->count++) % c->capacity] = item;
        pthread_cond_signal(&c->not_empty);
    }
    pthread_mutex_unlock(&c->lock);
    return open;
}

/* With the lock held. */
static bool take(struct chan *c, void **item_out)
{
    if (!c->count)
        return false;
    *item_out = c->items[c->first];
    c->first = (c->first + 1) % c->capacity;
    c->count--;
    pthread_cond_signal(&c->not_full);
    return true;
}

bool chan_recv(struct chan *c, void **item_out)
{
    bool got;

    pthread_mutex_lock(&c->lock);
    while (!c->closed && !c->count)
        pthread_cond_wait(&c->not_empty, &c->lock);
    got = take(c, item_out);
    pthread_mutex_unlock(&c->lock);
    return got;
}

bool chan_try_recv(struct chan *c, void **item_out)
{
    bool got;

    pthread_mutex_lock(&c->lock);
    got = take(c, item_out);
    pthread_mutex_unlock(&c->lock);
    return got;
}

void chan_close(struct chan *c)
{
    pthread_mutex_lock(&c->lock);
    c->closed = true;
    pthread_cond_broadcast(&c->not_full);
    pthread_cond_broadcast(&c->not_empty);
    pthread_mutex_unlock(&c->lock);
}
