/* The sampler's cuts and orders, and the loader: the same batches on any number of ranks, from any
 * place, and a clean end at any time. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/rng.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"
#include "worker/data/loader.h"
#include "worker/data/sampler.h"

enum {
    IMAGE = 3072,
    LANES = 4
};

START_TEST(shuffles_are_permutations_that_differ_by_epoch_and_seed)
{
    int64_t a[97], b[97];
    bool seen[97] = {false};
    uint64_t seed = unit_seed();

    sampler_shuffle(seed, 5, 97, a);
    for (int i = 0; i < 97; i++) {
        ck_assert(a[i] >= 0 && a[i] < 97 && !seen[a[i]]);
        seen[a[i]] = true;
    }
    sampler_shuffle(seed, 5, 97, b);
    ck_assert_mem_eq(a, b, sizeof(a));
    sampler_shuffle(seed, 6, 97, b);
    ck_assert_mem_ne(a, b, sizeof(a));
    sampler_shuffle(seed + 1, 5, 97, b);
    ck_assert_mem_ne(a, b, sizeof(a));
}
END_TEST

/* Part of the determinism contract: this order never changes. */
START_TEST(the_order_of_seed_1_is_fixed)
{
    static const int64_t expected[10] = {5, 2, 3, 4, 6, 0, 7, 8, 9, 1};
    int64_t order[10];

    sampler_shuffle(1, 0, 10, order);
    for (int i = 0; i < 10; i++)
        ck_assert_msg(order[i] == expected[i], "place %d: %ld", i, (long)order[i]);
}
END_TEST

/* Each value is equally often at each place. */
START_TEST(shuffles_are_fair)
{
    int64_t order[5];
    int counts[5][5] = {{0}};

    for (int epoch = 0; epoch < 5000; epoch++) {
        sampler_shuffle(unit_seed(), epoch, 5, order);
        for (int i = 0; i < 5; i++)
            counts[i][order[i]]++;
    }
    for (int i = 0; i < 25; i++) /* 1000 expected, deviation 28 */
        ck_assert_msg(abs(counts[i / 5][i % 5] - 1000) < 170, "%d at %d: %d times", i % 5, i / 5,
                      counts[i / 5][i % 5]);
}
END_TEST

START_TEST(nothing_is_dropped_padded_or_repeated)
{
    for (int64_t samples = 1; samples < 50; samples++)
        for (int64_t batch = 1; batch < 20; batch++) {
            int64_t total = 0;

            for (int64_t b = 0; b < sampler_steps(samples, batch); b++) {
                int64_t n = sampler_batch_size(samples, batch, b);

                ck_assert(n > 0 && n <= batch);
                total += n;
            }
            ck_assert_int_eq(total, samples);
        }
    for (int64_t n = 0; n < 40; n++)
        for (int64_t lanes = 1; lanes <= 16; lanes *= 2) {
            ck_assert_int_eq(sampler_cut(n, lanes, 0), 0);
            ck_assert_int_eq(sampler_cut(n, lanes, lanes), n);
            for (int64_t l = 0; l < lanes; l++) {
                int64_t size = sampler_cut(n, lanes, l + 1) - sampler_cut(n, lanes, l);

                ck_assert(size == n / lanes || size == (n + lanes - 1) / lanes);
            }
        }
}
END_TEST

/* 43 samples in batches of 16: 16, 16, 11. */
struct fixture {
    struct dataset *data;
    struct augment augment;
    struct train_loader_config cfg;
};

static void setup(struct fixture *f, int64_t samples, int64_t batch)
{
    const struct data_source *row = data_source_of("procedural:", NULL);
    char *source = str_fmt("procedural:train=%ld", (long)samples);
    struct error err;

    f->data = dataset_open(&(struct dataset_config){.source = source}, SPLIT_TRAIN, &err);
    ck_assert_msg(f->data, "%s", err.msg);
    augment_init(&f->augment, 32, 4, true, unit_seed(), row->mean, row->std);
    f->cfg = (struct train_loader_config){
        .data = f->data,
        .augment = &f->augment,
        .seed = unit_seed(),
        .last_epoch = 3,
        .batch = batch,
        .lanes = LANES,
        .lane_hi = LANES,
    };
    free(source);
}

static struct loader *open_rank(const struct fixture *f, int rank, int ranks)
{
    struct train_loader_config cfg = f->cfg;
    struct error err;
    struct loader *l;

