/* Folders of images as a data set, and the same packed into a shard. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/rng.h"
#include "proto/base/str.h"
#include "tests/unit/image_rig.h"
#include "tests/unit/unit.h"
#include "worker/data/corrupt.h"
#include "worker/data/frame.h"
#include "worker/data/identity.h"
#include "worker/data/loader.h"
#include "worker/data/pack.h"
#include "worker/data/shard.h"
#include "worker/data/source.h"

enum {
    SIZE = 24,
    CLASSES = 3,
    TRAIN = 8,
    VAL = 3
};

/* A set of its own for each test; free(). */
static char *make_folders(const char *test)
{
    char *dir = str_path(unit_dir(), test);

    image_rig_folders(dir, CLASSES, TRAIN, VAL, 7);
    return dir;
}

static void put(const char *dir, const char *name, const void *data, size_t len)
{
    char *path = str_path(dir, name), *folder = str_ndup(path, (size_t)(strrchr(path, '/') - path));
    struct error err;

    ck_assert_ok(file_make_dirs(folder, 0755, &err), err);
    ck_assert_ok(file_replace(path, data, len, 0644, &err), err);
    free(folder);
    free(path);
}

static struct dataset *try_open(const char *kind, const char *where, enum split split, bool skip,
                                struct error *err)
{
    char *source = str_fmt("%s:%s", kind, where);
    const struct dataset_config cfg = {
        .source = source, .skip_corrupt = skip, .image_size = SIZE, .decode_threads = 2};
    struct dataset *d = dataset_open(&cfg, split, err);

    free(source);
    return d;
}

static struct dataset *must_open(const char *kind, const char *where, enum split split)
{
    struct error err;
    struct dataset *d = try_open(kind, where, split, false, &err);

    ck_assert_msg(d, "%s", err.msg);
    return d;
}

static void must_pack(const char *dir, const char *out, const struct pack_options *o,
                      struct pack_result *result)
{
    struct dataset *train = must_open("imagefolder", dir, SPLIT_TRAIN);
    struct dataset *test = must_open("imagefolder", dir, SPLIT_TEST);
    struct error err;

    ck_assert_ok(pack_shard(train, test, out, o, result, &err), err);
    dataset_close(train);
    dataset_close(test);
}

static struct augment views(uint64_t seed)
{
    static const double mean[3] = {0.5, 0.5, 0.5}, std[3] = {0.25, 0.25, 0.25};
    struct augment a;

    augment_init(&a, SIZE, 0, true, seed, mean, std);
    a.resize = SIZE * 8 / 7;
    a.resized_crop = true;
    a.crop = (struct random_crop){{0.08, 1}, {0.75, 4.0 / 3}};
    return a;
}

START_TEST(classes_and_images_come_in_the_order_of_their_names)
{
    char *dir = make_folders(__func__), *name;
    struct dataset *d = must_open("imagefolder", dir, SPLIT_TRAIN);

    ck_assert_int_eq(dataset_classes(d), CLASSES);
    ck_assert_int_eq(dataset_count(d), CLASSES * TRAIN);
    ck_assert_int_eq(dataset_size(d), SIZE);
    ck_assert(dataset_encoded(d));
    for (int i = 0; i < CLASSES * TRAIN; i++) {
        char *end = str_fmt("/train/class-%c/%03d.%s", 'a' + i / TRAIN, i % TRAIN,
                            image_rig_ending(i % TRAIN % IMAGE_RIG_KINDS));

        name = dataset_image_name(d, i);
        ck_assert_msg(str_ends(name, end), "%d: %s, not %s", i, name, end);
        ck_assert_int_eq(dataset_label(d, i), i / TRAIN);
        free(name);
        free(end);
    }
    ck_assert_str_eq(dataset_class_name(d, 2), "class-c");
    dataset_close(d);
    free(dir);
}
END_TEST

