/* A run's checkpoints: the newest good one is found whatever happened to the others. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/pinned.h"
#include "proto/base/rng.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"
#include "worker/ckpt/checkpoint.h"

enum {
    VALUES = 500
};

static char *fresh_dir(const char *name)
{
    return str_path(unit_dir(), name);
}

/* Every value of the checkpoint of step s is s. */
static bool save(const char *dir, int64_t step, struct error *err)
{
    float values[VALUES];
    const struct st_tensor t[] = {{"w", ST_F32, 1, {VALUES}, values, sizeof(values)},
                                  {"step", ST_I64, 0, {0}, &step, sizeof(step)}};
    const struct st_meta meta[] = {{"spec", "abc"}};
    struct json *note = js_new_object();
    bool ok;

    for (int i = 0; i < VALUES; i++)
        values[i] = (float)step;
    js_set(note, "ranks", js_new_int(2));
    ok = checkpoint_write(dir, step, t, ARRAY_LEN(t), meta, 1, note, err);
    js_free(note);
    return ok;
}

static void save_or_fail(const char *dir, int64_t step)
{
    struct error err;

    ck_assert_ok(save(dir, step, &err), err);
}

static struct buf warnings;

static void collect(void *arg, const char *sentence)
{
    buf_fmt(arg, "%s\n", sentence);
}

/* The step that a run would resume from; what was said on the way is in `warnings`. */
static int64_t newest(const char *dir)
{
    struct checkpoint c;
    struct error err;
    int64_t step;
    float values[VALUES];

    buf_reset(&warnings);
    ck_assert_ok(checkpoint_newest(dir, &c, collect, &warnings, &err), err);
    step = c.step;
    if (step >= 0) {
        ck_assert(st_to_float(st_find(c.tensors, "w"), values));
        for (int i = 0; i < VALUES; i++)
            ck_assert(values[i] == (float)step);
        ck_assert_int_eq(js_int(js_get(c.note, "ranks"), 0), 2);
        ck_assert_str_eq(st_meta(c.tensors, "spec"), "abc");
    }
    checkpoint_close(&c);
    return step;
}

static char *path_in(const char *dir, const char *name)
{
    return str_fmt("%s/%s", dir, name);
}

static bool there(const char *dir, const char *name)
{
    char *path = path_in(dir, name);
    bool is = file_exists(path);

    free(path);
    return is;
}

static void remove_in(const char *dir, const char *name)
{
    char *path = path_in(dir, name);

    ck_assert_msg(unlink(path) == 0, "%s", path);
    free(path);
}

/* As the daemon does. False: it has been removed. */
static bool pin(const char *dir, int64_t step)
{
    char *name = str_fmt("step-%09ld", (long)step);
    int fd = open(dir, O_RDONLY | O_DIRECTORY);
    bool ok = pinned_mark(fd, name, NULL);

    close(fd);
    free(name);
    return ok;
}

static bool is_marked(const char *dir, int64_t step)
{
    char *name = str_fmt("step-%09ld" PINNED_EXT, (long)step);
    bool is = there(dir, name);

    free(name);
    return is;
}

/* It is there, and verifies. */
static bool is_good(const char *dir, int64_t step)
{
    char *name = str_fmt("step-%09ld.safetensors", (long)step), *path = path_in(dir, name);
    struct checkpoint c;
    bool ok = checkpoint_open(path, &c, NULL);

    checkpoint_close(&c);
    free(path);
    free(name);
    return ok;
}

START_TEST(the_newest_is_found)
{
    char *dir = fresh_dir("newest/deep");

    ck_assert_int_eq(newest(dir), -1); /* nothing there */
    ck_assert_str_eq(buf_text(&warnings), "");
    save_or_fail(dir, 9);
    save_or_fail(dir, 100);
    save_or_fail(dir, 20);
    ck_assert_int_eq(newest(dir), 100);
    save_or_fail(dir, INT64_C(3000000000)); /* ten digits */
    ck_assert_int_eq(newest(dir), INT64_C(3000000000));
    ck_assert_str_eq(buf_text(&warnings), "");
    ck_assert(there(dir, "step-000000009.safetensors") && there(dir, "step-000000009.json"));
    free(dir);
}
END_TEST

