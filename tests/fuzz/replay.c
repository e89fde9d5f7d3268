/* The main program of a fuzz target without libFuzzer: runs each input as it is, then mutated. A crash
 * names the input and the mutation; with the same seed it comes again. */
#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "proto/base/opt.h"
#include "proto/base/rng.h"
#include "proto/base/str.h"
#include "tests/fuzz/fuzz.h"

enum {
    INPUT_MAX = 1 << 20,
    GROWTH = 64 /* bytes that mutations may add to an input */
};

struct replay {
    bool help;
    int64_t rounds, seed;
    opt_list paths;
    int64_t inputs, runs;
};

static const struct opt rows[] = {
    OPT(struct replay, rounds, OPT_INT, "rounds", "mutations of each input", .value = "N",
        .fallback = "200", .hi = INT64_MAX),
    OPT(struct replay, seed, OPT_INT, "seed", "0: another one each time; printed in any case",
        .value = "S", .env = "TEST_SEED", .fallback = "0", .hi = INT64_MAX),
    OPT(struct replay, help, OPT_FLAG, "help", "print this text", .letter = 'h'),
    OPT(struct replay, paths, ARG_SOME, "PATH", "an input, or a folder of them"),
};

/* What is being run, for on_crash. */
static char now[256];

static void on_crash(int number)
{
    ssize_t n = write(STDERR_FILENO, now, strlen(now));

    (void)n;
    signal(number, SIG_DFL);
    raise(number);
}

static void run(struct replay *r, const char *path, int64_t round, const uint8_t *data, size_t len)
{
    snprintf(now, sizeof(now), "crash: %.200s, mutation %" PRId64 " (0: as it is)\n", path, round);
    LLVMFuzzerTestOneInput(data, len);
    r->runs++;
}

/* One change: a bit, a byte of a kind that parsers care for, a cut, a repeat, an end. */
static size_t mutate_once(uint8_t *data, size_t len, uint64_t key, uint64_t *draw)
{
    static const uint8_t dear[] = {0, 1, 0x7f, 0x80, 0xff, '"', '{', '[', '%', '/', '-', ',', '\\'};
    size_t at = len ? (size_t)rng_below(key, (*draw)++, len) : 0;
    size_t n = 1 + (size_t)rng_below(key, (*draw)++, 16);

    switch (len ? rng_below(key, (*draw)++, 5) : 3) {
    case 0: data[at] ^= (uint8_t)(1u << rng_below(key, (*draw)++, 8)); return len;
    case 1: data[at] = dear[rng_below(key, (*draw)++, ARRAY_LEN(dear))]; return len;
    case 2:
        n = n < len - at ? n : len - at;
        memmove(data + at, data + at + n, len - at - n);
        return len - n;
    case 3:
        memmove(data + at + n, data + at, len - at);
        for (size_t i = 0; i < n; i++)
            data[at + i] = dear[rng_below(key, (*draw)++, ARRAY_LEN(dear))];
        return len + n;
    default: return at;
    }
}

static void run_mutated(struct replay *r, const char *path, int64_t round, const struct buf *in,
                        uint64_t key)
{
    uint64_t draw = 0;
    int changes = 1 + (int)rng_below(key, draw++, GROWTH / 16);
    uint8_t *copy = NEW_ARRAY(uint8_t, in->len + GROWTH), *exact;
    size_t n = in->len;

    memcpy(copy, buf_text(in), n);
    for (int i = 0; i < changes; i++)
        n = mutate_once(copy, n, key, &draw);
    /* Exactly as large as it says, so that a sanitizer sees a byte too much. */
    exact = NEW_ARRAY(uint8_t, n + !n);
    memcpy(exact, copy, n);
    run(r, path, round, exact, n);
    free(exact);
    free(copy);
}

static bool replay_file(struct replay *r, const char *path, struct error *err)
{
    struct buf in = buf_new(INPUT_MAX);
    uint64_t key = rng_key((uint64_t)r->seed, (uint64_t)r->inputs++);
    bool ok = file_read(path, &in, err);

    if (ok)
        run(r, path, 0, (const uint8_t *)buf_text(&in), in.len);
    for (int64_t i = 1; ok && i <= r->rounds; i++)
        run_mutated(r, path, i, &in, rng_key(key, (uint64_t)i));
    buf_free(&in);
    return ok;
}

static int visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static bool replay_path(struct replay *r, const char *path, struct error *err)
{
    struct dirent **names;
    struct stat st;
    bool ok = true;
    int n;

    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
        return replay_file(r, path, err);
    n = scandir(path, &names, visible, alphasort);
    if (n < 1)
        return err_set(err, ERR_NOT_FOUND, "%s: no inputs", path);
    for (int i = 0; i < n; i++) {
        char *file = str_path(path, names[i]->d_name);

        ok = ok && replay_file(r, file, err);
        free(file);
        free(names[i]);
    }
    free(names);
    return ok;
}

static void print_help(const char *program)
{
    const struct opt_set all = OPT_SET(rows, NULL);
    struct buf b = buf_new(0);

    buf_fmt(&b, "usage: %s ", program);
    opt_usage(&all, &b);
    buf_str(&b, "\n\nRuns a fuzz target over stored inputs and over mutations of them.\n\n");
    opt_help(&all, &b);
    fputs(buf_text(&b), stdout);
    buf_free(&b);
}

int main(int argc, char **argv)
{
    struct replay r = {0};
    const struct opt_set all = OPT_SET(rows, &r);
    struct opt_words words = {argv + 1, (size_t)argc - 1};
    struct error err = {0};
    bool ok = opt_defaults(&all, &err) && opt_parse(&all, 1, &words, &err);

    if (r.help) {
        print_help(argv[0]);
        ok = true;
    } else if (ok) {
        if (!r.seed)
            r.seed = clock_wall_ms();
        signal(SIGABRT, on_crash);
        signal(SIGSEGV, on_crash);
        printf("seed %" PRId64 "\n", r.seed);
        fflush(stdout);
        for (size_t i = 0; ok && i < r.paths.n; i++)
            ok = replay_path(&r, r.paths.at[i], &err);
        printf("%" PRId64 " inputs, %" PRId64 " runs\n", r.inputs, r.runs);
    }
    if (!ok)
        fprintf(stderr, "%s: %s\n", argv[0], err.msg);
    opt_free(&all);
    return ok ? 0 : err_exit_status(err.code);
}