START_TEST(test_images_are_in_val_or_else_in_test)
{
    char *dir = make_folders(__func__), *from = str_path(dir, "val"), *to = str_path(dir, "test");
    struct dataset *d = must_open("imagefolder", dir, SPLIT_TEST);
    struct error err;

    ck_assert_int_eq(dataset_count(d), CLASSES * VAL);
    dataset_close(d);
    ck_assert_int_eq(renameat(-1, from, -1, to), 0);
    d = must_open("imagefolder", dir, SPLIT_TEST);
    ck_assert_int_eq(dataset_count(d), CLASSES * VAL);
    dataset_close(d);
    put(dir, "test/class-x/1.jpg", "x", 1);
    ck_assert_error(try_open("imagefolder", dir, SPLIT_TEST, true, &err), err,
                    "test/class-x: the training set has no class of that name");
    free(from);
    free(to);
    free(dir);
}
END_TEST

START_TEST(chosen_classes_keep_their_names)
{
    static const int32_t some[] = {2, 0};
    char *dir = make_folders(__func__), *source = str_fmt("imagefolder:%s", dir);
    const struct dataset_config cfg = {.source = source, .classes = some, .n_classes = 2};
    struct error err;
    struct dataset *d = dataset_open(&cfg, SPLIT_TRAIN, &err);

    ck_assert_msg(d, "%s", err.msg);
    ck_assert_int_eq(dataset_count(d), 2 * TRAIN);
    ck_assert_int_eq(dataset_size(d), 224);
    ck_assert_str_eq(dataset_class_name(d, 0), "class-c");
    ck_assert_str_eq(dataset_class_name(d, 1), "class-a");
    ck_assert_int_eq(dataset_label(d, 0), 1);
    dataset_close(d);
    free(source);
    free(dir);
}
END_TEST

/* Counts the images of each class, which are the first of their folders. */
static void count_first(const char *source, int64_t limit, int counts[CLASSES])
{
    const struct dataset_config cfg = {.source = source, .train_limit = limit};
    struct error err;
    struct dataset *d = dataset_open(&cfg, SPLIT_TRAIN, &err);

    ck_assert_msg(d, "%s", err.msg);
    memset(counts, 0, CLASSES * sizeof(*counts));
    for (int64_t i = 0; i < dataset_count(d); i++) {
        char *name = dataset_image_name(d, i);
        char *end = str_fmt("/%03d.", counts[dataset_label(d, i)]++);

        ck_assert_msg(strstr(name, end), "%s, not %s", name, end);
        free(name);
        free(end);
    }
    dataset_close(d);
}

START_TEST(a_limit_takes_of_each_class)
{
    static const struct {
        int64_t limit;
        int counts[CLASSES];
    } cases[] = {{1, {1, 0, 0}},  {3, {1, 1, 1}},  {9, {2, 4, 3}},        {10, {2, 4, 4}},
                 {17, {2, 8, 7}}, {18, {2, 8, 8}}, {INT64_MAX, {2, 8, 8}}};
    char *dir = make_folders(__func__), *source = str_fmt("imagefolder:%s", dir);
    struct dataset *d = must_open("imagefolder", dir, SPLIT_TRAIN);
    int counts[CLASSES];

    for (int i = 2; i < TRAIN; i++) {
        char *name = dataset_image_name(d, i);

        ck_assert_int_eq(unlink(name), 0);
        free(name);
    }
    dataset_close(d);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        count_first(source, cases[i].limit, counts);
        for (int c = 0; c < CLASSES; c++)
            ck_assert_msg(counts[c] == cases[i].counts[c], "limit %lld, class %d: %d images",
                          (long long)cases[i].limit, c, counts[c]);
    }
    free(source);
    free(dir);
}
END_TEST