    cfg.lane_lo = rank * LANES / ranks;
    cfg.lane_hi = (rank + 1) * LANES / ranks;
    l = loader_open_train(&cfg, &err);
    ck_assert_msg(l, "%s", err.msg);
    return l;
}

START_TEST(every_epoch_has_every_sample_once_in_the_shuffled_order)
{
    struct fixture f;
    struct loader *l;
    const struct batch *b = NULL;
    int64_t order[43];
    float image[IMAGE];

    setup(&f, 43, 16);
    l = open_rank(&f, 0, 1);
    for (int64_t epoch = 0; epoch < 3; epoch++) {
        sampler_shuffle(f.cfg.seed, epoch, 43, order);
        for (int64_t at = 0; at < 43; at++) {
            int64_t i = at % 16, sample = order[at];

            b = i ? b : loader_next(l);
            ck_assert(b && b->epoch == epoch && b->index == at / 16 && b->first == 0);
            ck_assert(b->n == (at < 32 ? 16 : 11) && b->count == b->n);
            ck_assert(b->samples[i] == sample && b->labels[i] == dataset_label(f.data, sample));
            augment_train(&f.augment, epoch, sample, dataset_image(f.data, sample), image);
            ck_assert_mem_eq(image, b->images + i * IMAGE, sizeof(image));
        }
    }
    ck_assert(!loader_next(l) && !loader_next(l));
    loader_close(l);
    dataset_close(f.data);
}
END_TEST

START_TEST(in_order_every_epoch_goes_as_the_data_are_stored)
{
    struct fixture f;
    struct loader *l;

    setup(&f, 43, 16);
    f.cfg.in_order = true;
    f.cfg.last_epoch = 2;
    l = open_rank(&f, 0, 1);
    for (int64_t at = 0; at < 2 * 43;) {
        const struct batch *b = loader_next(l);

        ck_assert(b && b->count > 0);
        for (int64_t i = 0; i < b->count; i++, at++)
            ck_assert_int_eq(b->samples[i], at % 43);
    }
    ck_assert(!loader_next(l));
    loader_close(l);
    dataset_close(f.data);
}
END_TEST

static void same_samples(const struct batch *whole, const struct batch *part)
{
    ck_assert(part->share == whole->share && !part->partners == !whole->partners);
    if (part->partners)
        ck_assert_mem_eq(part->partners, whole->partners + part->first,
                         part->count * sizeof(int32_t));
    ck_assert(part->epoch == whole->epoch && part->index == whole->index && part->n == whole->n);
    ck_assert(part->first + part->count <= whole->n);
    ck_assert_mem_eq(part->samples, whole->samples + part->first, part->count * sizeof(int64_t));
    ck_assert_mem_eq(part->labels, whole->labels + part->first, part->count * sizeof(int32_t));
    ck_assert_mem_eq(part->images, whole->images + part->first * IMAGE,
                     part->count * IMAGE * sizeof(float));
}

static void share_out(const struct mix *mix)
{
    struct fixture f;
    struct loader *whole, *rank[LANES];
    const struct batch *w, *part;
    int empty = 0;

    setup(&f, 35, 16);
    f.cfg.mix = mix;
    for (int ranks = 2; ranks <= LANES; ranks *= 2) {
        whole = open_rank(&f, 0, 1);
        for (int r = 0; r < ranks; r++)
            rank[r] = open_rank(&f, r, ranks);
        while ((w = loader_next(whole)) != NULL) {
            int64_t at = 0;

            for (int r = 0; r < ranks; r++, at += part->count) {
                part = loader_next(rank[r]);
                ck_assert(part && part->first == at);
                same_samples(w, part);
                empty += part->count == 0;
            }
            ck_assert_int_eq(at, w->n);
        }
        for (int r = 0; r < ranks; r++) {
            ck_assert(!loader_next(rank[r]));
            loader_close(rank[r]);
        }
        loader_close(whole);
    }
    ck_assert_int_eq(empty, 3); /* once an epoch, with 4 ranks */
    dataset_close(f.data);
}

/* The tail of 3 samples is smaller than the lanes, so one rank of 4 has none of it. */
START_TEST(ranks_share_out_the_batches_of_one)
{
    const struct mix mix = {.mixup_alpha = 1, .prob = 1, .seed = unit_seed()};

    share_out(NULL);
    share_out(&mix);
}
END_TEST

