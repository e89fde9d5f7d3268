/* daemon: the registry: versions, families, names in specs, and what is removed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/datasets.h"
#include "daemon/db.h"
#include "daemon/lifecycle.h"
#include "daemon/models.h"
#include "daemon/refs.h"
#include "daemon/uploads.h"
#include "proto/base/clock.h"
#include "proto/base/str.h"
#include "tests/unit/daemon_rig.h"
#include "tests/unit/unit.h"

static void hash_of(const char *text, char hex[SHA256_HEX])
{
    sha256_of(text, strlen(text), hex);
}

/* Registers a version whose content is `text`; its seq. */
static const char plain_about[] = "{\"architecture\":\"resnet8\"}";

static int64_t add_model_about(struct daemon *d, const char *name, const char *text,
                               const char *about, int64_t teacher, int64_t start)
{
    struct model m = {.kind = "upload", .about = js_parse(about, strlen(about), NULL)};
    const int64_t parents[MODEL_ROLE_COUNT] = {[MODEL_TEACHER] = teacher, [MODEL_START] = start};
    struct error err;
    int64_t seq;

    snprintf(m.name, sizeof(m.name), "%s", name);
    hash_of(text, m.sha256);
    ck_assert_ok(model_add(d->store, &m, parents, &err), err);
    seq = m.seq;
    model_fini(&m);
    return seq;
}

static int64_t add_model(struct daemon *d, const char *name, const char *text, int64_t teacher,
                         int64_t start)
{
    return add_model_about(d, name, text, plain_about, teacher, start);
}

static bool find(struct daemon *d, const char *text, struct model *m, struct error *err)
{
    struct ref ref;

    ck_assert_ok(ref_parse_model(text, &ref, err), *err);
    return model_find(d->store, &ref, m, err);
}

static int64_t version_of(struct daemon *d, const char *text)
{
    struct model m;
    struct error err;
    int64_t version;

    ck_assert_ok(find(d, text, &m, &err), err);
    version = m.version;
    model_fini(&m);
    return version;
}

START_TEST(a_version_is_never_given_twice)
{
    struct daemon d;
    struct model m;
    struct error err;

    rig_open(&d, "versions", 16);
    for (int64_t round = 1; round <= 5; round++) {
        add_model(&d, "a", "x", 0, 0);
        ck_assert_int_eq(version_of(&d, "a"), round);
        ck_assert_ok(find(&d, "a", &m, &err), err);
        ck_assert_ok(model_remove(d.store, &m, &err), err);
        model_fini(&m);
        ck_assert(!find(&d, "a", &m, &err) && err.code == ERR_NOT_FOUND);
    }
    add_model(&d, "b", "x", 0, 0);
    ck_assert_int_eq(version_of(&d, "b"), 1);
    rig_close(&d);
}
END_TEST

struct family {
    char models[256], steps[256];
};

static void note_model(const struct model *m, void *arg)
{
    struct family *f = arg;
    size_t n = strlen(f->models);

    snprintf(f->models + n, sizeof(f->models) - n, "%s ", m->name);
}

static void note_step(int64_t parent, int64_t child, const char *role, void *arg)
{
    struct family *f = arg;
    size_t n = strlen(f->steps);

    snprintf(f->steps + n, sizeof(f->steps) - n, "%lld%c%lld ", (long long)parent, role[0],
             (long long)child);
}

/* 1 teaches 2 and 3; 2 teaches 4, which begins with 3; 5 stands alone. */
START_TEST(a_family_is_all_above_and_all_below)
{
    static const struct {
        int64_t of;
        const char *models, *steps;
    } cases[] = {
        {1, "a b c d ", "1t2 1t3 2t4 3s4 "},
        {2, "a b d ", "1t2 2t4 "},
        {3, "a c d ", "1t3 3s4 "},
        {4, "a b c d ", "1t2 1t3 2t4 3s4 "},
        {5, "e ", ""},
    };
    struct daemon d;
    struct model m;
    struct error err;

    rig_open(&d, "family", 16);
    ck_assert_int_eq(add_model(&d, "a", "a", 0, 0), 1);
    add_model(&d, "b", "b", 1, 0);
    add_model(&d, "c", "c", 1, 0);
    add_model(&d, "d", "d", 2, 3);
    add_model(&d, "e", "e", 0, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct family f = {.models = ""};

        ck_assert_ok(model_family(d.store, cases[i].of, note_model, note_step, &f, &err), err);
        ck_assert_msg(strcmp(f.models, cases[i].models) == 0, "case %zu: %s", i, f.models);
        ck_assert_msg(strcmp(f.steps, cases[i].steps) == 0, "case %zu: %s", i, f.steps);
    }
    for (char name[] = "a"; name[0] <= 'c'; name[0]++) {
        ck_assert_ok(find(&d, name, &m, &err), err);
        ck_assert_msg(!model_remove(d.store, &m, &err) && err.code == ERR_CONFLICT, "%s is gone",
                      name);
        model_fini(&m);
    }
    rig_close(&d);
}
END_TEST

