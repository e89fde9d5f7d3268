/* proto/base: what lies below a folder, whatever links and renames say. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/base/beneath.h"
#include "proto/base/file.h"
#include "proto/base/str.h"
#include "proto/base/tree.h"
#include "tests/unit/unit.h"

/* ROOT/folder/file, what leads out of ROOT, and OUTSIDE/file beside it. */
static char *root, *outside;

static void put(const char *dir, const char *name, const char *text)
{
    char *path = str_path(dir, name);
    struct error err;

    ck_assert_ok(file_replace(path, text, strlen(text), 0644, &err), err);
    free(path);
}

static void make_dir(const char *dir, const char *name)
{
    char *path = str_path(dir, name);
    struct error err;

    ck_assert_ok(file_make_dirs(path, 0755, &err), err);
    free(path);
}

static void make_link(const char *to, const char *dir, const char *name)
{
    char *path = str_path(dir, name);

    unlink(path);
    ck_assert_int_eq(symlink(to, path), 0);
    free(path);
}

static void make_fifo(const char *dir, const char *name)
{
    char *path = str_path(dir, name);

    unlink(path);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    free(path);
}

static int build(void)
{
    int fd;

    root = str_path(unit_dir(), "root");
    outside = str_path(unit_dir(), "outside");
    make_dir(root, "folder/deep");
    make_dir(outside, "deep");
    put(root, "folder/file", "inside");
    put(root, "folder/deep/file", "inside");
    put(outside, "file", "secret");
    put(outside, "deep/file", "secret");
    make_link("../../outside/file", root, "folder/link");
    make_link(outside, root, "away");
    make_link("file", root, "folder/same");
    make_link("/proc/self/root", root, "magic");
    make_fifo(root, "folder/fifo");
    fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    return fd;
}

static void tear_down(int fd)
{
    close(fd);
    free(root);
    free(outside);
}

static const struct {
    const char *path;
    enum err_code code;
} cases[] = {
    {"folder/file", ERR_NONE},
    {"folder//deep/./file", ERR_NONE},
    {"folder/deep/file", ERR_NONE},
    {"folder/none", ERR_NOT_FOUND},
    {"none/file", ERR_NOT_FOUND},
    {"folder/file/below", ERR_NOT_FOUND},
    {"folder/link", ERR_FORBIDDEN},
    {"folder/same", ERR_FORBIDDEN},
    {"away/file", ERR_FORBIDDEN},
    {"away", ERR_FORBIDDEN},
    {"magic/etc/passwd", ERR_FORBIDDEN},
    {"../outside/file", ERR_FORBIDDEN},
    {"folder/../folder/file", ERR_FORBIDDEN},
    {"folder/deep/../../../outside/file", ERR_FORBIDDEN},
    {"..", ERR_FORBIDDEN},
    {"/etc/passwd", ERR_FORBIDDEN},
};

typedef int (*open_fn)(int folder, const char *path, int flags, struct error *err);
static const open_fn ways[] = {beneath_open, beneath_walk};

START_TEST(nothing_leads_out)
{
    int fd = build();

    for (size_t w = 0; w < ARRAY_LEN(ways); w++)
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            struct error err = {0};
            char text[16] = "";
            int got = ways[w](fd, cases[i].path, O_RDONLY, &err);

            ck_assert_msg((got >= 0) == (cases[i].code == ERR_NONE) && err.code == cases[i].code,
                          "way %zu, %s: %d, %s", w, cases[i].path, got, err.msg);
            if (got < 0)
                continue;
            ck_assert_int_eq(read(got, text, sizeof(text) - 1), 6);
            ck_assert_str_eq(text, "inside");
            ck_assert_int_eq(fcntl(got, F_GETFD), FD_CLOEXEC);
            close(got);
        }
    tear_down(fd);
}
END_TEST

/* As a sandbox without the system call answers; from here on, for this process. */
static void take_away_openat2(unsigned answer)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | answer),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog filter = {.len = ARRAY_LEN(rules), .filter = rules};

    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