START_TEST(what_is_no_image_is_an_error_or_skipped)
{
    static const struct {
        const char *name, *content, *message;
    } cases[] = {
        {"train/class-b/notes.txt", "x", "notes.txt: expected a .jpg, .jpeg or .png file"},
        {"train/class-b/a.jpg/1.jpg", "x", "a.jpg: expected a .jpg, .jpeg or .png file"},
        {"train/class-a/000.gif", "x", "000.gif: expected a .jpg, .jpeg or .png file"},
        {"train/class-c/empty.png", "", "empty.png: expected 1 to 268435456 bytes, got 0"},
        {"train/README", "x", "train/README: expected a folder for each class"},
    };
    char *dir = make_folders(__func__);
    struct error err;
    struct dataset *d;

    put(dir, "train/class-a/.hidden", "x", 1);
    put(dir, "train/.cache/x", "x", 1);
    dataset_close(must_open("imagefolder", dir, SPLIT_TRAIN));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *path = str_path(dir, cases[i].name);

        put(dir, cases[i].name, cases[i].content, strlen(cases[i].content));
        ck_assert_error(try_open("imagefolder", dir, SPLIT_TRAIN, false, &err), err,
                        cases[i].message);
        ck_assert_int_eq(err.code, ERR_DATA);
        d = try_open("imagefolder", dir, SPLIT_TRAIN, true, &err);
        ck_assert_msg(d, "%s", err.msg);
        ck_assert_int_eq(dataset_skipped(d), 1);
        ck_assert(strstr(dataset_skipped_why(d, 0), cases[i].message));
        ck_assert_int_eq(dataset_count(d), CLASSES * TRAIN);
        dataset_close(d);
        unlink(path);
        path[strlen(path) - strlen(strrchr(path, '/'))] = '\0';
        rmdir(path);
        free(path);
    }
    ck_assert_error(try_open("imagefolder", "/nonexistent", SPLIT_TRAIN, false, &err), err,
                    "open /nonexistent/train: No such file");
    put(dir, "none/train/x", "x", 1);
    free(dir);
    dir = str_fmt("%s/%s/none", unit_dir(), __func__);
    ck_assert_error(try_open("imagefolder", dir, SPLIT_TRAIN, false, &err), err,
                    "expected 1 to 100000 folders, one for each class, got 0");
    free(dir);
}
END_TEST

/* By hand: a view is what decoding, cutting, resizing and normalising give. */
START_TEST(the_loader_gives_the_same_views_whatever_the_threads)
{
    char *dir = make_folders(__func__);
    struct dataset *d = must_open("imagefolder", dir, SPLIT_TRAIN);
    const struct augment a = views(unit_seed());
    const size_t floats = 3 * SIZE * SIZE;
    struct framer *f = framer_new(d, &a);
    float *want = NEW_ARRAY(float, floats);
    struct error err;

    for (int threads = 1; threads <= 5; threads += 2) {
        struct train_loader_config cfg = {.data = d,
                                          .augment = &a,
                                          .seed = 5,
                                          .last_epoch = 2,
                                          .batch = 7,
                                          .lanes = 2,
                                          .lane_hi = 2};
        const struct batch *b;
        struct loader *l;
        int64_t seen = 0;

        d->decode_threads = threads;
        l = loader_open_train(&cfg, &err);
        ck_assert_msg(l, "%s", err.msg);
        while ((b = loader_next(l)) != NULL)
            for (int64_t i = 0; i < b->count; i++, seen++) {
                const uint8_t *frame = framer_train(f, b->epoch, b->samples[i], &err);

                ck_assert_msg(frame, "%s", err.msg);
                augment_train(&a, b->epoch, b->samples[i], frame, want);
                ck_assert_mem_eq(want, b->images + (size_t)i * floats, floats * sizeof(float));
                ck_assert_int_eq(b->labels[i], dataset_label(d, b->samples[i]));
            }
        ck_assert_ok(loader_ended(l, &err), err);
        ck_assert_int_eq(seen, 2 * CLASSES * TRAIN);
        loader_close(l);
    }
    framer_free(f);
    free(want);
    dataset_close(d);
    free(dir);
}
END_TEST

