/* A ring of slots goes round between two channels: `empty` to the thread, `ready` to the consumer. The
 * consumer holds at most one slot, so the thread works up to SLOTS - 1 batches ahead. */
#include "worker/data/loader.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/chan.h"
#include "proto/base/mem.h"
#include "proto/base/pulse.h"
#include "worker/data/sampler.h"

enum {
    SLOTS = 3
};

struct slot {
    struct batch batch; /* what the consumer sees; its pointers are those below */
    float *images;
    int32_t *labels, *partners;
    int64_t *samples;
};

struct loader {
    const struct dataset *data;
    const struct augment *augment;
    size_t image_floats;
    int64_t room; /* samples in a slot */
    struct slot slots[SLOTS];
    struct slot *lent; /* to the consumer */
    struct chan *empty, *ready;
    pthread_t thread;
    bool started;

    /* Used by the thread alone once it runs: fills the next batch; false at the end. */
    bool (*prepare)(struct loader *l, struct slot *slot);
    struct train_loader_config train;
    int64_t epoch, index; /* of the next batch; of the next chunk */
    int64_t *order;       /* of the samples in this epoch */
    int64_t chunk, ranks;
    int64_t pass; /* of the training views of chunks; -1: test views */
};

static void shuffle(struct loader *l)
{
    sampler_shuffle(l->train.seed, l->epoch, dataset_count(l->data), l->order);
}

/* The lanes of a batch, each by itself. */
static void mix_lanes(const struct loader *l, struct slot *slot)
{
    const struct train_loader_config *cfg = &l->train;
    struct batch *b = &slot->batch;
    const int size = dataset_size(l->data);
    const struct mixture x = mix_draw(cfg->mix, size, b->epoch, b->index);

    for (int lane = cfg->lane_lo; lane < cfg->lane_hi; lane++) {
        int64_t at = sampler_cut(b->n, cfg->lanes, lane) - b->first;
        int64_t n = sampler_cut(b->n, cfg->lanes, lane + 1) - b->first - at;

        mix_lane(&x, size, slot->images + (size_t)at * l->image_floats, slot->labels + at,
                 slot->partners + at, n);
    }
    b->share = x.share;
}

static bool prepare_batch(struct loader *l, struct slot *slot)
{
    const struct train_loader_config *cfg = &l->train;
    const int64_t samples = dataset_count(l->data);
    struct batch *b = &slot->batch;

    if (l->index == sampler_steps(samples, cfg->batch)) {
        l->index = 0;
        l->epoch++;
        shuffle(l);
    }
    if (l->epoch >= cfg->last_epoch)
        return false;
    b->epoch = l->epoch;
    b->index = l->index++;
    b->n = sampler_batch_size(samples, cfg->batch, b->index);
    b->first = sampler_cut(b->n, cfg->lanes, cfg->lane_lo);
    b->count = sampler_cut(b->n, cfg->lanes, cfg->lane_hi) - b->first;
    for (int64_t i = 0; i < b->count; i++) {
        int64_t sample = l->order[b->index * cfg->batch + b->first + i];

        slot->samples[i] = sample;
        slot->labels[i] = dataset_label(l->data, sample);
        augment_train(l->augment, b->epoch, sample, dataset_image(l->data, sample),
                      slot->images + (size_t)i * l->image_floats);
    }
    if (cfg->mix)
        mix_lanes(l, slot);
    return true;
}

/* An image of a chunk. */
static void view(const struct loader *l, int64_t sample, float *out)
{
    if (l->pass < 0)
        augment_eval(l->augment, dataset_image(l->data, sample), out);
    else
        augment_train(l->augment, l->pass, sample, dataset_image(l->data, sample), out);
}

static bool prepare_chunk(struct loader *l, struct slot *slot)
{
    const int64_t first = l->index * l->chunk, left = dataset_count(l->data) - first;
    struct batch *b = &slot->batch;
    size_t surplus;

    if (left <= 0)
        return false;
    b->index = l->index;
    b->n = b->count = left < l->chunk ? left : l->chunk;
    surplus = (size_t)(l->chunk - b->count);
    l->index += l->ranks;
    for (int64_t i = 0; i < b->count; i++) {
        slot->samples[i] = first + i;
        slot->labels[i] = dataset_label(l->data, first + i);
        view(l, first + i, slot->images + (size_t)i * l->image_floats);
    }
    memset(slot->labels + b->count, 0, surplus * sizeof(*slot->labels));
    memset(slot->images + (size_t)b->count * l->image_floats, 0,
           surplus * l->image_floats * sizeof(float));
    return true;
}

static void *run(void *arg)
{
    struct loader *l = arg;
    void *slot;

    while (chan_recv(l->empty, &slot) && l->prepare(l, slot))
        if (!chan_send(l->ready, slot))
            break;
    chan_close(l->ready);
    return NULL;
}