static void check_without(unsigned answer)
{
    int fd = build();

    take_away_openat2(answer);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error err = {0};
        int got = beneath_open(fd, cases[i].path, O_RDONLY, &err);

        ck_assert_msg((got >= 0) == (cases[i].code == ERR_NONE) && err.code == cases[i].code,
                      "errno %u, %s: %d, %s", answer, cases[i].path, got, err.msg);
        if (got >= 0)
            close(got);
    }
    tear_down(fd);
}

START_TEST(an_old_kernel_is_no_way_out)
{
    check_without(ENOSYS);
}
END_TEST

START_TEST(a_sandbox_is_no_way_out)
{
    check_without(EPERM);
}
END_TEST

START_TEST(a_link_is_not_looked_at_either)
{
    int fd = build();

    for (size_t w = 0; w < ARRAY_LEN(ways); w++) {
        struct error err = {0};

        ck_assert(ways[w](fd, "folder/link", O_PATH, &err) < 0 && err.code == ERR_FORBIDDEN);
        ck_assert(ways[w](fd, "away", O_PATH, &err) < 0 && err.code == ERR_FORBIDDEN);
        ck_assert(ways[w](fd, "away", O_RDONLY | O_DIRECTORY, &err) < 0 &&
                  err.code == ERR_FORBIDDEN);
    }
    tear_down(fd);
}
END_TEST

START_TEST(the_folder_itself_is_below_itself)
{
    int fd = build();

    for (size_t w = 0; w < ARRAY_LEN(ways); w++)
        for (int i = 0; i < 2; i++) {
            struct stat a, b;
            struct error err;
            int got = ways[w](fd, i ? "." : "", O_RDONLY | O_DIRECTORY, &err);

            ck_assert_msg(got >= 0, "way %zu: %s", w, err.msg);
            ck_assert_int_eq(fstat(got, &a), 0);
            ck_assert_int_eq(fstat(fd, &b), 0);
            ck_assert(a.st_ino == b.st_ino);
            close(got);
        }
    tear_down(fd);
}
END_TEST

START_TEST(only_files_are_files)
{
    static const char *const others[] = {"folder/fifo", "folder", "folder/deep"};
    int fd = build();
    struct error err;
    struct stat st;
    int got = beneath_open_file(fd, "folder/file", &st, &err);

    ck_assert_msg(got >= 0 && st.st_size == 6, "%s", err.msg);
    close(got);
    alarm(10); /* a FIFO would be waited for */
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        got = beneath_open_file(fd, others[i], NULL, &err);
        ck_assert_msg(got < 0 && err.code == ERR_DATA, "%s: %s", others[i], err.msg);
    }
    ck_assert(beneath_open_file(fd, "folder/link", NULL, &err) < 0 && err.code == ERR_FORBIDDEN);
    got = open("/dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert(beneath_open_file(got, "null", NULL, &err) < 0 && err.code == ERR_DATA);
    close(got);
    alarm(0);
    tear_down(fd);
}
END_TEST

/* -- While somebody renames ----------------------------------------------------------------------- */

static atomic_bool over;

/* A folder and a link out change places. */
static void *swap(void *arg)
{
    int fd = *(int *)arg;

    while (!atomic_load(&over))
        syscall(SYS_renameat2, fd, "swapped", fd, "bait", RENAME_EXCHANGE);
    return NULL;
}

START_TEST(no_moment_leads_out)
{
    int fd = build(), refused = 0, found = 0;
    pthread_t thread;

    make_dir(root, "swapped");
    put(root, "swapped/file", "inside");
    make_link(outside, root, "bait");
    atomic_store(&over, false);
    ck_assert_int_eq(pthread_create(&thread, NULL, swap, &fd), 0);
    for (int i = 0; i < 4000; i++) {
        char text[16] = "";
        int got = ways[i % 2](fd, "swapped/file", O_RDONLY, NULL);

        refused += got < 0;
        found += got >= 0;
        if (got < 0)
            continue;
        ck_assert_int_eq(read(got, text, sizeof(text) - 1), 6);
        ck_assert_msg(strcmp(text, "inside") == 0, "opening %d led out", i);
        close(got);
    }
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    ck_assert_msg(found, "%d were refused", refused);
    tear_down(fd);
}
END_TEST