START_TEST(the_note_carries_the_sum_of_the_file)
{
    char *dir = fresh_dir("note"), *path, *text, hex[SHA256_HEX];
    struct buf file = buf_new(0);
    struct error err;
    struct json *note;

    save_or_fail(dir, 5);
    path = path_in(dir, "step-000000005.safetensors");
    ck_assert_ok(file_read(path, &file, &err), err);
    sha256_of(file.data, file.len, hex);
    text = path_in(dir, "step-000000005.json");
    note = js_read_file(text, 10000, &err);
    ck_assert_str_eq(js_string(js_get(note, "sha256"), ""), hex);
    ck_assert_int_eq(js_int(js_get(note, "step"), -1), 5);
    js_free(note);
    buf_free(&file);
    free(text);
    free(path);
    free(dir);
}
END_TEST

/* What can happen to the newest of two. */
static void truncate_tensors(const char *dir)
{
    char *path = path_in(dir, "step-000000002.safetensors");

    ck_assert_int_eq(truncate(path, 1000), 0);
    free(path);
}

static void flip_a_byte(const char *dir)
{
    char *path = path_in(dir, "step-000000002.safetensors");
    FILE *f = fopen(path, "r+");

    ck_assert(f && fseek(f, -1, SEEK_END) == 0 && fputc(0x55, f) == 0x55 && fclose(f) == 0);
    free(path);
}

static void lose_tensors(const char *dir)
{
    remove_in(dir, "step-000000002.safetensors");
}

static void lose_note(const char *dir)
{
    remove_in(dir, "step-000000002.json");
}

static void spoil_note(const char *dir)
{
    char *path = path_in(dir, "step-000000002.json");

    ck_assert(file_replace(path, "{", 1, 0644, NULL));
    free(path);
}

static void swap_with_the_older(const char *dir)
{
    static const char *const ext[] = {"safetensors", "json"};

    for (int i = 0; i < 2; i++) {
        char *from = str_fmt("%s/step-000000001.%s", dir, ext[i]);
        char *to = str_fmt("%s/step-000000002.%s", dir, ext[i]);
        struct buf b = buf_new(0);

        ck_assert(file_read(from, &b, NULL) && file_replace(to, b.data, b.len, 0644, NULL));
        buf_free(&b);
        free(from);
        free(to);
    }
}

static const struct damage {
    const char *name;
    void (*apply)(const char *dir);
    const char *warning;
    bool counts; /* alone, it is a checkpoint that cannot be used, and not no checkpoint */
} damages[] = {
    {"truncated", truncate_tensors, "its sha256 is", true},
    {"flipped", flip_a_byte, "its sha256 is", true},
    {"no-tensors", lose_tensors, "step-000000002.safetensors: No such file", true},
    {"no-note", lose_note, "its writing was interrupted", false},
    {"bad-note", spoil_note, "step-000000002.json: not valid JSON", true},
    {"renamed", swap_with_the_older, "its .json says step 1", true},
};

START_TEST(a_damaged_one_is_passed_over_with_a_warning)
{
    for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
        const struct damage *d = &damages[i];
        char *dir = fresh_dir(d->name);

        save_or_fail(dir, 1);
        save_or_fail(dir, 2);
        d->apply(dir);
        ck_assert_msg(newest(dir) == 1, "%s", d->name);
        ck_assert_msg(strstr(buf_text(&warnings), d->warning) &&
                          strstr(buf_text(&warnings), "passing over the checkpoint of step 2"),
                      "%s: %s", d->name, buf_text(&warnings));
        save_or_fail(dir, 2); /* written again, it is good again */
        ck_assert_msg(newest(dir) == 2, "%s", d->name);
        free(dir);
    }
}
END_TEST