static struct json *parse(const char *text)
{
    struct json *j = js_parse(text, strlen(text), NULL);

    ck_assert_msg(j, "%s", text);
    return j;
}

static void add_dataset(struct daemon *d, const char *name, const char *content)
{
    struct dataset set = {
        .source = str_dup("idx:/data"), .labels = js_new_object(), .manifest = js_new_object()};
    struct error err;

    snprintf(set.name, sizeof(set.name), "%s", name);
    hash_of(content, set.sha256);
    ck_assert_ok(dataset_add(d->store, &set, &err), err);
    dataset_fini(&set);
}

struct pin_case {
    const char *spec, *want; /* the spec after it, or a part of what is wrong */
};

static void pins(struct daemon *d, const struct pin_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct json *spec = parse(cases[i].spec);
        struct problems p = {0};
        char *text;

        refs_pin(d, spec, &p);
        text = p.list.n ? str_dup(p.list.at[0].detail) : js_text(spec, JS_COMPACT | JS_SORTED);
        ck_assert_msg(p.list.n ? strstr(text, cases[i].want) != NULL
                               : strcmp(text, cases[i].want) == 0,
                      "case %zu: %s", i, text);
        free(text);
        js_free(spec);
        problems_free(&p);
    }
}

START_TEST(names_in_a_spec_are_pinned_or_refused)
{
    static const struct pin_case cases[] = {
        {"{\"teacher\":{\"weights\":\"model:a\"}}",
         "{\"teacher\":{\"model\":\"resnet8\",\"weights\":\"model:a@2\"}}"},
        {"{\"teacher\":{\"model\":\"resnet8\",\"weights\":\"model:a@1\"}}",
         "{\"teacher\":{\"model\":\"resnet8\",\"weights\":\"model:a@1\"}}"},
        {"{\"student\":{\"model\":null,\"weights\":\"model:a\"}}",
         "{\"student\":{\"model\":\"resnet8\",\"weights\":\"model:a@2\"}}"},
        {"{\"student\":{\"weights\":\"model:n\"},\"teacher\":{\"weights\":\"model:n\"}}",
         "{\"student\":{\"model\":\"resnet8\",\"weights\":\"model:n@1\"},"
         "\"teacher\":{\"mean\":[0,0.5,1],\"model\":\"resnet8\",\"std\":[1,1,2],"
         "\"weights\":\"model:n@1\"}}"},
        {"{\"teacher\":{\"mean\":[1,1,1],\"weights\":\"model:n\"}}",
         "{\"teacher\":{\"mean\":[1,1,1],\"model\":\"resnet8\",\"weights\":\"model:n@1\"}}"},
        {"{\"data\":{\"source\":\"dataset:s\"}}", "{\"data\":{\"source\":\"dataset:s\"}}"},
        {"{\"data\":{\"source\":\"idx:/model:a\"},\"teacher\":{\"weights\":\"/model:a\"}}",
         "{\"data\":{\"source\":\"idx:/model:a\"},\"teacher\":{\"weights\":\"/model:a\"}}"},
        {"{\"data\":3,\"teacher\":[],\"student\":{\"weights\":7}}",
         "{\"data\":3,\"student\":{\"weights\":7},\"teacher\":[]}"},
        {"{\"teacher\":{\"weights\":\"model:b\"}}", "there is no model"},
        {"{\"teacher\":{\"weights\":\"model:a@3\"}}", "no version 3"},
        {"{\"teacher\":{\"weights\":\"model:\"}}", "expected a name"},
        {"{\"teacher\":{\"weights\":\"model:a@\"}}", "expected a version"},
        {"{\"teacher\":{\"weights\":\"model:../a\"}}", "expected a name"},
        {"{\"teacher\":{\"model\":\"wrn\",\"weights\":\"model:a\"}}", "is a resnet8"},
        {"{\"data\":{\"source\":\"dataset:t\"}}", "no data set"},
    };
    struct daemon d;

    rig_open(&d, "pins", 16);
    add_model(&d, "a", "one", 0, 0);
    add_model(&d, "a", "two", 0, 0);
    add_model_about(&d, "n", "own",
                    "{\"architecture\":\"resnet8\",\"mean\":[0,0.5,1],\"std\":[1,1,2]}", 0, 0);
    add_dataset(&d, "s", "data");
    pins(&d, cases, ARRAY_LEN(cases));
    rig_close(&d);
}
END_TEST