/* Random parts of images of one size, too. */
START_TEST(ready_images_can_be_cut_at_random)
{
    struct error err;
    struct dataset *d =
        dataset_open(&(struct dataset_config){.source = "procedural:train=8"}, SPLIT_TRAIN, &err);
    struct augment a = views(1);
    struct framer *f = framer_new(d, &a);
    int moved = 0;

    for (int i = 0; i < 8; i++) {
        uint8_t first[3 * 32 * 32];

        memcpy(first, framer_train(f, 0, i, &err), sizeof(first));
        moved += memcmp(first, dataset_image(d, i), sizeof(first)) != 0 &&
                 memcmp(first, framer_train(f, 1, i, &err), sizeof(first)) != 0;
        ck_assert_ptr_eq(framer_eval(f, i, &err), dataset_image(d, i));
    }
    ck_assert_int_ge(moved, 7);
    a.resized_crop = false;
    ck_assert_ptr_eq(framer_train(f, 0, 3, &err), dataset_image(d, 3));
    framer_free(f);
    dataset_close(d);
}
END_TEST

/* Cuts the file of an image in half. */
static void spoil(const char *dir, const char *name)
{
    char *path = str_path(dir, name);
    struct buf b = buf_new(1 << 20);

    ck_assert(file_read(path, &b, NULL));
    put(dir, name, b.data, b.len / 2);
    buf_free(&b);
    free(path);
}

START_TEST(a_bad_image_ends_the_loader_with_its_name)
{
    char *dir = make_folders(__func__);
    const struct augment a = views(1);
    struct train_loader_config cfg = {
        .augment = &a, .seed = 5, .last_epoch = 2, .batch = 7, .lanes = 1, .lane_hi = 1};
    struct dataset *d;
    struct loader *l;
    struct error err = {0};

    spoil(dir, "train/class-b/004.png");
    cfg.data = d = must_open("imagefolder", dir, SPLIT_TRAIN);
    l = loader_open_train(&cfg, &err);
    while (loader_next(l))
        ;
    ck_assert_error(loader_ended(l, &err), err, "train/class-b/004.png: damaged PNG");
    ck_assert_int_eq(err.code, ERR_DATA);
    loader_close(l);
    l = loader_open_chunks(d, &a, 5, 0, 1, &err);
    while (loader_next(l))
        ;
    ck_assert_error(loader_ended(l, &err), err, "it is cut off");
    loader_close(l);
    dataset_close(d);
    free(dir);
}
END_TEST

START_TEST(bad_images_are_found_by_all_shares_together_and_remembered)
{
    char *dir = make_folders(__func__), *cache = str_path(unit_dir(), "cache");
    int64_t marked[CLASSES * TRAIN] = {0}, again[CLASSES * TRAIN] = {0};
    char with[SHA256_HEX], without[SHA256_HEX];
    struct dataset *d;
    struct error err;

    spoil(dir, "train/class-a/001.JPEG");
    spoil(dir, "train/class-c/005.PNG");
    d = try_open("imagefolder", dir, SPLIT_TRAIN, true, &err);
    ck_assert_msg(d, "%s", err.msg);
    for (int share = 0; share < 3; share++)
        ck_assert_ok(corrupt_find(d, share, 3, marked, &err), err);
    for (int i = 0; i < CLASSES * TRAIN; i++)
        ck_assert_msg(marked[i] == (i == 1 || i == 2 * TRAIN + 5), "image %d", i);
    ck_assert(!corrupt_recall(d, cache, again));
    d->newest_ns -= 60000000000; /* as if the files had been there for a minute */
    corrupt_keep(d, cache, marked);
    ck_assert(corrupt_recall(d, cache, again));
    ck_assert_mem_eq(marked, again, sizeof(marked));
    ck_assert(dataset_sha256(d, with, &err));
    ck_assert_ok(corrupt_drop(d, marked, &err), err);
    ck_assert_int_eq(dataset_count(d), CLASSES * TRAIN - 2);
    ck_assert_int_eq(dataset_skipped(d), 2);
    ck_assert(strstr(dataset_skipped_why(d, 0), "class-a/001.JPEG: damaged or cut off JPEG"));
    ck_assert(strstr(dataset_skipped_why(d, 1), "class-c/005.PNG: damaged PNG"));
    ck_assert(dataset_sha256(d, without, &err));
    ck_assert_str_ne(with, without);
    dataset_close(d);
    put(dir, "train/class-b/000.jpg", "\xff\xd8\xff", 3); /* another file: nothing is known */
    d = try_open("imagefolder", dir, SPLIT_TRAIN, true, &err);
    ck_assert_msg(d, "%s", err.msg);
    ck_assert(!corrupt_recall(d, cache, again));
    dataset_close(d);
    free(cache);
    free(dir);
}
END_TEST

