/* daemon: a database whose log another thread writes back while commits go on, and that is given many rows at a time. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/db.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"

enum {
    ROWS = 6000, /* each of them a commit of about three pages */
    ROW_BYTES = 7000,
    PAGE = 8192,
    LOG_PAGES = 5000 /* one that never begins anew would have three times as many */
};

static const char *const scripts[] = {"CREATE TABLE t(n INTEGER PRIMARY KEY, text TEXT)"};
static const struct db_schema schema = {scripts, 1, NULL, 0};

static void add_row(struct db *db, int64_t n)
{
    static char text[ROW_BYTES];
    struct error err;
    struct db_stmt *q = db_prepare(db, "INSERT INTO t VALUES(?,?)", &err);

    ck_assert_msg(q, "%s", err.msg);
    memset(text, 'a' + (int)(n % 26), sizeof(text) - 1);
    db_bind_int(q, 1, n);
    db_bind_text(q, 2, text);
    ck_assert_ok(db_run(q, &err), err);
}

static void check_rows(struct db *db, int64_t rows)
{
    struct error err;
    struct db_stmt *q = db_prepare(db, "SELECT count(*), sum(n), sum(length(text)) FROM t", &err);

    ck_assert_msg(q, "%s", err.msg);
    ck_assert(db_step(q, &err) == DB_ROW);
    ck_assert_int_eq(db_int(q, 0), rows);
    ck_assert_int_eq(db_int(q, 1), rows * (rows - 1) / 2);
    ck_assert_int_eq(db_int(q, 2), rows * (ROW_BYTES - 1));
    db_reset(q);
}

/* The daemon's pool and its loop, played. */
struct rounds {
    struct db *db;
    pthread_t thread;
    bool asked, going;
    int done;
    atomic_bool returned;
};

static void *write_back(void *arg)
{
    struct rounds *r = arg;

    db_write_back(r->db);
    atomic_store(&r->returned, true);
    return NULL;
}

static void on_long_log(void *arg, struct db *db)
{
    struct rounds *r = arg;

    ck_assert_msg(!r->going, "a round begins while another one goes on");
    r->db = db;
    r->asked = true;
}

static void begin(struct rounds *r)
{
    r->asked = false;
    r->going = true;
    atomic_store(&r->returned, false);
    ck_assert_int_eq(pthread_create(&r->thread, NULL, write_back, r), 0);
}

static void end(struct rounds *r)
{
    pthread_join(r->thread, NULL);
    r->going = false;
    r->done++;
    db_written_back(r->db);
}

static struct db *open_rounds(const char *path, struct rounds *r)
{
    struct error err;
    struct db *db = db_open(path, DB_SYNC_NORMAL, &schema, &err);

    ck_assert_msg(db, "%s", err.msg);
    db_on_long_log(db, on_long_log, r);
    return db;
}

START_TEST(commits_go_on_while_the_log_is_written_back)
{
    char *path = str_path(unit_dir(), "rounds.db"), *log = str_path(unit_dir(), "rounds.db-wal");
    struct rounds r = {.done = 0};
    struct db *db = open_rounds(path, &r);
    struct stat st;

    for (int64_t n = 0; n < ROWS; n++) {
        add_row(db, n);
        if (r.asked)
            begin(&r);
        if (r.going && atomic_load(&r.returned))
            end(&r);
    }
    if (r.going)
        end(&r);
    ck_assert_int_ge(r.done, 2);
    ck_assert_int_eq(stat(log, &st), 0);
    ck_assert_msg(st.st_size < LOG_PAGES * PAGE, "the log has %lld bytes", (long long)st.st_size);
    ck_assert_ptr_null(db_trouble(db));
    check_rows(db, ROWS);
    db_close(db);
    ck_assert_int_ne(stat(log, &st), 0);
    db = open_rounds(path, &r);
    check_rows(db, ROWS);
    db_close(db);
    free(path);
    free(log);
}
END_TEST

/* The next descriptor that is opened would be beyond the limit. */
static void leave_no_descriptor(struct rlimit *before)
{
    int next = dup(STDERR_FILENO);
    struct rlimit none;

    ck_assert_int_ge(next, 0);
    close(next);
    getrlimit(RLIMIT_NOFILE, before);
    none = *before;
    none.rlim_cur = (rlim_t)next;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
}

START_TEST(a_round_that_cannot_begin_is_made_up_for)
{
    char *path = str_path(unit_dir(), "descriptors.db");
    struct rounds r = {.done = 0};
    struct db *db = open_rounds(path, &r);
    struct rlimit limit;
    int64_t n = 0;

    while (!r.asked)
        add_row(db, n++);
    leave_no_descriptor(&limit);
    begin(&r);
    end(&r);
    ck_assert_ptr_nonnull(db_trouble(db));
    setrlimit(RLIMIT_NOFILE, &limit);
    add_row(db, n++);
    ck_assert_ptr_null(db_trouble(db)); /* what matters was written */
    ck_assert_msg(r.asked, "nobody is asked again");
    begin(&r);
    end(&r);
    ck_assert_ptr_null(db_trouble(db));
    add_row(db, n++);
    ck_assert_msg(!r.asked, "the log was not written back");
    check_rows(db, n);
    db_close(db);
    free(path);
}
END_TEST

