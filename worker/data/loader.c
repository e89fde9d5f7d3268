/* A ring of slots goes round between two channels: `empty` to the thread, `ready` to the consumer. The
 * consumer holds at most one slot, so the thread works up to SLOTS - 1 batches ahead. The images of a batch
 * are shared out among the thread and its crew. */
#include "worker/data/loader.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/chan.h"
#include "proto/base/crew.h"
#include "proto/base/mem.h"
#include "proto/base/pulse.h"
#include "worker/data/frame.h"
#include "worker/data/sampler.h"

enum {
    SLOTS = 3
};

struct slot {
    struct loader *loader;
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
    const bool *skip; /* chunks that are not wanted; NULL: all are */
    struct crew *crew;
    struct framer **framers; /* one for each member */

    /* Of the first image of a batch that cannot be used; read by the consumer once the thread has ended. */
    pthread_mutex_t error_lock;
    int64_t error_at; /* place in the batch */
    struct error error;
    int64_t pass; /* of the training views of chunks; -1: test views */
};

/* The image at place i of a batch cannot be used. */
static void fail(struct loader *l, int64_t i, const struct error *why)
{
    pthread_mutex_lock(&l->error_lock);
    if (l->error.code == ERR_NONE || i < l->error_at) {
        l->error = *why;
        l->error_at = i;
    }
    pthread_mutex_unlock(&l->error_lock);
}

/* The order of the epoch. */
static void set_order(struct loader *l)
{
    const int64_t n = dataset_count(l->data);

    if (!l->train.in_order) {
        sampler_shuffle(l->train.seed, l->epoch, n, l->order);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        l->order[i] = i;
}

/* Image i of a batch whose samples are known. */
static void load_train(void *arg, int member, int64_t i)
{
    const struct slot *slot = arg;
    struct loader *l = slot->loader;
    const int64_t view = slot->batch.view, sample = slot->samples[i];
    struct error why;
    const uint8_t *frame = framer_train(l->framers[member], view, sample, &why);

    if (frame)
        augment_train(l->augment, view, sample, frame, slot->images + (size_t)i * l->image_floats);
    else
        fail(l, i, &why);
}

static void load_eval(void *arg, int member, int64_t i)
{
    const struct slot *slot = arg;
    struct loader *l = slot->loader;
    struct error why;
    const uint8_t *frame = framer_eval(l->framers[member], slot->samples[i], &why);

    if (frame)
        augment_eval(l->augment, frame, slot->images + (size_t)i * l->image_floats);
    else
        fail(l, i, &why);
}

static bool load(struct loader *l, struct slot *slot, crew_fn image)
{
    crew_run(l->crew, slot->batch.count, image, slot);
    return l->error.code == ERR_NONE;
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
        set_order(l);
    }
    if (l->epoch >= cfg->last_epoch)
        return false;
    b->epoch = l->epoch;
    b->view = cfg->views ? l->epoch % cfg->views : l->epoch;
    b->index = l->index++;
    b->n = sampler_batch_size(samples, cfg->batch, b->index);
    b->first = sampler_cut(b->n, cfg->lanes, cfg->lane_lo);
    b->count = sampler_cut(b->n, cfg->lanes, cfg->lane_hi) - b->first;
    for (int64_t i = 0; i < b->count; i++) {
        int64_t sample = l->order[b->index * cfg->batch + b->first + i];

        slot->samples[i] = sample;
        slot->labels[i] = dataset_label(l->data, sample);
    }
    if (!load(l, slot, load_train))
        return false;
    if (cfg->mix)
        mix_lanes(l, slot);
    return true;
}

static bool prepare_chunk(struct loader *l, struct slot *slot)
{
    struct batch *b = &slot->batch;
    int64_t first, left;
    size_t surplus;

    while (l->skip && l->index * l->chunk < dataset_count(l->data) && l->skip[l->index])
        l->index += l->ranks;
    first = l->index * l->chunk;
    left = dataset_count(l->data) - first;
    if (left <= 0)
        return false;
    b->epoch = b->view = l->pass; /* of a training view */
    b->index = l->index;
    b->n = b->count = left < l->chunk ? left : l->chunk;
    surplus = (size_t)(l->chunk - b->count);
    l->index += l->ranks;
    for (int64_t i = 0; i < b->count; i++) {
        slot->samples[i] = first + i;
        slot->labels[i] = dataset_label(l->data, first + i);
    }
    memset(slot->labels + b->count, 0, surplus * sizeof(*slot->labels));
    memset(slot->images + (size_t)b->count * l->image_floats, 0,
           surplus * l->image_floats * sizeof(float));
    return load(l, slot, l->pass < 0 ? load_eval : load_train);
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

    slot->loader = l;
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
    const size_t size = (size_t)dataset_size(l->data);
    const int threads = dataset_decode_threads(l->data);
    bool ok;

    l->image_floats = 3 * size * size;
    pthread_mutex_init(&l->error_lock, NULL);
    l->framers = framers_new(l->data, l->augment, threads);
    l->crew = crew_new(threads, err);
    ok = l->crew != NULL;
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
           (size_t)dataset_count(cfg->data) * sizeof(int64_t) +
           (size_t)dataset_decode_threads(cfg->data) * framer_memory(cfg->data);
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
    set_order(l);
    l->room = room_of(cfg);
    return start(l, err);
}

struct loader *loader_open_views(const struct dataset *data, const struct augment *augment,
                                 int64_t chunk, int rank, int ranks, int64_t pass, const bool *skip,
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
    l->skip = skip;
    return start(l, err);
}

struct loader *loader_open_chunks(const struct dataset *data, const struct augment *augment,
                                  int64_t chunk, int rank, int ranks, struct error *err)
{
    return loader_open_views(data, augment, chunk, rank, ranks, -1, NULL, err);
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

bool loader_ended(const struct loader *l, struct error *err)
{
    return l->error.code == ERR_NONE || err_set(err, l->error.code, "%s", l->error.msg);
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
    crew_free(l->crew);
    framers_free(l->framers, dataset_decode_threads(l->data));
    pthread_mutex_destroy(&l->error_lock);
    chan_free(l->empty);
    chan_free(l->ready);
    free(l->order);
    free(l);
}