/* A file that is gone stands for all that keeps one from being read: root may read whatever is there. */
START_TEST(what_cannot_be_read_is_not_corrupt)
{
    char *dir = make_folders(__func__);
    int64_t marked[CLASSES * TRAIN] = {0};
    struct error err = {0};
    struct dataset *d = try_open("imagefolder", dir, SPLIT_TRAIN, true, &err);
    char *name = dataset_image_name(d, TRAIN + 1);

    ck_assert_int_eq(unlink(name), 0);
    ck_assert_error(corrupt_find(d, 0, 1, marked, &err), err, name);
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    ck_assert_int_eq(marked[TRAIN + 1], 0);
    dataset_close(d);
    free(name);
    free(dir);
}
END_TEST

/* It may have been mended while nobody could see that. */
START_TEST(a_good_image_that_was_bad_is_named)
{
    char *dir = make_folders(__func__);
    int64_t marked[CLASSES * TRAIN] = {[3] = 1};
    struct error err = {0};
    struct dataset *d = try_open("imagefolder", dir, SPLIT_TRAIN, true, &err);
    char *name = dataset_image_name(d, 3);

    ck_assert_ok(corrupt_drop(d, marked, &err), err);
    ck_assert(str_starts(dataset_skipped_why(d, 0), name));
    ck_assert(str_ends(dataset_skipped_why(d, 0), ": could not be decoded before"));
    dataset_close(d);
    free(name);
    free(dir);
}
END_TEST

START_TEST(a_set_without_a_good_image_is_an_error)
{
    char *dir = str_path(unit_dir(), __func__);
    struct error err;
    struct dataset *d;

    put(dir, "train/a/1.jpg", "no", 2);
    d = try_open("imagefolder", dir, SPLIT_TRAIN, true, &err);
    ck_assert_msg(d, "%s", err.msg);
    ck_assert_error(corrupt_remove(d, unit_dir(), true, &err), err,
                    "none of 1 images can be decoded; the first: ");
    dataset_close(d);
    free(dir);
}
END_TEST

/* SHA-256 over label, length and file of each image. */
START_TEST(the_identity_covers_labels_and_files)
{
    char *dir = str_path(unit_dir(), __func__), hex[SHA256_HEX], want[SHA256_HEX];
    static const char bytes[] = "\0\0\0\0\2\0\0\0\0\0\0\0ab"
                                "\1\0\0\0\3\0\0\0\0\0\0\0cde";
    char *gone;
    struct dataset *d;
    struct error err;

    put(dir, "train/x/1.jpg", "ab", 2);
    put(dir, "train/y/0.png", "cde", 3);
    d = must_open("imagefolder", dir, SPLIT_TRAIN);
    ck_assert_ok(dataset_sha256(d, hex, &err), err);
    sha256_of(bytes, sizeof(bytes) - 1, want);
    ck_assert_str_eq(hex, want);
    put(dir, "train/y/0.png", "cdef", 4);
    ck_assert_error(dataset_sha256(d, hex, &err), err,
                    "y/0.png: expected the 3 bytes that were there before, got 4");
    gone = str_path(dir, "train/x/1.jpg");
    unlink(gone);
    ck_assert_error(dataset_sha256(d, hex, &err), err, "train/x/1.jpg");
    dataset_close(d);
    free(gone);
    free(dir);
}
END_TEST