static JobSpec *named_job(void)
{
    struct json *j = parse("{\"kind\":\"train\",\"data\":{\"source\":\"dataset:s\"},"
                           "\"student\":{\"model\":\"resnet8\",\"weights\":\"model:a@1\"}}");
    struct problems p = {0};
    JobSpec *spec = job_from_json(j, &p);

    ck_assert_uint_eq(p.list.n, 0);
    js_free(j);
    return spec;
}

/* Names among a sweep's values are pinned where they stand; what follows from them is each job's own. */
START_TEST(names_in_sweeps_are_pinned)
{
    static const struct pin_case cases[] = {
        {"{\"sweep\":{\"grid\":[{\"field\":\"teacher.weights\",\"values\":[\"model:a\",\"model:n\","
         "\"/f\"]}],"
         "\"baseline\":{\"teacher.weights\":\"model:n\"}},\"teacher\":{\"weights\":\"model:n\"}}",
         "{\"sweep\":{\"baseline\":{\"teacher.weights\":\"model:n@1\"},"
         "\"grid\":[{\"field\":\"teacher.weights\",\"values\":[\"model:a@1\",\"model:n@1\",\"/"
         "f\"]}]},"
         "\"teacher\":{\"weights\":\"model:n@1\"}}"},
        {"{\"sweep\":{\"grid\":[{\"field\":\"teacher\",\"values\":[{\"weights\":\"model:a\"},3]}]}"
         "}",
         "{\"sweep\":{\"grid\":[{\"field\":\"teacher\",\"values\":[{\"weights\":\"model:a@1\"},3]}]"
         "}}"},
        {"{\"sweep\":{\"grid\":[{\"field\":\"teacher\",\"values\":[{\"weights\":\"model:b\"}]}]}}",
         "there is no model"},
        {"{\"sweep\":{\"grid\":[3,{\"values\":1}],\"baseline\":4}}",
         "{\"sweep\":{\"baseline\":4,\"grid\":[3,{\"values\":1}]}}"},
    };
    struct daemon d;

    rig_open(&d, "swept", 16);
    add_model(&d, "a", "one", 0, 0);
    add_model_about(&d, "n", "own",
                    "{\"architecture\":\"resnet8\",\"mean\":[0,0.5,1],\"std\":[1,1,2]}", 0, 0);
    pins(&d, cases, ARRAY_LEN(cases));
    rig_close(&d);
}
END_TEST

/* While a sweep may still need it, a model cannot be removed. */
START_TEST(a_sweep_uses_what_its_values_name)
{
    static const char spec[] =
        "{\"sweep\":{\"grid\":[{\"field\":\"student.weights\",\"values\":[\"model:a@1\"]}]}}";
    JobSpec *named = named_job();
    struct job *j = job_new("job_1", named, 1);
    char user[JOB_ID_SIZE];
    struct daemon d;
    struct error err;

    rig_open(&d, "swept_use", 16);
    add_model(&d, "a", "one", 0, 0);
    free(j->spec);
    j->spec = str_dup(spec);
    ck_assert_ok(store_jobs_add(d.store, &j, 1, &err) && refs_note(&d, j, &err), err);
    ck_assert_ok(refs_busy(&d, "a", 1, user, &err), err);
    ck_assert_str_eq(user, "job_1");
    job_free(named);
    job_destroy(j);
    rig_close(&d);
}
END_TEST