/* A lane's images are those of the unmixed batch, mixed by the draw of (epoch, batch). */
START_TEST(batches_are_mixed_lane_by_lane)
{
    const struct mix mix = {.mixup_alpha = 1, .prob = 1, .seed = unit_seed()};
    struct fixture f;
    struct loader *plain, *mixed;
    const struct batch *p, *m;

    setup(&f, 43, 16);
    plain = open_rank(&f, 0, 1);
    f.cfg.mix = &mix;
    mixed = open_rank(&f, 0, 1);
    while ((p = loader_next(plain)) && (m = loader_next(mixed))) {
        const struct mixture x = mix_draw(&mix, 32, p->epoch, p->index);

        ck_assert(m->share == x.share && p->share == 1 && !p->partners);
        for (int lane = 0; lane < LANES; lane++) {
            int64_t from = sampler_cut(p->n, LANES, lane), to = sampler_cut(p->n, LANES, lane + 1);

            for (int64_t i = from; i < to; i++) {
                int64_t k = from + to - 1 - i;
                float own = p->images[i * IMAGE + 500], other = p->images[k * IMAGE + 500];

                ck_assert_int_eq(m->labels[i], p->labels[i]);
                ck_assert_int_eq(m->partners[i], p->labels[k]);
                ck_assert_double_eq_tol((double)m->images[i * IMAGE + 500],
                                        x.share * (double)own + (1 - x.share) * (double)other,
                                        1e-5);
            }
        }
    }
    loader_close(plain);
    loader_close(mixed);
    dataset_close(f.data);
}
END_TEST

START_TEST(any_place_can_be_resumed)
{
    struct fixture f;
    int64_t steps = 3;

    setup(&f, 43, 16);
    for (int64_t start = 0; start <= 3 * steps; start++) {
        struct fixture late = f;
        struct loader *from_start = open_rank(&f, 0, 1), *resumed;
        const struct batch *w, *b;

        late.cfg.first_epoch = start / steps;
        late.cfg.first_batch = start % steps;
        resumed = open_rank(&late, 0, 1);
        for (int64_t i = 0; i < start; i++)
            loader_next(from_start);
        while ((w = loader_next(from_start)) != NULL) {
            b = loader_next(resumed);
            ck_assert_msg(b, "resumed at %ld", (long)start);
            same_samples(w, b);
        }
        ck_assert(!loader_next(resumed));
        loader_close(resumed);
        loader_close(from_start);
    }
    dataset_close(f.data);
}
END_TEST

START_TEST(a_borrowed_batch_stays_as_it_is_while_others_are_prepared)
{
    struct fixture f;
    struct loader *l;
    const struct batch *b;
    float *copy = NEW_ARRAY(float, 16 * IMAGE);

    setup(&f, 200, 16);
    l = open_rank(&f, 0, 1);
    for (int i = 0; i < 8; i++) {
        b = loader_next(l);
        memcpy(copy, b->images, 16 * IMAGE * sizeof(float));
        usleep(3000);
        ck_assert_mem_eq(copy, b->images, 16 * IMAGE * sizeof(float));
    }
    loader_close(l);
    dataset_close(f.data);
    free(copy);
}
END_TEST

START_TEST(closing_is_possible_at_any_time)
{
    struct fixture f;

    setup(&f, 43, 4);
    for (int i = 0; i < 300; i++) {
        uint64_t key = rng_key(unit_seed(), (uint64_t)i);
        struct loader *l = i % 2 ? open_rank(&f, i % 4, 4) : NULL;
        int takes = (int)rng_below(key, 0, 36);

        if (!l)
            l = loader_open_chunks(f.data, &f.augment, 5, 0, 1, NULL);
        for (int k = 0; k < takes; k++)
            loader_next(l);
        if (i % 3 == 0)
            usleep((useconds_t)rng_below(key, 1, 500));
        loader_close(l);
    }
    loader_close(NULL);
    dataset_close(f.data);
}
END_TEST

static void check_chunk(const struct fixture *f, const struct batch *b, int64_t chunk)
{
    float image[IMAGE];
    const int64_t left = 43 - b->index * chunk;

    ck_assert_int_eq(b->n, left < chunk ? left : chunk);
    ck_assert(b->first == 0 && b->count == b->n);
    for (int64_t i = 0; i < b->count; i++) {
        int64_t sample = b->index * chunk + i;

        ck_assert(b->samples[i] == sample && b->labels[i] == dataset_label(f->data, sample));
        augment_eval(&f->augment, dataset_image(f->data, sample), image);
        ck_assert_mem_eq(image, b->images + i * IMAGE, sizeof(image));
    }
    memset(image, 0, sizeof(image));
    for (int64_t i = b->count; i < chunk; i++) {
        ck_assert_int_eq(b->labels[i], 0);
        ck_assert_mem_eq(image, b->images + i * IMAGE, sizeof(image));
    }
}