START_TEST(the_identity_is_remembered_until_a_file_changes)
{
    char *dir = make_folders(__func__), hex[SHA256_HEX];
    struct dataset *d;
    bool read[4];

    for (int i = 0; i < 4; i++) {
        if (i == 2)
            put(dir, "train/class-b/002.jpeg", "abc", 3);
        d = must_open("imagefolder", dir, SPLIT_TRAIN);
        d->newest_ns -= 60000000000;
        ck_assert(identity_of(d, unit_dir(), false, hex, &read[i], NULL));
        dataset_close(d);
    }
    ck_assert(read[0] && !read[1] && read[2] && !read[3]);
    free(dir);
}
END_TEST

static void same_content(const struct dataset *a, const struct dataset *b)
{
    char one[SHA256_HEX], other[SHA256_HEX];

    ck_assert(dataset_sha256(a, one, NULL) && dataset_sha256(b, other, NULL));
    ck_assert_str_eq(one, other);
    ck_assert_int_eq(dataset_count(a), dataset_count(b));
    for (int c = 0; c < CLASSES; c++)
        ck_assert_str_eq(dataset_class_name(a, c), dataset_class_name(b, c));
}

START_TEST(a_shard_has_the_identity_and_the_views_of_its_folders)
{
    const struct pack_options as_it_is = {0};
    char *dir = make_folders(__func__), *path = str_fmt("%s.shard", dir);
    const struct augment a = views(3);
    struct pack_result r;

    must_pack(dir, path, &as_it_is, &r);
    ck_assert_int_eq(r.kept, CLASSES * (TRAIN + VAL));
    ck_assert_int_eq(r.made, 0);
    for (enum split split = SPLIT_TRAIN; split <= SPLIT_TEST; split++) {
        struct dataset *d = must_open("imagefolder", dir, split);
        struct dataset *s = must_open("shard", path, split);
        struct framer *f = framer_new(d, &a), *g = framer_new(s, &a);

        same_content(d, s);
        for (int64_t i = 0; i < dataset_count(d); i++)
            ck_assert_mem_eq(framer_train(f, 1, i, NULL), framer_train(g, 1, i, NULL),
                             3 * SIZE * SIZE);
        framer_free(f);
        framer_free(g);
        dataset_close(d);
        dataset_close(s);
    }
    free(path);
    free(dir);
}
END_TEST

START_TEST(packing_can_make_images_smaller)
{
    const struct pack_options small = {.size = 30, .quality = 95};
    char *dir = make_folders(__func__), *path = str_fmt("%s.shard", dir);
    struct pack_result r;
    struct dataset *d, *s;
    struct framer *f, *g;
    double sum = 0;
    int64_t n = 0;

    must_pack(dir, path, &small, &r);
    ck_assert(r.made > 0 && r.kept > 0 && r.made + r.kept == CLASSES * (TRAIN + VAL));
    d = must_open("imagefolder", dir, SPLIT_TRAIN);
    s = must_open("shard", path, SPLIT_TRAIN);
    f = framer_new(d, NULL);
    g = framer_new(s, NULL);
    for (int64_t i = 0; i < dataset_count(d); i++) {
        const struct picture *p = framer_picture(f, i, NULL), *q = framer_picture(g, i, NULL);
        int was = p->width < p->height ? p->width : p->height;

        ck_assert_int_eq(q->width < q->height ? q->width : q->height, was > 30 ? 30 : was);
        if (was > 30)
            ck_assert_int_eq(q->width > q->height ? q->width : q->height,
                             30 * (p->width > p->height ? p->width : p->height) / was);
        for (int k = 0; k < 3; k++, n++)
            sum += abs(p->rgb[k] - q->rgb[k]);
    }
    ck_assert_msg(sum / (double)n < 30, "the corners differ by %g", sum / (double)n);
    framer_free(f);
    framer_free(g);
    dataset_close(d);
    dataset_close(s);
    free(path);
    free(dir);
}
END_TEST