/* Signals are for the program's main thread. */
static bool start_thread(struct loader *l, struct error *err)
{
    sigset_t all, old;
    int e;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    e = pthread_create(&l->thread, NULL, run, l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    l->started = e == 0;
    return l->started || err_set(err, ERR_IO, "start a thread to load data: %s", strerror(e));
}

static bool make_slot(struct loader *l, struct slot *slot, struct error *err)
{
    size_t bytes = (size_t)l->room * l->image_floats * sizeof(float);

    slot->labels = NEW_ARRAY(int32_t, (size_t)l->room);
    slot->partners = l->train.mix ? NEW_ARRAY(int32_t, (size_t)l->room) : NULL;
    slot->samples = NEW_ARRAY(int64_t, (size_t)l->room);
    slot->images = mem_try_aligned(64, bytes);
    if (!slot->images)
        return err_set(err, ERR_TOO_LARGE, "no memory for a batch of %zu bytes", bytes);
    slot->batch = (struct batch){.images = slot->images,
                                 .labels = slot->labels,
                                 .samples = slot->samples,
                                 .partners = slot->partners,
                                 .share = 1};
    return chan_send(l->empty, slot);
}

static struct loader *start(struct loader *l, struct error *err)
{
    size_t size = (size_t)dataset_size(l->data);
    bool ok = true;

    l->image_floats = 3 * size * size;
    l->empty = chan_new(SLOTS);
    l->ready = chan_new(SLOTS);
    for (int i = 0; ok && i < SLOTS; i++)
        ok = make_slot(l, &l->slots[i], err);
    if (ok && start_thread(l, err))
        return l;
    loader_close(l);
    return NULL;
}

/* Most samples of a batch that are here: floor(b) - floor(a) is at most ceil(b - a). */
static int64_t room_of(const struct train_loader_config *cfg)
{
    return sampler_steps(cfg->batch * (cfg->lane_hi - cfg->lane_lo), cfg->lanes);
}

size_t loader_memory(const struct train_loader_config *cfg)
{
    size_t size = (size_t)dataset_size(cfg->data);
    size_t sample =
        3 * size * size * sizeof(float) + (cfg->mix ? 2 : 1) * sizeof(int32_t) + sizeof(int64_t);

    return SLOTS * (size_t)room_of(cfg) * sample +
           (size_t)dataset_count(cfg->data) * sizeof(int64_t);
}

struct loader *loader_open_train(const struct train_loader_config *cfg, struct error *err)
{
    struct loader *l = NEW(struct loader);

    ASSERT(cfg->batch > 0 && 0 <= cfg->lane_lo && cfg->lane_lo < cfg->lane_hi &&
           cfg->lane_hi <= cfg->lanes);
    l->data = cfg->data;
    l->augment = cfg->augment;
    l->prepare = prepare_batch;
    l->train = *cfg;
    l->epoch = cfg->first_epoch;
    l->index = cfg->first_batch;
    l->order = NEW_ARRAY(int64_t, (size_t)dataset_count(cfg->data));
    shuffle(l);
    l->room = room_of(cfg);
    return start(l, err);
}

struct loader *loader_open_views(const struct dataset *data, const struct augment *augment,
                                 int64_t chunk, int rank, int ranks, int64_t pass,
                                 struct error *err)
{
    struct loader *l = NEW(struct loader);

    ASSERT(chunk > 0 && 0 <= rank && rank < ranks);
    l->data = data;
    l->augment = augment;
    l->prepare = prepare_chunk;
    l->index = rank;
    l->chunk = l->room = chunk;
    l->ranks = ranks;
    l->pass = pass;
    return start(l, err);
}

struct loader *loader_open_chunks(const struct dataset *data, const struct augment *augment,
                                  int64_t chunk, int rank, int ranks, struct error *err)
{
    return loader_open_views(data, augment, chunk, rank, ranks, -1, err);
}

const struct batch *loader_next(struct loader *l)
{
    const char *before = pulse_place("waiting for data");
    void *slot;

    if (l->lent)
        chan_send(l->empty, l->lent);
    l->lent = chan_recv(l->ready, &slot) ? slot : NULL;
    pulse_place(before);
    pulse_beat();
    return l->lent ? &l->lent->batch : NULL;
}

void loader_close(struct loader *l)
{
    if (!l)
        return;
    chan_close(l->empty);
    chan_close(l->ready);
    if (l->started)
        pthread_join(l->thread, NULL);
    for (int i = 0; i < SLOTS; i++) {
        free(l->slots[i].images);
        free(l->slots[i].labels);
        free(l->slots[i].partners);
        free(l->slots[i].samples);
    }
    chan_free(l->empty);
    chan_free(l->ready);
    free(l->order);
    free(l);
}
