/* manifest: what a data set holds. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/json.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/cmd.h"
#include "worker/data/corrupt.h"
#include "worker/data/identity.h"
#include "worker/session.h"

struct manifest_options {
    const char *source;
    bool skip_corrupt, anew, json;
    int64_t threads;
};

static struct json *classes_json(const struct dataset *d)
{
    const int n = dataset_classes(d);
    int64_t *counts = NEW_ARRAY(int64_t, (size_t)n);
    struct json *list = js_new_array();

    for (int64_t i = 0; i < dataset_count(d); i++)
        counts[dataset_label(d, i)]++;
    for (int c = 0; c < n; c++) {
        struct json *j = js_new_object();

        if (dataset_class_name(d, c))
            js_set(j, "name", js_new_string(dataset_class_name(d, c)));
        js_set(j, "images", js_new_int(counts[c]));
        js_push(list, j);
    }
    free(counts);
    return list;
}

static struct json *skipped_json(const struct dataset *d)
{
    struct json *list = js_new_array();

    for (size_t k = 0; dataset_skipped_why(d, k); k++)
        js_push(list, js_new_string(dataset_skipped_why(d, k)));
    return list;
}

/* NULL where the split cannot be used. */
static struct json *split_json(const struct manifest_options *o, enum split split,
                               struct error *err)
{
    const struct dataset_config cfg = {
        .source = o->source, .skip_corrupt = o->skip_corrupt, .decode_threads = (int)o->threads};
    struct dataset *d = dataset_open(&cfg, split, err);
    char *cache = session_cache_folder(), hex[SHA256_HEX];
    bool ok =
        d && (!o->skip_corrupt || !dataset_encoded(d) || corrupt_remove(d, cache, o->anew, err));
    struct json *j = NULL;

    if (ok && identity_of(d, cache, o->anew, hex, NULL, err)) {
        j = js_new_object();
        js_set(j, "data_sha256", js_new_string(hex));
        js_set(j, "images", js_new_int(dataset_count(d)));
        js_set(j, "image_size", js_new_int(dataset_size(d)));
        js_set(j, "skipped", js_new_int(dataset_skipped(d)));
        js_set(j, "skipped_why", skipped_json(d));
        js_set(j, "classes", classes_json(d));
    }
    dataset_close(d);
    free(cache);
    return j;
}

static void print_split(const char *name, const struct json *j)
{
    const struct json *classes = js_get(j, "classes"), *why = js_get(j, "skipped_why");

    printf("%s: %" PRId64 " images, %zu classes, sha256 %s\n", name, js_int(js_get(j, "images"), 0),
           js_len(classes), js_string(js_get(j, "data_sha256"), ""));
    if (js_int(js_get(j, "skipped"), 0))
        printf("  skipped: %" PRId64 "\n", js_int(js_get(j, "skipped"), 0));
    for (size_t k = 0; k < js_len(why); k++)
        printf("    %s\n", js_string(js_at(why, k), ""));
    for (size_t c = 0; c < js_len(classes); c++)
        printf("  %6zu %8" PRId64 " %s\n", c, js_int(js_get(js_at(classes, c), "images"), 0),
               js_string(js_get(js_at(classes, c), "name"), ""));
}

static void print(const struct manifest_options *o, const struct json *all)
{
    char *text;

    if (o->json) {
        text = js_text(all, JS_COMPACT);
        puts(text);
        free(text);
    } else {
        print_split("train", js_get(all, "train"));
        print_split("test", js_get(all, "test"));
    }
}

static bool run(const struct manifest_options *o, struct error *err)
{
    struct json *all = js_new_object();
    struct json *train = split_json(o, SPLIT_TRAIN, err);
    struct json *test = train ? split_json(o, SPLIT_TEST, err) : NULL;

    js_set(all, "source", js_new_string(o->source));
    if (train)
        js_set(all, "train", train);
    if (test) {
        js_set(all, "test", test);
        print(o, all);
    }
    js_free(all);
    return test;
}

int cmd_manifest(const struct cmd *cmd, struct opt_words words)
{
    struct manifest_options o = {0};
    static const struct opt rows[] = {
        OPT(struct manifest_options, source, ARG_ONE, "SOURCE",
            "the data as a job names them: imagefolder:DIR, shard:FILE, cifar100:DIR, ..."),
        OPT(struct manifest_options, skip_corrupt, OPT_FLAG, "skip-corrupt",
            "decode every image that is not known to be good, leave out the bad ones and tell of "
            "them (data.on_corrupt = skip)"),
        OPT(struct manifest_options, anew, OPT_FLAG, "verify",
            "read everything again, whatever is remembered"),
        OPT(struct manifest_options, threads, OPT_INT, "threads", "that decode", .value = "N",
            .fallback = "2", .lo = 1, .hi = 64),
        OPT(struct manifest_options, json, OPT_FLAG, "json", "print one JSON object"),
    };
    const struct opt_set options = OPT_SET(rows, &o);
    struct error err;
    int status;

    if (!cmd_parse(cmd, &options, 1, words, &status))
        return status;
    return run(&o, &err) ? 0 : cmd_fail(cmd, &err);
}