START_TEST(chunks_walk_the_set_once_and_are_dealt_to_ranks)
{
    struct fixture f;

    setup(&f, 43, 16);
    for (int ranks = 1; ranks <= 6; ranks++)
        for (int64_t chunk = 1; chunk <= 64; chunk = chunk * 2 + 1) {
            int64_t chunks = sampler_steps(43, chunk), seen = 0;

            for (int r = 0; r < ranks; r++) {
                struct loader *l = loader_open_chunks(f.data, &f.augment, chunk, r, ranks, NULL);
                const struct batch *b;

                for (int64_t c = r; (b = loader_next(l)) != NULL; c += ranks, seen++) {
                    ck_assert_int_eq(b->index, c);
                    check_chunk(&f, b, chunk);
                }
                loader_close(l);
            }
            ck_assert_int_eq(seen, chunks);
        }
    dataset_close(f.data);
}
END_TEST

START_TEST(chunks_are_seen_in_the_training_views_of_a_pass)
{
    struct fixture f;
    struct loader *l;
    const struct batch *b;
    float image[IMAGE];

    setup(&f, 20, 16);
    for (int64_t pass = 0; pass < 2; pass++) {
        l = loader_open_views(f.data, &f.augment, 8, 0, 1, pass, NULL, NULL);
        while ((b = loader_next(l)) != NULL)
            for (int64_t i = 0; i < b->count; i++) {
                int64_t sample = b->samples[i];

                ck_assert_int_eq(sample, b->index * 8 + i);
                augment_train(&f.augment, pass, sample, dataset_image(f.data, sample), image);
                ck_assert_mem_eq(image, b->images + i * IMAGE, sizeof(image));
            }
        loader_close(l);
    }
    dataset_close(f.data);
}
END_TEST

/* Epoch e shows what epoch e mod views shows, in its own order. */
START_TEST(views_come_again)
{
    struct fixture f;
    struct loader *l;
    const struct batch *b;
    int64_t order[43];
    float image[IMAGE];

    setup(&f, 43, 16);
    f.cfg.views = 2;
    l = open_rank(&f, 0, 1);
    while ((b = loader_next(l)) != NULL) {
        ck_assert_int_eq(b->view, b->epoch % 2);
        sampler_shuffle(f.cfg.seed, b->epoch, 43, order);
        for (int64_t i = 0; i < b->count; i++) {
            ck_assert_int_eq(b->samples[i], order[b->index * 16 + i]);
            augment_train(&f.augment, b->epoch % 2, b->samples[i],
                          dataset_image(f.data, b->samples[i]), image);
            ck_assert_mem_eq(image, b->images + i * IMAGE, sizeof(image));
        }
    }
    loader_close(l);
    dataset_close(f.data);
}
END_TEST

START_TEST(chunks_that_are_not_wanted_are_skipped)
{
    static const bool skip[] = {true, false, true, true, false, true};
    struct fixture f;
    struct error err;
    int64_t seen = 0;

    setup(&f, 43, 16);
    for (int rank = 0; rank < 2; rank++) {
        struct loader *l = loader_open_views(f.data, &f.augment, 8, rank, 2, 0, skip, NULL);
        const struct batch *b;

        while ((b = loader_next(l)) != NULL) {
            ck_assert(b->index % 2 == rank && !skip[b->index] && b->samples[0] == b->index * 8);
            seen++;
        }
        ck_assert_ok(loader_ended(l, &err), err);
        loader_close(l);
    }
    ck_assert_int_eq(seen, 2);
    dataset_close(f.data);
}
END_TEST

UNIT_MAIN(views_come_again, chunks_that_are_not_wanted_are_skipped,
          shuffles_are_permutations_that_differ_by_epoch_and_seed, the_order_of_seed_1_is_fixed,
          shuffles_are_fair, nothing_is_dropped_padded_or_repeated,
          every_epoch_has_every_sample_once_in_the_shuffled_order,
          in_order_every_epoch_goes_as_the_data_are_stored, ranks_share_out_the_batches_of_one,
          batches_are_mixed_lane_by_lane, chunks_are_seen_in_the_training_views_of_a_pass,
          any_place_can_be_resumed, a_borrowed_batch_stays_as_it_is_while_others_are_prepared,
          closing_is_possible_at_any_time, chunks_walk_the_set_once_and_are_dealt_to_ranks)