/* A run must not silently start over when what it had is spoilt; but one that was killed during its
 * first checkpoint must be able to. */
START_TEST(damage_to_the_only_one_is_an_error)
{
    for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
        const struct damage *d = &damages[i];
        char *name = str_fmt("only-%s", d->name), *dir = fresh_dir(name);
        struct checkpoint c;
        struct error err;

        save_or_fail(dir, 1);
        save_or_fail(dir, 2);
        d->apply(dir);
        remove_in(dir, "step-000000001.json");
        remove_in(dir, "step-000000001.safetensors");
        buf_reset(&warnings);
        if (d->counts) {
            ck_assert_error(checkpoint_newest(dir, &c, collect, &warnings, &err), err, dir);
            ck_assert_int_eq(err.code, ERR_DATA);
        } else {
            ck_assert_ok(checkpoint_newest(dir, &c, collect, &warnings, &err), err);
            ck_assert_int_eq(c.step, -1);
        }
        free(dir);
        free(name);
    }
}
END_TEST

/* In a child, because the counters of the seam are the process's: whether the step could be saved. */
static bool save_with_fault(const char *dir, int64_t step, const char *op, int nth)
{
    char fault[32];
    int status;
    pid_t pid;

    snprintf(fault, sizeof(fault), "io:%s:%d", op, nth);
    pid = fork();
    if (pid == 0) {
        setenv("DISTILLD_FAULT", fault, 1);
        _exit(save(dir, step, NULL) ? 0 : 7);
    }
    ck_assert(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    ck_assert_msg(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 7, "%s: %d", fault, status);
    return WEXITSTATUS(status) == 0;
}

START_TEST(whatever_fails_the_one_before_stays)
{
    static const char *const ops[] = {"open", "write", "fsync", "rename"};

    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        int nth = 1;
        char *name = str_fmt("fault-%s", ops[i]), *dir = fresh_dir(name);

        ck_assert(save_with_fault(dir, 1, "none", 0));
        for (; !save_with_fault(dir, 2, ops[i], nth); nth++) {
            int64_t step = newest(dir);

            /* The very last steps of a save may fail after everything is in place. */
            ck_assert_msg(step == 1 || (step == 2 && strcmp(ops[i], "fsync") == 0),
                          "after %s %d: %ld: %s", ops[i], nth, (long)step, buf_text(&warnings));
            ck_assert(checkpoint_prune(dir, 2, NULL));
            ck_assert_int_eq(newest(dir), step);
            ck_assert_str_eq(buf_text(&warnings), "");
        }
        ck_assert_msg(nth > 2, "%s never failed", ops[i]); /* two files, so two at least */
        ck_assert_int_eq(newest(dir), 2);
        free(dir);
        free(name);
    }
}
END_TEST

START_TEST(pruning_keeps_the_newest_and_clears_leftovers)
{
    static const char *const leftovers[] = {"step-000000050.safetensors.tmp-12",
                                            "step-000000050.json.tmp-9",
                                            "step-000000060.safetensors", "step-000000002.json"};
    char *dir = fresh_dir("prune"), *path;
    struct error err;

    for (int64_t step = 10; step <= 50; step += 10)
        save_or_fail(dir, step);
    for (size_t i = 0; i < ARRAY_LEN(leftovers); i++) {
        path = path_in(dir, leftovers[i]);
        ck_assert(file_replace(path, "x", 1, 0644, NULL));
        free(path);
    }
    path = path_in(dir, "mine.txt");
    ck_assert(file_replace(path, "x", 1, 0644, NULL));
    free(path);

    ck_assert_ok(checkpoint_prune(dir, 2, &err), err);
    for (size_t i = 0; i < ARRAY_LEN(leftovers); i++)
        ck_assert_msg(!there(dir, leftovers[i]), "%s", leftovers[i]);
    for (int64_t step = 10; step <= 50; step += 10) {
        char *tensors = str_fmt("step-%09ld.safetensors", (long)step);
        char *note = str_fmt("step-%09ld.json", (long)step);

        ck_assert_msg(there(dir, tensors) == (step >= 40) && there(dir, note) == (step >= 40),
                      "step %ld", (long)step);
        free(tensors);
        free(note);
    }
    ck_assert(there(dir, "mine.txt"));
    ck_assert_int_eq(newest(dir), 50);
    ck_assert_ok(checkpoint_prune(dir, 2, &err), err);
    ck_assert_ok(checkpoint_prune("/nonexistent/dir", 2, &err), err);
    free(dir);
}
END_TEST