/* Where an image is bad, what was there stays. */
START_TEST(packing_is_all_or_nothing)
{
    const struct pack_options as_it_is = {0};
    char *dir = make_folders(__func__), *path = str_fmt("%s.shard", dir);
    struct dataset *train, *test;
    struct pack_result r;
    struct buf before = buf_new(1 << 20), after = buf_new(1 << 20);
    struct error err;

    must_pack(dir, path, &as_it_is, &r);
    ck_assert(file_read(path, &before, NULL));
    ck_assert_int_eq((int64_t)before.len, r.bytes);
    spoil(dir, "val/class-c/001.JPEG");
    train = must_open("imagefolder", dir, SPLIT_TRAIN);
    test = must_open("imagefolder", dir, SPLIT_TEST);
    ck_assert_error(pack_shard(train, test, path, &as_it_is, &r, &err), err,
                    "val/class-c/001.JPEG: damaged or cut off");
    ck_assert(file_read(path, &after, NULL));
    ck_assert(before.len == after.len && memcmp(before.data, after.data, after.len) == 0);
    dataset_close(train);
    dataset_close(test);
    buf_free(&before);
    buf_free(&after);
    free(path);
    free(dir);
}
END_TEST

START_TEST(every_damaged_byte_of_a_shard_is_noticed)
{
    const struct pack_options as_it_is = {0};
    char *dir = make_folders(__func__), *path = str_fmt("%s.shard", dir);
    struct pack_result r;
    struct buf b = buf_new(1 << 20);
    struct shard s;
    struct error err;
    size_t tail;

    must_pack(dir, path, &as_it_is, &r);
    ck_assert(file_read(path, &b, NULL));
    ck_assert_ok(shard_parse((uint8_t *)b.data, b.len, "s", &s, &err), err);
    ck_assert(s.counts[0] == CLASSES * TRAIN && s.counts[1] == CLASSES * VAL);
    tail = (size_t)((const char *)s.names - b.data);
    for (size_t at = 0; at < b.len; at += at < tail && at > 8 ? 1009 : 1) {
        const struct image first = {.data = shard_image(&s, 0).data, .len = shard_image(&s, 0).len};
        bool ok;

        b.data[at] = (char)(b.data[at] ^ 0x10);
        ok = shard_parse((uint8_t *)b.data, b.len, "s", &s, &err);
        if (at >= 8 && at < 12 + first.len)
            ck_assert_error(shard_intact(&first, &err), err, "expected the checksum");
        ck_assert_msg(ok == (at >= 8 && at < tail), "byte %zu", at);
        b.data[at] = (char)(b.data[at] ^ 0x10);
        ck_assert_ok(shard_parse((uint8_t *)b.data, b.len, "s", &s, &err), err);
    }
    for (size_t len = 0; len < b.len; len += 1 + len / 50)
        ck_assert_msg(!shard_parse((uint8_t *)b.data, len, "s", &s, &err), "%zu bytes", len);
    put(dir, "x.shard", b.data, b.len - 1);
    free(path);
    path = str_path(dir, "x.shard");
    ck_assert_error(try_open("shard", path, SPLIT_TRAIN, true, &err), err,
                    "expected \"DSTSHRD1\"; not a shard, or cut off");
    buf_free(&b);
    free(path);
    free(dir);
}
END_TEST

UNIT_MAIN(classes_and_images_come_in_the_order_of_their_names,
          test_images_are_in_val_or_else_in_test, chosen_classes_keep_their_names,
          a_limit_takes_of_each_class, what_is_no_image_is_an_error_or_skipped,
          the_loader_gives_the_same_views_whatever_the_threads, ready_images_can_be_cut_at_random,
          a_bad_image_ends_the_loader_with_its_name,
          bad_images_are_found_by_all_shares_together_and_remembered,
          what_cannot_be_read_is_not_corrupt, a_good_image_that_was_bad_is_named,
          a_set_without_a_good_image_is_an_error, the_identity_covers_labels_and_files,
          the_identity_is_remembered_until_a_file_changes,
          a_shard_has_the_identity_and_the_views_of_its_folders, packing_can_make_images_smaller,
          packing_is_all_or_nothing, every_damaged_byte_of_a_shard_is_noticed)
