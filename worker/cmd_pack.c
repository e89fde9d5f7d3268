/* pack: folders of images as one file. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "worker/cmd.h"
#include "worker/data/corrupt.h"
#include "worker/data/pack.h"
#include "worker/session.h"

struct pack_command {
    const char *source, *out;
    bool skip_corrupt;
    int64_t size, quality, threads;
};

static struct dataset *open_split(const struct pack_command *o, enum split split, struct error *err)
{
    const struct dataset_config cfg = {
        .source = o->source, .skip_corrupt = o->skip_corrupt, .decode_threads = (int)o->threads};
    struct dataset *d = dataset_open(&cfg, split, err);
    char *cache = session_cache_folder();
    bool ok = d && (dataset_encoded(d) ||
                    err_set(err, ERR_INVALID, "%s is packed already: its images have one size",
                            o->source));

    ok = ok && (!o->skip_corrupt || corrupt_remove(d, cache, false, err));
    free(cache);
    if (ok)
        return d;
    dataset_close(d);
    return NULL;
}

static void tell(const struct pack_command *o, const struct dataset *train,
                 const struct dataset *test, const struct pack_result *r)
{
    const struct dataset *const sets[] = {train, test};

    for (size_t i = 0; i < ARRAY_LEN(sets); i++)
        for (size_t k = 0; dataset_skipped_why(sets[i], k); k++)
            fprintf(stderr, "skipped: %s\n", dataset_skipped_why(sets[i], k));
    printf("%s: %" PRId64 " training and %" PRId64 " test images of %d classes, %" PRId64
           " bytes; %" PRId64 " made smaller, %" PRId64 " skipped\n",
           o->out, dataset_count(train), dataset_count(test), dataset_classes(train), r->bytes,
           r->made, dataset_skipped(train) + dataset_skipped(test));
}

static bool run(const struct pack_command *o, struct error *err)
{
    const struct pack_options how = {.size = (int)o->size, .quality = (int)o->quality};
    struct dataset *train = open_split(o, SPLIT_TRAIN, err);
    struct dataset *test = train ? open_split(o, SPLIT_TEST, err) : NULL;
    struct pack_result result;
    bool ok = test && pack_shard(train, test, o->out, &how, &result, err);

    if (ok)
        tell(o, train, test, &result);
    dataset_close(train);
    dataset_close(test);
    return ok;
}

int cmd_pack(const struct cmd *cmd, struct opt_words words)
{
    struct pack_command o = {0};
    static const struct opt rows[] = {
        OPT(struct pack_command, source, ARG_ONE, "SOURCE", "imagefolder:DIR, or another shard"),
        OPT(struct pack_command, out, ARG_ONE, "OUT.shard",
            "the file to write; jobs name it shard:OUT.shard"),
        OPT(struct pack_command, size, OPT_INT, "size",
            "make images whose shorter side is longer than N so small, and JPEG again; without it, "
            "every file is kept byte for byte",
            .value = "N", .fallback = "0", .lo = 0, .hi = 4096),
        OPT(struct pack_command, quality, OPT_INT, "quality", "of those", .value = "Q",
            .fallback = "95", .lo = 1, .hi = 100),
        OPT(struct pack_command, skip_corrupt, OPT_FLAG, "skip-corrupt",
            "leave out images that cannot be decoded"),
        OPT(struct pack_command, threads, OPT_INT, "threads", "that decode", .value = "N",
            .fallback = "2", .lo = 1, .hi = 64),
    };
    const struct opt_set options = OPT_SET(rows, &o);
    struct error err;
    int status;

    if (!cmd_parse(cmd, &options, 1, words, &status))
        return status;
    return run(&o, &err) ? 0 : cmd_fail(cmd, &err);
}