START_TEST(what_is_pinned_stays)
{
    char *dir = fresh_dir("pinned"), *path;
    struct error err;

    for (int64_t step = 10; step <= 50; step += 10)
        save_or_fail(dir, step);
    path = path_in(dir, "step-000000020" PINNED_EXT);
    ck_assert(file_replace(path, "", 0, 0644, NULL));
    free(path);
    path = path_in(dir, "step-000000077" PINNED_EXT); /* of nothing */
    ck_assert(file_replace(path, "", 0, 0644, NULL));
    free(path);
    ck_assert_ok(checkpoint_prune(dir, 2, &err), err);
    ck_assert(there(dir, "step-000000020.safetensors") && there(dir, "step-000000020.json"));
    ck_assert(there(dir, "step-000000020" PINNED_EXT));
    ck_assert(there(dir, "step-000000040.json") && there(dir, "step-000000050.json"));
    ck_assert(!there(dir, "step-000000010.json") && !there(dir, "step-000000030.json"));
    ck_assert(!there(dir, "step-000000077" PINNED_EXT));

    path = path_in(dir, "step-000000020" PINNED_EXT);
    ck_assert_int_eq(unlink(path), 0);
    free(path);
    ck_assert_ok(checkpoint_prune(dir, 2, &err), err);
    ck_assert(!there(dir, "step-000000020.safetensors") && !there(dir, "step-000000020.json"));
    free(dir);
}
END_TEST

/* Resumption, too: a pinned one that is damaged waits for the run to come there again, and behind one that is not damaged
 * no run goes back. */
START_TEST(what_is_pinned_is_not_dropped)
{
    char *dir = fresh_dir("later"), *path;
    struct error err;

    for (int64_t step = 10; step <= 50; step += 10)
        save_or_fail(dir, step);
    pin(dir, 30);
    ck_assert_error(checkpoint_drop_after(dir, 20, CHECKPOINT_NOT_WANTED, &err), err, "is pinned");
    ck_assert_int_eq(err.code, ERR_CONFLICT);
    ck_assert_int_eq(newest(dir), 50);
    ck_assert_ok(checkpoint_drop_after(dir, 30, CHECKPOINT_NOT_WANTED, &err), err);
    ck_assert_int_eq(newest(dir), 30);

    path = path_in(dir, "step-000000030.safetensors");
    ck_assert_int_eq(truncate(path, 100), 0);
    free(path);
    save_or_fail(dir, 40);
    ck_assert_ok(checkpoint_drop_after(dir, 20, CHECKPOINT_DAMAGED, &err), err);
    ck_assert(!there(dir, "step-000000040.json"));
    ck_assert(there(dir, "step-000000030.safetensors") && there(dir, "step-000000030.json"));
    ck_assert_int_eq(newest(dir), 20);
    save_or_fail(dir, 30);
    ck_assert_ok(checkpoint_prune(dir, 1, &err), err);
    ck_assert(is_good(dir, 30));
    free(dir);
}
END_TEST

/* -- Whoever is killed, whenever ------------------------------------------------------------------- */

enum {
    DIED = 9,
    PINNED_BEFORE = 20,
    PINNED_AFTER = 10,
};

