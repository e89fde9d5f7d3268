/* The remembered hash of a data set: taken while nothing changed, never when something did. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"
#include "worker/data/identity.h"
#include "worker/data/source.h"

enum {
    RECORD = 3074,
    RECORDS = 4
};

static char data_folder[200]; /* of this test alone */

/* CIFAR-100 whose pixels are all `fill`. */
static void make_data(const char *test, int fill)
{
    char *path = str_fmt("%s/%s/train.bin", unit_dir(), test);
    unsigned char bytes[RECORDS * RECORD];
    struct error err;

    memset(bytes, fill, sizeof(bytes));
    for (int i = 0; i < RECORDS; i++)
        bytes[i * RECORD + 1] = (unsigned char)i;
    snprintf(data_folder, sizeof(data_folder), "%s/%s", unit_dir(), test);
    ck_assert_ok(file_make_dirs(data_folder, 0755, &err), err);
    ck_assert_ok(file_replace(path, bytes, sizeof(bytes), 0644, &err), err);
    free(path);
}

static struct dataset *open_data(const int32_t *classes, size_t n)
{
    char *source = str_fmt("cifar100:%s", data_folder);
    const struct dataset_config cfg = {.source = source, .classes = classes, .n_classes = n};
    struct error err;
    struct dataset *d = dataset_open(&cfg, SPLIT_TRAIN, &err);

    ck_assert_msg(d, "%s", err.msg);
    free(source);
    return d;
}

/* As if the files had been there for a minute. */
static void age(struct dataset *d)
{
    for (size_t i = 0; i < d->files.n; i++)
        d->files.at[i].map.stamp.changed_ns -= 60000000000;
}

/* Whether the data had to be read; the identity must be right in any case. */
static bool was_read(struct dataset *d, bool anew)
{
    char *cache = str_path(unit_dir(), "cache"), hex[SHA256_HEX], want[SHA256_HEX];
    bool read;

    ck_assert(identity_of(d, cache, anew, hex, &read, NULL));
    ck_assert(dataset_sha256(d, want, NULL));
    ck_assert_str_eq(hex, want);
    free(cache);
    return read;
}

static bool opened_and_read(bool anew)
{
    struct dataset *d = open_data(NULL, 0);
    bool read;

    age(d);
    read = was_read(d, anew);
    dataset_close(d);
    return read;
}

START_TEST(data_is_read_once)
{
    make_data(__func__, 1);
    ck_assert(opened_and_read(false));
    ck_assert(!opened_and_read(false));
    ck_assert(opened_and_read(true)); /* --verify-data */
    ck_assert(!opened_and_read(false));
}
END_TEST

START_TEST(a_change_is_noticed)
{
    make_data(__func__, 1);
    ck_assert(opened_and_read(false));
    make_data(__func__, 2); /* another file of the same size */
    ck_assert(opened_and_read(false));
    ck_assert(!opened_and_read(false));
}
END_TEST

START_TEST(every_part_of_a_stamp_counts)
{
    struct dataset *d;
    int64_t *parts[4];

    make_data(__func__, 1);
    ck_assert(opened_and_read(false));
    d = open_data(NULL, 0);
    age(d);
    parts[0] = &d->files.at[0].map.stamp.size;
    parts[1] = &d->files.at[0].map.stamp.inode;
    parts[2] = &d->files.at[0].map.stamp.modified_ns;
    parts[3] = &d->files.at[0].map.stamp.changed_ns;
    for (int i = 0; i < 4; i++) {
        ck_assert(!was_read(d, false));
        *parts[i] -= 1;
        ck_assert_msg(was_read(d, false), "part %d", i);
    }
    dataset_close(d);
}
END_TEST

START_TEST(a_file_that_just_changed_is_not_trusted)
{
    struct dataset *d;

    make_data(__func__, 1);
    d = open_data(NULL, 0);
    ck_assert(was_read(d, false));
    ck_assert(was_read(d, false));
    dataset_close(d);
}
END_TEST

START_TEST(each_selection_has_its_own)
{
    const int32_t some[] = {2, 0};
    struct dataset *d;

    make_data(__func__, 1);
    ck_assert(opened_and_read(false));
    d = open_data(some, 2);
    age(d);
    ck_assert(was_read(d, false));
    ck_assert(!was_read(d, false));
    dataset_close(d);
    ck_assert(!opened_and_read(false));
}
END_TEST

/* The one entry there is; free(). */
static char *entry_path(const char *folder)
{
    char *command = str_fmt("ls %s/*.json", folder), line[1000] = "";
    FILE *f = popen(command, "r");

    ck_assert(f && fgets(line, sizeof(line), f));
    pclose(f);
    line[strcspn(line, "\n")] = '\0';
    free(command);
    return str_dup(line);
}

START_TEST(a_damaged_entry_is_ignored)
{
    char *own, *path;
    struct buf whole = buf_new(0);
    struct error err;

    make_data(__func__, 1);
    own = str_path(data_folder, ".distilld");
    ck_assert(opened_and_read(false));
    path = entry_path(own);
    ck_assert_ok(file_read(path, &whole, &err), err);
    for (size_t at = 0; at < whole.len; at += 7) {
        char *bad = str_ndup(buf_text(&whole), whole.len);

        bad[at] = bad[at] == '1' ? '2' : '1';
        ck_assert_ok(file_replace(path, bad, whole.len, 0644, &err), err);
        opened_and_read(false); /* asserts that the identity is right */
        ck_assert_ok(file_replace(path, bad, at, 0644, &err), err);
        ck_assert_msg(opened_and_read(false), "cut at %zu", at);
        free(bad);
    }
    ck_assert(!opened_and_read(false));
    buf_free(&whole);
    free(path);
    free(own);
}
END_TEST

START_TEST(where_the_folder_cannot_be_written_the_cache_serves)
{
    char *own, *cache = str_path(unit_dir(), "cache/data"), *path;
    struct error err;

    make_data(__func__, 1);
    own = str_path(data_folder, ".distilld");
    /* Not even root can make a folder where a file is. */
    ck_assert_ok(file_replace(own, "", 0, 0644, &err), err);
    ck_assert(opened_and_read(false));
    ck_assert(!opened_and_read(false));
    path = entry_path(cache);
    free(path);
    free(cache);
    free(own);
}
END_TEST

START_TEST(made_data_has_nothing_to_remember)
{
    struct error err;
    struct dataset *d =
        dataset_open(&(struct dataset_config){.source = "procedural:classes=2,train=4,test=2"},
                     SPLIT_TRAIN, &err);

    ck_assert_msg(d, "%s", err.msg);
    ck_assert(was_read(d, false));
    ck_assert(was_read(d, false));
    dataset_close(d);
}
END_TEST

UNIT_MAIN(data_is_read_once, a_change_is_noticed, every_part_of_a_stamp_counts,
          a_file_that_just_changed_is_not_trusted, each_selection_has_its_own,
          a_damaged_entry_is_ignored, where_the_folder_cannot_be_written_the_cache_serves,
          made_data_has_nothing_to_remember)