/* The first sync is of a part of the copy: nobody after it would hear that it has failed. */
START_TEST(a_copy_that_the_disk_does_not_keep_is_none)
{
    char *path = str_path(unit_dir(), "whole.db"), *copy = str_path(unit_dir(), "copy.db");
    char *tmp = str_fmt("%s.tmp", copy);
    struct rounds r = {.done = 0};
    struct db *db = open_rounds(path, &r);
    struct stat first, st;
    struct error err;

    ck_assert_ok(db_begin(db, &err), err);
    for (int64_t n = 0; n < ROWS; n++)
        add_row(db, n);
    ck_assert_ok(db_commit(db, &err), err);
    ck_assert_int_eq(setenv("DISTILLD_FAULT", "io:fsync:1", 1), 0);
    ck_assert_error(db_copy(path, copy, &err), err, "copy.db.tmp");
    ck_assert(stat(copy, &st) != 0 && stat(tmp, &st) != 0);
    ck_assert_ok(db_copy(path, copy, &err), err);
    ck_assert(stat(copy, &first) == 0 && first.st_size > (off_t)ROWS * ROW_BYTES);
    ck_assert_int_eq(setenv("DISTILLD_FAULT", "io:fsync:1+", 1), 0);
    ck_assert(!db_copy(path, copy, &err));
    ck_assert(stat(copy, &st) == 0 && st.st_ino == first.st_ino && stat(tmp, &st) != 0);
    db_close(db);
    db = open_rounds(copy, &r);
    check_rows(db, ROWS);
    db_close(db);
    free(path);
    free(copy);
    free(tmp);
}
END_TEST

/* -- Many rows at a time ------------------------------------------------------------------------------ */

struct words {
    size_t first, twice; /* twice: the row that has the key of the one before; 0: none */
};

static void bind_word(struct db_stmt *s, int at, size_t i, void *arg)
{
    const struct words *w = arg;
    static char texts[1000][16];

    snprintf(texts[i], sizeof(texts[i]), "word %zu", w->first + i);
    db_bind_int(s, at, (int64_t)(w->first + i - (w->twice && i == w->twice)));
    db_bind_text(s, at + 1, texts[i]);
}

static const char insert_words[] = "INSERT INTO t(n, text)";

static int64_t count_words(struct db *db)
{
    struct error err;
    struct db_stmt *q =
        db_prepare(db, "SELECT count(*), sum(text='word '||n) FROM t WHERE text >= 'w'", &err);
    int64_t n;

    ck_assert_msg(q, "%s", err.msg);
    ck_assert(db_step(q, &err) == DB_ROW);
    n = db_int(q, 0);
    ck_assert(!n || db_int(q, 1) == n);
    db_reset(q);
    return n;
}

START_TEST(any_number_of_rows_is_added)
{
    static const size_t numbers[] = {0, 1, 9, 10, 11, 99, 100, 111, 250, 1000};
    char *path = str_path(unit_dir(), "words.db");
    struct rounds r = {.done = 0};
    struct db *db = open_rounds(path, &r);
    struct words w = {.first = 1};
    struct error err;

    for (size_t k = 0; k < ARRAY_LEN(numbers); k++) {
        ck_assert_ok(db_insert(db, insert_words, 2, numbers[k], bind_word, &w, &err), err);
        w.first += numbers[k];
        ck_assert_int_eq(count_words(db), (int64_t)w.first - 1);
        ck_assert_int_eq(db_last_rowid(db), (int64_t)w.first - 1);
    }
    db_close(db);
    free(path);
}
END_TEST

START_TEST(a_row_that_cannot_be_added_is_an_error)
{
    char *path = str_path(unit_dir(), "twice.db");
    struct rounds r = {.done = 0};
    struct db *db = open_rounds(path, &r);
    struct error err;

    for (size_t twice = 1; twice < 120; twice += 7) {
        ck_assert_ok(db_begin(db, &err), err);
        ck_assert_error(
            db_insert(db, insert_words, 2, 120, bind_word, &(struct words){1, twice}, &err), err,
            "UNIQUE constraint failed: t.n");
        db_rollback(db);
        ck_assert_int_eq(count_words(db), 0);
    }
    ck_assert_ok(db_insert(db, insert_words, 2, 120, bind_word, &(struct words){1, 0}, &err), err);
    ck_assert_int_eq(count_words(db), 120);
    db_close(db);
    free(path);
}
END_TEST

UNIT_MAIN(commits_go_on_while_the_log_is_written_back, a_round_that_cannot_begin_is_made_up_for,
          a_copy_that_the_disk_does_not_keep_is_none, any_number_of_rows_is_added,
          a_row_that_cannot_be_added_is_an_error)