static void rotate(const char *dir)
{
    checkpoint_prune(dir, 0, NULL);
}

static void go_back(const char *dir)
{
    checkpoint_drop_after(dir, -1, CHECKPOINT_DAMAGED, NULL);
}

static void remove_first(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY);

    pinned_remove(fd, "step-000000010", NULL);
    close(fd);
}

static void (*const removers[])(const char *dir) = {rotate, go_back, remove_first};

static int changes; /* that are still made */
static void die_in_time(void)
{
    if (changes-- == 0)
        _exit(DIED);
}

/* In a process of its own, which dies before its n-th change. Whether it did. */
static bool run_and_die(void (*run)(const char *dir), const char *dir, int n)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        changes = n;
        file_set_fence(die_in_time);
        run(dir);
        _exit(0);
    }
    ck_assert(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return WEXITSTATUS(status) == DIED;
}

/* Whether one that was pinned outlives all that may be done to it, or one that was not leaves nothing. */
static void check_fate(const char *dir, int64_t step, bool pinned, int n)
{
    for (size_t i = 0; i < ARRAY_LEN(removers); i++)
        removers[i](dir);
    ck_assert_msg(is_good(dir, step) == pinned, "step %d, killed at change %d", (int)step, n);
}

/* One is pinned before, another is pinned, or refused, after the kill. */
START_TEST(a_killed_removal_takes_nothing_that_is_pinned)
{
    for (size_t i = 0; i < ARRAY_LEN(removers); i++) {
        bool died = true;
        int n = 0;

        for (; died; n++) {
            char *name = str_fmt("killed-%zu-%d", i, n), *dir = fresh_dir(name);
            bool pinned;

            for (int64_t step = 10; step <= 30; step += 10)
                save_or_fail(dir, step);
            ck_assert(pin(dir, PINNED_BEFORE));
            died = run_and_die(removers[i], dir, n);
            pinned = pin(dir, PINNED_AFTER);
            ck_assert_msg(pinned || n > 0, "nothing was removed");
            check_fate(dir, PINNED_BEFORE, true, n);
            check_fate(dir, PINNED_AFTER, pinned, n);
            free(dir);
            free(name);
        }
        ck_assert_msg(n > 3, "remover %zu made %d changes", i, n - 1);
    }
}
END_TEST

enum {
    ROUNDS = 40,
    ACKNOWLEDGED = 7
};

static void pin_first(const char *dir)
{
    if (pin(dir, PINNED_AFTER))
        _exit(ACKNOWLEDGED);
}

static void write_first(const char *dir)
{
    save(dir, PINNED_AFTER, NULL);
}

static pid_t run_soon(void (*run)(const char *dir), const char *dir, uint64_t us)
{
    pid_t pid = fork();

    if (pid == 0) {
        usleep((useconds_t)us);
        run(dir);
        _exit(0);
    }
    return pid;
}

/* All at once, and one of them is killed: a user removes, a rotation and a resumption remove, rank 0 writes the same step
 * again, and another user pins. */
static void check_round(uint64_t key)
{
    static void (*const all[])(const char *dir) = {pin_first, rotate, go_back, remove_first,
                                                   write_first};
    char *name = str_fmt("round-%llu", (unsigned long long)key), *dir = fresh_dir(name);
    pid_t pids[ARRAY_LEN(all)];
    bool acknowledged = false;
    int status;

    save_or_fail(dir, PINNED_AFTER);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        pids[i] = run_soon(all[i], dir, rng_below(key, i, 400));
    usleep((useconds_t)rng_below(key, 100, 800));
    kill(pids[rng_below(key, 101, ARRAY_LEN(all))], SIGKILL);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
        acknowledged |= WIFEXITED(status) && WEXITSTATUS(status) == ACKNOWLEDGED;
    }
    /* A mark that nobody was told of holds as well. */
    check_fate(dir, PINNED_AFTER, acknowledged || is_marked(dir, PINNED_AFTER), 0);
    free(dir);
    free(name);
}