START_TEST(what_is_below_is_told_by_names)
{
    static const struct {
        const char *root, *path, *rest;
    } rows[] = {
        {"/data", "/data/a/b", "a/b"},  {"/data/", "/data//a", "a"}, {"/data", "/data", ""},
        {"/data", "/database/a", NULL}, {"/data", "/dat", NULL},     {"/data", "data/a", NULL},
        {"/", "/etc", "etc"},           {"/data/x", "/data", NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *rest = beneath_rest(rows[i].root, rows[i].path);

        ck_assert_msg((rest == NULL) == (rows[i].rest == NULL), "%zu", i);
        if (rest)
            ck_assert_str_eq(rest, rows[i].rest);
    }
}
END_TEST

static bool reads(const char *dir, const char *name, struct error *err)
{
    char *path = str_path(dir, name);
    struct buf text = buf_new(0);
    struct file_map m;
    bool ok = file_read(path, &text, err), mapped = file_map(&m, path, ok ? err : NULL);

    ck_assert_msg(ok == mapped, "%s is read and mapped by different rules", path);
    if (mapped)
        file_unmap(&m);
    buf_free(&text);
    free(path);
    return ok;
}

START_TEST(reading_stays_below_the_roots)
{
    int fd = build(), listed;
    char *list = str_fmt("/no/such/folder:%s", root), *away = str_path(root, "away");
    struct file_stamp stamp;
    enum file_kind kind;
    struct error err;

    for (int confined = 0; confined < 2; confined++) {
        file_set_roots(confined ? list : NULL);
        ck_assert_ok(reads(root, "folder/file", &err), err);
        ck_assert_ok(reads(outside, "file", &err), err); /* which is the daemon's to forbid */
        ck_assert_int_eq(file_in_roots(outside, NULL), !confined);
        ck_assert_int_eq(file_in_roots(away, NULL), true);
        ck_assert_int_eq(reads(root, "folder/link", &err), !confined);
        ck_assert_int_eq(reads(root, "away/file", &err), !confined);
        ck_assert_int_eq(reads(root, "folder/../folder/file", &err), !confined);
        ck_assert_int_eq(file_look(away, &stamp, &kind, &err), !confined);
        listed = file_open_folder(away, &err);
        ck_assert_int_eq(listed >= 0, !confined);
        if (listed >= 0)
            close(listed);
    }
    ck_assert_msg(err.code == ERR_FORBIDDEN && strstr(err.msg, root), "%s", err.msg);
    file_set_roots(NULL);
    free(away);
    free(list);
    tear_down(fd);
}
END_TEST

/* -- Trees ---------------------------------------------------------------------------------------- */

START_TEST(a_tree_goes_without_what_it_points_to)
{
    int fd = build();
    struct tree size = {0};
    struct error err;
    char *secret = str_path(outside, "deep/file"), *folder = str_path(root, "folder");

    ck_assert_ok(tree_measure(fd, "folder", &size, &err), err);
    ck_assert_int_eq(size.files, 5); /* two files, two links and the FIFO */
    ck_assert_msg(size.bytes > 0 && size.newest_ms > 0, "%d bytes", (int)size.bytes);
    ck_assert_ok(tree_remove(fd, "away", &err), err); /* the link */
    ck_assert_ok(tree_remove(fd, "folder", &err), err);
    ck_assert(!file_exists(folder) && file_exists(secret));
    /* What is gone has no size, and is removed again. */
    size = (struct tree){0};
    ck_assert_ok(tree_measure(fd, "folder", &size, &err), err);
    ck_assert_int_eq(size.files + size.bytes + size.newest_ms, 0);
    ck_assert_ok(tree_remove(fd, "folder", &err), err);
    free(folder);
    free(secret);
    tear_down(fd);
}
END_TEST

UNIT_MAIN(nothing_leads_out, a_link_is_not_looked_at_either, the_folder_itself_is_below_itself,
          only_files_are_files, no_moment_leads_out, reading_stays_below_the_roots,
          what_is_below_is_told_by_names, a_tree_goes_without_what_it_points_to,
          an_old_kernel_is_no_way_out, a_sandbox_is_no_way_out, an_old_kernel_is_no_way_out,
          a_sandbox_is_no_way_out)