/* The job keeps what its names stood for, and the worker gets paths. */
START_TEST(a_job_runs_with_what_it_was_accepted_with)
{
    JobSpec *spec = named_job();
    char job[JOB_ID_SIZE], hex[SHA256_HEX], *text, *want;
    struct dataset set;
    struct ref_use use;
    struct daemon d;
    struct error err;
    struct job *j;

    rig_open(&d, "uses", 16);
    j = job_new("", spec, 1);
    ck_assert(!lifecycle_submit(&d, j, &err)); /* there is nothing of those names */
    add_model(&d, "a", "one", 0, 0);
    add_dataset(&d, "s", "data");
    j = job_new("", spec, 1);
    ck_assert_ok(lifecycle_submit(&d, j, &err), err);
    ck_assert(strstr(j->spec, "\"model:a@1\"") && strstr(j->spec, "\"dataset:s\""));
    hash_of("one", hex);
    text = refs_plain(&d, j, &err);
    want = str_fmt("\"weights\":\"%s/blobs/%s\"", d.state_dir, hex);
    ck_assert_msg(text && strstr(text, want) && strstr(text, "\"source\":\"idx:/data\""), "%s",
                  text ? text : err.msg);
    free(want);
    free(text);
    ck_assert(refs_use(&d, j->id, "data.source", &use) && strcmp(use.ref.name, "s") == 0);
    ck_assert(!refs_use(&d, j->id, "teacher.weights", &use));
    ck_assert_ok(refs_busy(&d, "a", 1, job, &err), err);
    ck_assert_str_eq(job, j->id);
    ck_assert_ok(refs_busy(&d, "a", 2, job, &err), err);
    ck_assert_str_eq(job, "");
    /* Other data take the name. */
    ck_assert_ok(dataset_find(d.store, "s", &set, &err), err);
    ck_assert_ok(dataset_remove(d.store, &set, &err), err);
    dataset_fini(&set);
    ck_assert(!refs_plain(&d, j, &err) && err.code == ERR_CONFLICT);
    add_dataset(&d, "s", "other data");
    ck_assert(!refs_plain(&d, j, &err) && err.code == ERR_CONFLICT);
    hash_of("data", hex);
    ck_assert_msg(strstr(err.msg, hex), "%s", err.msg);
    job_free(spec);
    rig_close(&d);
}
END_TEST

static void write_blob(struct daemon *d, const char *content, char hex[SHA256_HEX])
{
    struct error err;
    char *path;

    hash_of(content, hex);
    path = blob_path(d, hex);
    ck_assert_ok(file_replace(path, content, strlen(content), 0644, &err), err);
    free(path);
}

static void age(struct daemon *d, int64_t touched_ms)
{
    struct db_stmt *q = db_prepare(store_state(d->store), "UPDATE upload SET touched_ms=?", NULL);

    db_bind_int(q, 1, touched_ms);
    ck_assert(db_run(q, NULL));
}

START_TEST(uploads_expire_and_what_nobody_refers_to_goes)
{
    char used[SHA256_HEX], kept[SHA256_HEX], orphan[SHA256_HEX];
    struct file_writer w;
    struct upload part, whole;
    struct daemon d;
    struct error err;
    bool fresh;

    rig_open(&d, "expiry", 16);
    d.settings.upload_bytes = 1000;
    ck_assert_ok(blobs_open(&d, &err), err);
    write_blob(&d, "used", used);
    write_blob(&d, "kept", kept);
    write_blob(&d, "orphan", orphan);
    add_model(&d, "a", "used", 0, 0);
    ck_assert_ok(upload_begin(&d, 4, kept, &whole, &fresh, &err), err);
    ck_assert(fresh && whole.complete);
    ck_assert_ok(upload_begin(&d, 10, "", &part, &fresh, &err), err);
    ck_assert(!part.complete);
    ck_assert_ok(upload_open_part(&d, &part, &w, &err), err);
    ck_assert_ok(file_writer_add(&w, "1234", 4, &err), err);
    file_writer_keep(&w);
    ck_assert_ok(upload_find(&d, part.id, &part, &err), err);
    ck_assert_int_eq(part.have, 4);
    ck_assert(!upload_begin(&d, 1001, "", &part, &fresh, &err) && err.code == ERR_TOO_LARGE);
    ck_assert_ok(blobs_open(&d, &err), err);
    ck_assert(blob_size(&d, used) == 4 && blob_size(&d, kept) == 4 && blob_size(&d, orphan) < 0);
    age(&d, clock_wall_ms() - (UPLOAD_HOURS - 1) * INT64_C(3600000));
    uploads_expire(&d);
    ck_assert_ok(upload_find(&d, whole.id, &whole, &err), err);
    age(&d, clock_wall_ms() - (UPLOAD_HOURS + 1) * INT64_C(3600000));
    uploads_expire(&d);
    ck_assert(!upload_find(&d, whole.id, &whole, &err) && err.code == ERR_NOT_FOUND);
    ck_assert(blob_size(&d, used) == 4 && blob_size(&d, kept) < 0);
    rig_close(&d);
}
END_TEST

UNIT_MAIN(a_version_is_never_given_twice, a_family_is_all_above_and_all_below,
          names_in_a_spec_are_pinned_or_refused, a_job_runs_with_what_it_was_accepted_with,
          names_in_sweeps_are_pinned, a_sweep_uses_what_its_values_name,
          uploads_expire_and_what_nobody_refers_to_goes)