START_TEST(what_was_acknowledged_stays_whoever_is_killed)
{
    for (uint64_t round = 0; round < ROUNDS; round++)
        check_round(rng_key(unit_seed(), round));
}
END_TEST

/* Its holder may be stopped for ever. A rotation leaves what it cannot have to the next one. */
START_TEST(the_lock_is_not_waited_for_for_ever)
{
    char *dir = fresh_dir("held");
    struct error err;
    int fd, lock;

    save_or_fail(dir, 10);
    fd = open(dir, O_RDONLY | O_DIRECTORY);
    lock = pinned_hold(fd, "step-000000010", &err);
    ck_assert_int_ge(lock, 0);
    ck_assert_error(pinned_mark(fd, "step-000000010", &err), err, "held the lock");
    ck_assert_int_eq(err.code, ERR_BUSY);
    ck_assert_ok(checkpoint_prune(dir, 0, &err), err);
    ck_assert(is_good(dir, 10));
    close(lock);
    ck_assert_ok(checkpoint_prune(dir, 0, &err), err);
    ck_assert(!there(dir, "step-000000010.json"));
    ck_assert(!pinned_mark(fd, "step-000000010", &err));
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    close(fd);
    free(dir);
}
END_TEST

/* Others may have come from anybody, and would be the newest. */
START_TEST(only_a_steps_own_name_counts)
{
    static const char *const others[] = {
        "step-0000000070", "step-9223372036854775807", "step-99999999999999999999",
        "step-70",         "step-00000007x",           "step-",
        "step--00000070"};
    static const char *const exts[] = {".safetensors", ".json"};
    char *dir = fresh_dir("names");
    struct error err;

    save_or_fail(dir, 10);
    save_or_fail(dir, 20);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        ck_assert_int_eq(pinned_step(others[i], ""), -1);
        for (size_t k = 0; k < 2; k++) {
            char *name = str_fmt("%s%s", others[i], exts[k]), *path = path_in(dir, name);

            ck_assert(file_replace(path, "x", 1, 0644, NULL));
            free(path);
            free(name);
        }
    }
    ck_assert_int_eq(pinned_step("step-1000000000.json", ".json"), 1000000000);
    ck_assert_ok(checkpoint_prune(dir, 1, &err), err);
    ck_assert_int_eq(newest(dir), 20);
    ck_assert(!there(dir, "step-000000010.json"));
    free(dir);
}
END_TEST

START_TEST(one_can_be_opened_by_its_path)
{
    char *dir = fresh_dir("path"), *path = path_in(dir, "step-000000007.safetensors");
    struct checkpoint c;
    struct error err;

    ck_assert_error(checkpoint_open(path, &c, &err), err, "step-000000007.json");
    ck_assert_int_eq(err.code, ERR_DATA);
    save_or_fail(dir, 7);
    ck_assert_ok(checkpoint_open(path, &c, &err), err);
    ck_assert_int_eq(c.step, 7);
    ck_assert_uint_eq(st_tensors(c.tensors), 2);
    checkpoint_close(&c);
    checkpoint_close(&c);
    free(path);
    free(dir);
}
END_TEST

/* The faults come first: they count the process's operations. */
UNIT_MAIN(whatever_fails_the_one_before_stays, the_newest_is_found,
          the_note_carries_the_sum_of_the_file, a_damaged_one_is_passed_over_with_a_warning,
          damage_to_the_only_one_is_an_error, pruning_keeps_the_newest_and_clears_leftovers,
          what_is_pinned_stays, what_is_pinned_is_not_dropped,
          a_killed_removal_takes_nothing_that_is_pinned,
          what_was_acknowledged_stays_whoever_is_killed, the_lock_is_not_waited_for_for_ever,
          only_a_steps_own_name_counts, one_can_be_opened_by_its_path)
