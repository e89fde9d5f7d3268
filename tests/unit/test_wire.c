/* proto/wire: frames, messages as JSON, the rules of a JobSpec. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/rng.h"
#include "proto/wire/frame.h"
#include "proto/wire/ref.h"
#include "proto/wire/validate.h"
#include "tests/unit/unit.h"

static const char sample[] =
    "{\"schema_version\":1,\"kind\":\"distill\",\"name\":\"r56-r20-kdpp\",\"labels\":{\"a\":\"b\"},"
    "\"data\":{\"source\":\"cifar100:/abs/dir\",\"classes\":null,\"train_limit\":null,"
    "\"augment\":{\"pad_crop\":4,\"hflip\":true},\"mean\":null,\"std\":null},"
    "\"teacher\":{\"model\":\"resnet56\",\"weights\":\"/abs/"
    "t.safetensors\",\"class_means\":\"auto\"},"
    "\"student\":{\"model\":\"resnet20\",\"weights\":null,\"projector\":\"auto\"},"
    "\"losses\":[{\"kind\":\"ce\",\"weight\":1},"
    "{\"kind\":\"kd\",\"weight\":0,\"temperature\":4,\"ramp_epochs\":20},{\"kind\":\"nd\","
    "\"weight\":2}],"
    "\"optimizer\":{\"kind\":\"sgd\",\"lr\":0.1,\"momentum\":0,\"nesterov\":false,\"weight_decay\":"
    "0},"
    "\"schedule\":{\"kind\":\"multistep\",\"milestones\":[150,180,210],\"gamma\":0.1},"
    "\"train\":{\"epochs\":240,\"batch\":128,\"max_steps\":null,\"seed\":0,\"lanes\":4},"
    "\"resources\":{\"ranks\":2,\"threads\":1},\"checkpoint\":{\"keep\":2},\"retry\":{},"
    "\"priority\":0}";

static struct catalog known;

static void fill_catalog(void)
{
    catalog_init(&known);
    catalog_add(&known, CATALOG_MODELS, (struct catalog_entry){.name = "resnet20"});
    catalog_add(&known, CATALOG_MODELS, (struct catalog_entry){.name = "resnet56"});
    catalog_add(&known, CATALOG_LOSSES, (struct catalog_entry){.name = "ce"});
    catalog_add(
        &known, CATALOG_LOSSES,
        (struct catalog_entry){.name = "kd", .params = "temperature", .needs_teacher = true});
    catalog_add(&known, CATALOG_LOSSES,
                (struct catalog_entry){.name = "nd", .needs_teacher = true});
    catalog_add(&known, CATALOG_DATA, (struct catalog_entry){.name = "cifar100"});
    catalog_add(&known, CATALOG_DATA,
                (struct catalog_entry){.name = "imagefolder", .params = "image_size"});
    catalog_add(&known, CATALOG_OPTIMIZERS,
                (struct catalog_entry){.name = "sgd", .params = "momentum,nesterov"});
    catalog_add(&known, CATALOG_SCHEDULES,
                (struct catalog_entry){.name = "multistep", .params = "milestones,gamma"});
    catalog_add(&known, CATALOG_SCHEDULES,
                (struct catalog_entry){.name = "cosine", .params = "min_lr"});
}

/* The problems of the sample after some assignments, as one text. */
static void judge(struct error *err, const char *const *sets, size_t n)
{
    struct json *spec = js_parse(sample, strlen(sample), err);
    struct problems p = {0};
    JobSpec *job;

    fill_catalog();
    err_clear(err);
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(job_set(spec, sets[i], err), "%s", err->msg);
    job = job_from_json(spec, &p);
    if (job)
        job_validate(job, &known, &p);
    problems_none(&p, err);
    problems_free(&p);
    job_free(job);
    js_free(spec);
    catalog_free(&known);
}

START_TEST(the_sample_is_valid)
{
    struct error err;

    judge(&err, NULL, 0);
    ck_assert_msg(!err.msg[0], "%s", err.msg);
}
END_TEST

#define EIGHT "{},{},{},{},{},{},{},{},"

START_TEST(every_mistake_is_named_with_its_place)
{
    static const struct {
        const char *set, *says;
    } bad[] = {
        {"optimiser=1", "#/optimiser: unknown field; did you mean \"optimizer\"?"},
        {"train.sede=1", "#/train/sede: unknown field; did you mean \"seed\"?"},
        {"train.epochs=\"ten\"", "#/train/epochs: expected an integer, got \"ten\""},
        {"train.epochs=1.5", "#/train/epochs: expected an integer, got 1.5"},
        {"train.batch=99999999999", "#/train/batch: 99999999999 is out of range"},
        {"optimizer.nesterov=1", "#/optimizer/nesterov: expected true or false, got 1"},
        {"optimizer.lr=-0.1", "#/optimizer/lr: must be greater than 0, got -0.1"},
        {"optimizer.lr=0", "#/optimizer/lr: must be greater than 0"},
        {"optimizer.momentum=1", "#/optimizer/momentum: must be at least 0 and less than 1"},
        {"optimizer.nesterov=true", "needs a momentum"},
        {"optimizer.beta1=1", "#/optimizer/beta1: must be at least 0 and less than 1"},
        {"optimizer.beta2=0.5", "#/optimizer/beta2: optimizer \"sgd\" has no beta2"},
        {"optimizer.epsilon=0", "#/optimizer/epsilon: must be greater than 0"},
        {"optimizer.decay_vectors=2", "#/optimizer/decay_vectors: expected true or false, got 2"},
        {"schedule.min_lr=-1", "#/schedule/min_lr: must be at least 0, got -1"},
        {"schedule.min_lr=0.2", "#/schedule/min_lr: must be at most optimizer.lr, 0.1, got 0.2"},
        {"schedule.min_lr=0.01", "#/schedule/min_lr: schedule \"multistep\" has no min_lr"},
        {"optimizer.kind=lion", "unknown optimizer 'lion'"},
        {"kind=distil",
         "#/kind: expected one of train, class_means, distill, eval, got \"distil\""},
        {"kind=null", "#/kind: is required"},
        {"kind=train", "#/teacher: a job of kind \"train\" has no teacher"},
        {"kind=class_means", "#/student: a job of kind \"class_means\" has no student"},
        {"kind=eval", "#/student/weights: is required"},
        {"teacher=null", "#/teacher: is required in a job of kind \"distill\""},
        {"teacher.weights=null", "#/teacher/weights: is required"},
        {"teacher.model=resnet5", "unknown model 'resnet5'; did you mean 'resnet56'?"},
        {"teacher.model=onnx", "#/teacher/model: \"onnx\" is the graph of an .onnx file, got"},
        {"teacher.features=x", "#/teacher/features: only of the model \"onnx\" they can be named"},
        {"teacher.mean=[0.5]", "#/teacher/mean: expected 3 numbers, got 1"},
        {"teacher.mean=[0.5,0.5,0.5]", "#/teacher/std: mean and std are given together"},
        {"teacher.std=[0,1,1]", "#/teacher/std/0: must be greater than 0"},
        {"teacher.class_means=/m.json", "#/teacher/class_means: a JSON file does not say of which"},
        {"teacher.class_means_unverified=true",
         "#/teacher/class_means_unverified: is for class means in JSON, got \"auto\""},
        {"student.graph=/x.onnx", "#/student/graph: the model is \"resnet20\", not \"onnx\""},
        {"student.features=x", "#/student/features: only of the model \"onnx\""},
        {"losses=[]", "#/losses: at least one loss is required"},
        {"losses.1.kind=kdd", "#/losses/1/kind: unknown loss 'kdd'; did you mean 'kd'?"},
        {"losses.2.kind=kd", "#/losses/2/kind: loss \"kd\" stands there twice"},
        {"losses.2.temperature=2", "#/losses/2/temperature: loss \"nd\" has no temperature"},
        {"losses.2.tau=0.2", "#/losses/2/tau: loss \"nd\" has no tau"},
        {"losses.2.teacher_taps=post", "#/losses/2/teacher_taps: loss \"nd\" has no teacher_taps"},
        {"losses.2.mid_width=8", "#/losses/2/mid_width: loss \"nd\" has no mid_width"},
        {"losses.2.scope=batch", "#/losses/2/scope: loss \"nd\" has no scope"},
        {"losses.2.teacher_taps=before", "expected one of post, pre"},
        {"losses.2.label_smoothing=1", "#/losses/2/label_smoothing: must be at least 0 and less"},
        {"losses.2.alpha=-1", "#/losses/2/alpha: must be at least 0, got -1"},
        {"losses.2.beta=-1", "#/losses/2/beta: must be at least 0, got -1"},
        {"losses.2.gamma=-1", "#/losses/2/gamma: must be at least 0, got -1"},
        {"losses.2.tau=0", "#/losses/2/tau: must be greater than 0, got 0"},
        {"losses.2.norm_step=0", "#/losses/2/norm_step: must be greater than 0, got 0"},
        {"losses.2.norm_target=0", "#/losses/2/norm_target: must be greater than 0, got 0"},
        {"losses.2.mid_width=0", "#/losses/2/mid_width: must be at least 1 and at most 16384"},
        {"losses.2.layer=-1", "#/losses/2/layer: must be at least 0 and at most 64, got -1"},
        {"losses.2.start_epoch=-1", "#/losses/2/start_epoch: must be at least 0, got -1"},
        {"losses.2.stop_epoch=0", "#/losses/2/stop_epoch: must be at least 1, got 0"},
        {"losses.1.temperature=0", "#/losses/1/temperature: must be greater than 0"},
        {"losses.0.weight=-1", "#/losses/0/weight: must be at least 0, got -1"},
        {"data.source=/some/dir", "#/data/source: expected KIND:DIR"},
        {"data.source=cifar:/some/dir", "unknown kind of data 'cifar'"},
        {"data.classes=[1,1]", "#/data/classes: class 1 stands there twice"},
        {"data.classes=[3,-1,2]", "#/data/classes: class -1 is negative"},
        {"data.classes=\"0..99999\"", "#/data/classes: at most 32768 classes, got 100000"},
        {"data.classes=\"0..100000\"", "#/data/classes: with this the list has more than 100000"},
        {"schedule.milestones=\"0..1024\"", "#/schedule/milestones: at most 1024 epochs, got 1025"},
        {"losses=[" EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT "{}]",
         "#/losses: at most 64 losses, got 65"},
        {"data.classes=\"7..3\"", "#/data/classes: expected an integer"},
        {"data.augment.mix={}", "#/data/augment/mix: needs a mixup_alpha or a cutmix_alpha"},
        {"data.augment.mix={\"mixup_alpha\":-1}",
         "#/data/augment/mix/mixup_alpha: must be at least 0"},
        {"data.augment.mix={\"cutmix_alpha\":1,\"prob\":2}", "#/data/augment/mix/prob: must be"},
        {"data.val_fraction=1", "#/data/val_fraction: must be at least 0 and less than 1, got 1"},
        {"teacher.means={\"passes\":2}", "#/teacher/means/passes: without augmentation"},
        {"teacher.means={\"transform\":\"test\"}", "expected one of eval, train, got \"test\""},
        {"teacher.cache={}", "#/teacher/cache/views: is required: how many augmented views"},
        {"teacher.cache={\"views\":0}",
         "#/teacher/cache/views: must be at least 1 and at most 1000, got 0"},
        {"teacher.cache={\"views\":2,\"precision\":\"float64\"}",
         "#/teacher/cache/precision: expected one of float32, float16, none, got \"float64\""},
        {"teacher.ema_momentum=1", "#/teacher/ema_momentum: must be at least 0 and less than 1"},
        {"teacher.directions=mean", "expected one of class_means, classifier, ema, got \"mean\""},
        {"teacher.precision=int4",
         "#/teacher/precision: expected one of float32, int8, got \"int4\""},
        {"teacher.calibration_images=0", "#/teacher/calibration_images: must be at least 1"},
        {"data.mean=[0.5]", "#/data/mean: expected 3 numbers, got 1"},
        {"data.image_size=64", "#/data/image_size: images of cifar100 have one size already"},
        {"data.resize=64", "#/data/resize: images of cifar100 have one size already"},
        {"data.decode_threads=0", "#/data/decode_threads: must be at least 1"},
        {"data.augment.scale_min=0", "#/data/augment/scale_min: must be greater than 0"},
        {"data.augment.scale_max=0.05",
         "#/data/augment/scale_max: must be at least scale_min (0.08), got 0.05"},
        {"data.augment.ratio_min=2",
         "#/data/augment/ratio_max: must be at least ratio_min (2), got 1.33333"},
        {"data.augment.random_resized_crop=1", "expected true or false, got 1"},
        {"train.lanes=3", "#/train/lanes: must be a power of two, got 3"},
        {"resources.ranks=8", "#/resources/ranks: ranks must be a power of two and at most the "
                              "lanes: 8 ranks do not fit 4 lanes"},
        {"resources.ranks=3", "3 ranks do not fit 4 lanes"},
        {"resources.ranks=0", "#/resources/ranks: must be at least 1 and at most 1024, got 0"},
        {"resources.ranks=\"2\"",
         "#/resources/ranks: expected an integer, or an object of min and max, got \"2\""},
        {"resources.ranks={\"min\":1}", "#/resources/ranks/max: is required"},
        {"resources.ranks={\"min\":1,\"max\":3}", "#/resources/ranks/max: ranks must be a power"},
        {"resources.ranks={\"min\":1,\"max\":8}", "8 ranks do not fit 4 lanes"},
        {"resources.ranks={\"min\":4,\"max\":2}",
         "#/resources/ranks/min: must be at most max, 2, got 4"},
        {"resources.ranks={\"min\":1,\"most\":2}", "#/resources/ranks/most: unknown field"},
        {"schedule.milestones=[9,8]", "#/schedule/milestones: must be epochs in ascending order"},
        {"schema_version=2", "#/schema_version: must be at least 1 and at most 1, got 2"},
        {"student.projector=sometimes", "expected one of auto, always, never"},
        {"student.init=random", "expected one of default, repo"},
        {"labels.x=1", "#/labels/x: expected a string, got 1"},
        {"labels={\"a/b~\":{}}", "#/labels/a~1b~0: expected a string, got {}"},
    };
    struct error err;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        judge(&err, &bad[i].set, 1);
        ck_assert_msg(strstr(err.msg, bad[i].says), "%s: %s", bad[i].set, err.msg);
    }
}
END_TEST

START_TEST(a_loss_stops_after_it_starts)
{
    static const char *const good[] = {"losses.2.start_epoch=3", "losses.2.stop_epoch=4"};
    static const char *const bad[] = {"losses.2.start_epoch=3", "losses.2.stop_epoch=3"};
    struct error err;

    judge(&err, good, ARRAY_LEN(good));
    ck_assert_msg(!err.msg[0], "%s", err.msg);
    judge(&err, bad, ARRAY_LEN(bad));
    ck_assert_msg(strstr(err.msg, "#/losses/2/stop_epoch: must be after start_epoch, which is 3"),
                  "%s", err.msg);
}
END_TEST

START_TEST(labels_are_short_words)
{
    static const char *const good[] = {"a", "A/b_c.d-9", "0"};
    static const char *const bad[] = {"", "a:b", "-a", "a.", "two words", "a\n", "\xc3\xbc"};
    char key[JOB_MAX_LABEL_KEY + 2] = "", value[JOB_MAX_LABEL_VALUE + 2] = "";
    struct error err;

    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        ck_assert_msg(job_label_fits(good[i], "\xc3\xbc: any text", &err), "%s", good[i]);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(!job_label_fits(bad[i], "x", &err), "\"%s\"", bad[i]);
    memset(key, 'k', JOB_MAX_LABEL_KEY);
    memset(value, 'v', JOB_MAX_LABEL_VALUE);
    ck_assert_ok(job_label_fits(key, value, &err), err);
    ck_assert_ok(job_label_fits(key, "", &err), err);
    value[JOB_MAX_LABEL_VALUE] = 'v';
    ck_assert_error(job_label_fits(key, value, &err), err, "at most 256 bytes, got 257");
    key[JOB_MAX_LABEL_KEY] = 'k';
    ck_assert_error(job_label_fits(key, "", &err), err, "a key of 1 to 63");
    ck_assert_error(job_label_fits("a", "\t", &err), err, "a: expected no control characters");
    ck_assert_error(job_label_fits("a", "\x7f", &err), err, "a: expected no control characters");
}
END_TEST

/* Or those that wait, or a sweep has still to make, would fail after an upgrade. */
START_TEST(jobs_run_whatever_labels_an_earlier_version_took)
{
    struct error err;
    struct json *spec = js_parse(sample, strlen(sample), &err);
    struct json *labels = js_new_object();
    struct problems p = {0};
    JobSpec *job;

    js_set(labels, "two words", js_new_string("x\ny"));
    js_set(spec, "labels", labels);
    job = job_from_json(spec, &p);
    fill_catalog();
    job_validate(job, &known, &p);
    ck_assert_uint_eq(p.list.n, 0);
    job_check_labels(job, &p);
    ck_assert_uint_eq(p.list.n, 1);
    problems_free(&p);
    job_free(job);
    js_free(spec);
}
END_TEST

/* A spec with every default written out, as spec.json has it, says nothing that a loss does not read. */
START_TEST(the_normalised_form_is_valid)
{
    struct error err;
    struct json *spec = js_parse(sample, strlen(sample), &err), *again;
    struct problems p = {0};
    JobSpec *job = job_from_json(spec, &p), *second;

    fill_catalog();
    again = job_to_json(job);
    second = job_from_json(again, &p);
    job_validate(second, &known, &p);
    err_clear(&err);
    ck_assert_msg(problems_none(&p, &err), "%s", err.msg);
    problems_free(&p);
    job_free(job);
    job_free(second);
    js_free(spec);
    js_free(again);
    catalog_free(&known);
}
END_TEST

START_TEST(images_of_any_size_have_a_view)
{
    static const char *const sets[] = {"data.source=imagefolder:/x", "data.image_size=64",
                                       "data.augment.random_resized_crop=true", "data.resize=64",
                                       "data.resize=63"};
    struct error err;

    judge(&err, sets, 4);
    ck_assert_msg(!err.msg[0], "%s", err.msg);
    judge(&err, sets, 5);
    ck_assert(strstr(err.msg, "#/data/resize: must be at least image_size (64), got 63"));
}
END_TEST

START_TEST(all_mistakes_are_reported_at_once)
{
    static const char *const sets[] = {"optimizer.lr=-1", "train.lanes=3", "losses.1.kind=x"};
    struct error err;

    judge(&err, sets, ARRAY_LEN(sets));
    ck_assert(strstr(err.msg, "#/optimizer/lr") && strstr(err.msg, "#/train/lanes") &&
              strstr(err.msg, "#/losses/1/kind"));
}
END_TEST

START_TEST(normal_form_is_a_fixed_point_and_keeps_zeros)
{
    struct error err;
    struct problems p = {0};
    struct json *spec = js_parse(sample, strlen(sample), &err), *first, *second;
    JobSpec *a = job_from_json(spec, &p), *b;
    char *x, *y;

    first = job_to_json(a);
    b = job_from_json(first, &p);
    second = job_to_json(b);
    x = js_text(first, JS_INDENT);
    y = js_text(second, JS_INDENT);
    ck_assert_str_eq(x, y);
    ck_assert_int_eq(js_int(js_path(first, "train.seed"), -1), 0);
    ck_assert(js_real(js_path(first, "optimizer.momentum"), -1) == 0);
    ck_assert(js_real(js_path(first, "losses.1.weight"), -1) == 0);
    ck_assert(!js_bool(js_path(first, "optimizer.nesterov"), true));
    ck_assert_int_eq(js_int(js_path(first, "checkpoint.every_epochs"), -1), 1);
    ck_assert_int_eq(js_int(js_path(first, "retry.max_attempts"), -1), 3);
    ck_assert_str_eq(js_string(js_path(first, "labels.a"), ""), "b");
    ck_assert(!js_path(first, "train.max_steps"));
    free(x);
    free(y);
    job_free(a);
    job_free(b);
    js_free(spec);
    js_free(first);
    js_free(second);
}
END_TEST

/* A file with a graph is a model by itself; its paths are paths like others. */
START_TEST(onnx_files_need_no_model)
{
    static const char *const sets[] = {
        "teacher={\"weights\":\"t.onnx\"}",
        "student={\"weights\":\"best.safetensors\",\"graph\":\"s.onnx\"}"};
    struct error err;
    struct problems p = {0};
    struct json *spec = js_parse(sample, strlen(sample), &err);
    JobSpec *job;

    ck_assert(job_prepare(spec, "job.json", "/base", sets, ARRAY_LEN(sets), &err));
    job = job_from_json(spec, &p);
    ck_assert_ptr_nonnull(job);
    ck_assert_str_eq(job->teacher->model, "onnx");
    ck_assert_str_eq(job->teacher->weights, "/base/t.onnx");
    ck_assert_str_eq(job->student->model, "onnx");
    ck_assert_str_eq(job->student->graph, "/base/s.onnx");
    job_free(job);
    js_free(spec);
}
END_TEST

START_TEST(ranges_and_default_milestones)
{
    struct error err;
    struct problems p = {0};
    struct json *spec = js_parse(sample, strlen(sample), &err);
    JobSpec *job;

    ck_assert(job_set(spec, "data.classes=[90,\"0..3\",7]", &err));
    ck_assert(job_set(spec, "schedule=null", &err) && job_set(spec, "train.epochs=16", &err));
    job = job_from_json(spec, &p);
    ck_assert_ptr_nonnull(job);
    ck_assert_uint_eq(job->data->n_classes, 6);
    ck_assert(job->data->classes[0] == 90 && job->data->classes[4] == 3 &&
              job->data->classes[5] == 7);
    ck_assert(job->schedule->milestones[0] == 10 && job->schedule->milestones[2] == 14);
    job_free(job);
    js_free(spec);
}
END_TEST

START_TEST(ranks_are_a_number_or_a_range)
{
    static const struct {
        const char *set, *normal;
        int32_t min, max;
    } cases[] = {
        {"resources.ranks=2", "2", 2, 2},
        {"resources.ranks=null", "1", 1, 1},
        {"resources=null", "1", 1, 1},
        {"resources.ranks={\"min\":2,\"max\":2}", "2", 2, 2},
        {"resources.ranks={\"max\":4,\"min\":1}", "{\"min\":1,\"max\":4}", 1, 4},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error err = {0};
        struct problems p = {0};
        struct json *spec = js_parse(sample, strlen(sample), &err), *form;
        JobSpec *job;
        char *text;

        ck_assert_ok(job_set(spec, cases[i].set, &err), err);
        job = job_from_json(spec, &p);
        form = job_to_json(job);
        text = js_text(js_path(form, "resources.ranks"), JS_COMPACT);
        ck_assert_str_eq(text, cases[i].normal);
        ck_assert_int_eq(job->resources->ranks->min, cases[i].min);
        ck_assert_int_eq(job->resources->ranks->max, cases[i].max);
        ck_assert(problems_none(&p, &err));
        free(text);
        js_free(form);
        js_free(spec);
        job_free(job);
        problems_free(&p);
    }
}
END_TEST

START_TEST(result_form_leaves_out_what_cannot_matter)
{
    static const struct {
        const char *set, *differs;
    } cases[] = {
        {"name=other", NULL},
        {"priority=7", NULL},
        {"resources.ranks=4", NULL},
        {"resources.ranks={\"min\":1,\"max\":4}", NULL},
        {"checkpoint.every_steps=5", NULL},
        {"retry.max_attempts=1", NULL},
        {"watchdog.stall_s=1", NULL},
        {"data.source=cifar100:/elsewhere", NULL},
        {"data.on_corrupt=skip", NULL},
        {"data.decode_threads=7", NULL},
        {"teacher.weights=/elsewhere", NULL},
        {"teacher.calibration_images=9", NULL},
        {"teacher.precision=int8", "#/teacher/precision: \"float32\" became \"int8\"; "
                                   "#/teacher/calibration_images: nothing became 256"},
        {"data.image_size=64", "#/data/image_size: 224 became 64"},
        {"train.seed=2", "#/train/seed: 0 became 2"},
        {"train.lanes=8", "#/train/lanes: 4 became 8"},
        {"resources.threads=2", "#/resources/threads: 1 became 2"},
        {"data.source=cifar10:/abs/dir", "#/data/source"},
        {"train.max_steps=9", "#/train/max_steps: nothing became 9"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error err;
        struct problems p = {0};
        struct json *spec = js_parse(sample, strlen(sample), &err), *before, *now;
        JobSpec *job = job_from_json(spec, &p);
        char *difference;

        before = job_result_form(job);
        job_free(job);
        ck_assert(job_set(spec, cases[i].set, &err));
        job = job_from_json(spec, &p);
        now = job_result_form(job);
        difference = job_difference(before, now);
        if (cases[i].differs)
            ck_assert_msg(difference && strstr(difference, cases[i].differs), "%s: %s",
                          cases[i].set, difference ? difference : "no difference");
        else
            ck_assert_msg(!difference, "%s: %s", cases[i].set, difference);
        free(difference);
        job_free(job);
        js_free(spec);
        js_free(before);
        js_free(now);
    }
}
END_TEST

START_TEST(unreadable_fields_do_not_hide_broken_rules)
{
    static const char *const sets[] = {"kind=foo",
                                       "lr=3",
                                       "train.batch=abc",
                                       "optimizer.lr=-1",
                                       "labels={\"a\":1,\"b\":\"kept\",\"c\":null}",
                                       "losses.0=5"};
    static const char *const told[] = {"#/kind", "#/lr", "#/train/batch", "#/optimizer/lr"};
    struct error err;
    struct problems p = {0};
    struct json *spec = js_parse(sample, strlen(sample), &err);
    JobSpec *job;

    for (size_t i = 0; i < ARRAY_LEN(sets); i++)
        job_set(spec, sets[i], &err);
    job = job_from_json(spec, &p);
    ck_assert_ptr_nonnull(job);
    job_validate(job, NULL, &p);
    for (size_t i = 0; i < ARRAY_LEN(told); i++) {
        int n = 0;

        for (size_t k = 0; k < p.list.n; k++)
            n += strcmp(p.list.at[k].pointer, told[i]) == 0;
        ck_assert_msg(n == 1, "%s is told %d times", told[i], n);
    }
    ck_assert_uint_eq(job->n_labels, 1);
    ck_assert_str_eq(job->labels[0]->value, "kept");
    js_free(spec);
    job_free(job);
    problems_free(&p);
}
END_TEST

START_TEST(lists_and_problems_have_limits)
{
    static const char huge[] =
        "{\"data\":{\"classes\":[\"0..60000\",\"0..60000\",\"7..99999999\"]}}";
    struct error err;
    struct problems p = {0};
    struct json *spec = js_parse(huge, strlen(huge), &err);
    JobSpec *job = job_from_json(spec, &p);

    ck_assert_uint_eq(job->data->n_classes, 60001);
    ck_assert_uint_eq(p.list.n, 2);
    ck_assert_str_eq(p.list.at[0].pointer, "#/data/classes/1");
    for (int i = 0; i < 1000; i++)
        problems_add(&p, "#/x", "number %d", i);
    ck_assert_uint_eq(p.list.n, PROBLEMS_MAX);
    ck_assert_str_eq(p.list.at[PROBLEMS_MAX - 1].detail, "there are more problems than these");
    js_free(spec);
    job_free(job);
    problems_free(&p);
}
END_TEST

START_TEST(assignments_say_where_they_fail)
{
    struct error err;
    struct json *spec = js_parse(sample, strlen(sample), &err);

    ck_assert(job_set(spec, "checkpoint.every_steps=5", &err));
    ck_assert_int_eq(js_int(js_path(spec, "checkpoint.every_steps"), 0), 5);
    ck_assert(job_set(spec, "losses.2.weight=0.5", &err));
    ck_assert(job_set(spec, "name=a=b", &err));
    ck_assert_str_eq(js_string(js_get(spec, "name"), ""), "a=b");
    ck_assert_error(job_set(spec, "nothing", &err), err, "expected a.b=VALUE");
    ck_assert_error(job_set(spec, "losses.9.weight=1", &err), err, "losses.9");
    ck_assert_error(job_set(spec, "kind.x=1", &err), err, "kind");
    js_free(spec);
}
END_TEST

START_TEST(names_of_a_registry_are_no_paths)
{
    static const char *const sets[] = {"teacher.weights=model:big@2", "teacher.model=null",
                                       "student.weights=here.safetensors", "data.source=dataset:x"};
    struct error err;
    struct json *spec = js_parse(sample, strlen(sample), &err);
    struct problems p = {0};
    JobSpec *job;

    ck_assert_ok(job_prepare(spec, "-", "/base", sets, ARRAY_LEN(sets), &err), err);
    ck_assert_str_eq(js_string(js_path(spec, "teacher.weights"), ""), "model:big@2");
    ck_assert_str_eq(js_string(js_path(spec, "student.weights"), ""), "/base/here.safetensors");
    ck_assert_str_eq(js_string(js_path(spec, "data.source"), ""), "dataset:x");
    job = job_from_json(spec, &p);
    job_validate(job, NULL, &p); /* what weights of the registry are weights of, it knows */
    ck_assert_ok(problems_none(&p, &err), err);
    job_free(job);
    js_free(spec);
    problems_free(&p);
}
END_TEST

START_TEST(names_have_a_form)
{
    static const struct {
        const char *text, *name; /* NULL: refused */
        int64_t version;
    } cases[] = {
        {"model:a", "a", 0},
        {"a@7", "a", 7},
        {"model:a-b.c_d0@2147483647", "a-b.c_d0", 2147483647},
        {"123456789012345678901234567890123456789012345678901234567890123",
         "123456789012345678901234567890123456789012345678901234567890123", 0},
        {"1234567890123456789012345678901234567890123456789012345678901234", NULL, 0},
        {"", NULL, 0},
        {"model:", NULL, 0},
        {"@1", NULL, 0},
        {"a@", NULL, 0},
        {"a@0", NULL, 0},
        {"a@2147483648", NULL, 0},
        {"a@1@2", NULL, 0},
        {"A", NULL, 0},
        {"-a", NULL, 0},
        {"a.", NULL, 0},
        {"a/b", NULL, 0},
        {"..", NULL, 0},
        {"a b", NULL, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error err = {0};
        struct ref ref;
        bool ok = ref_parse_model(cases[i].text, &ref, &err);

        ck_assert_msg(ok == (cases[i].name != NULL), "case %zu: %s", i, err.msg);
        ck_assert_msg(ok || err.msg[0], "case %zu is refused without a word", i);
        ck_assert_msg(!ok ||
                          (strcmp(ref.name, cases[i].name) == 0 && ref.version == cases[i].version),
                      "case %zu: %s@%lld", i, ref.name, (long long)ref.version);
    }
}
END_TEST

START_TEST(frames_survive_any_cut)
{
    struct buf stream = buf_new(0), got = buf_new(0);
    struct error err;

    for (int i = 0; i < 50; i++) {
        char payload[300];

        memset(payload, 'a' + i % 26, sizeof(payload));
        ck_assert(frame_write(&stream, payload, rng_below(unit_seed(), (uint64_t)i, 300)));
    }
    for (size_t at = 0, frames = 0; frames < 50;) {
        const unsigned char *payload;
        size_t len, used;

        if (frame_read(got.data, got.len, &payload, &len, &used, &err) == FRAME_PARTIAL) {
            ck_assert_msg(at < stream.len, "a frame was lost");
            buf_add(&got, stream.data + at++, 1);
            continue;
        }
        ck_assert_uint_eq(len, rng_below(unit_seed(), frames, 300));
        ck_assert(!len || payload[0] == 'a' + frames % 26);
        buf_consume(&got, used);
        frames++;
    }
    ck_assert_uint_eq(got.len, 0);
    buf_free(&stream);
    buf_free(&got);
}
END_TEST

START_TEST(frame_lengths_are_not_trusted)
{
    const unsigned char *payload;
    size_t len, used;
    struct error err;

    ck_assert_int_eq(frame_read("\xff\xff\xff\xff", 4, &payload, &len, &used, &err), FRAME_BROKEN);
    ck_assert_ptr_nonnull(strstr(err.msg, "4294967295 bytes"));
    ck_assert_int_eq(frame_read("\x01\x00\x10\x00", 4, &payload, &len, &used, &err), FRAME_BROKEN);
    ck_assert_int_eq(frame_read("\x00\x00\x10\x00", 4, &payload, &len, &used, &err), FRAME_PARTIAL);
}
END_TEST

START_TEST(catalogs_travel_as_json)
{
    struct catalog again;
    struct json *j;
    struct error err;

    fill_catalog();
    j = catalog_json(&known);
    ck_assert_ok(catalog_from_json(&again, j, &err), err);
    ck_assert(catalog_find(&again, CATALOG_LOSSES, "kd")->needs_teacher);
    ck_assert(catalog_takes(catalog_find(&again, CATALOG_LOSSES, "kd"), "temperature"));
    ck_assert(!catalog_takes(catalog_find(&again, CATALOG_LOSSES, "ce"), "temperature"));
    js_delete(j, "models");
    catalog_free(&again);
    ck_assert_error(catalog_from_json(&again, j, &err), err, "no section \"models\"");
    catalog_free(&known);
    js_free(j);
}
END_TEST

START_TEST(a_cache_is_for_images_that_come_again)
{
    const char *const mixed[] = {"teacher.cache={\"views\":2}",
                                 "data.augment.mix={\"mixup_alpha\":1}"};
    const char *const means[] = {"teacher.cache={\"views\":2}", "kind=class_means", "student=null",
                                 "losses=null"};
    struct error err;

    judge(&err, mixed, 1);
    ck_assert_msg(!err.msg[0], "%s", err.msg);
    judge(&err, mixed, 2);
    ck_assert_msg(strstr(err.msg, "#/teacher/cache: keeps what the teacher gives for an image, but "
                                  "data.augment.mix mixes each"),
                  "%s", err.msg);
    judge(&err, means, ARRAY_LEN(means));
    ck_assert_msg(strstr(err.msg, "#/teacher/cache: is for training with a teacher; a job of kind "
                                  "\"class_means\" keeps nothing"),
                  "%s", err.msg);
}
END_TEST

UNIT_MAIN(a_cache_is_for_images_that_come_again, unreadable_fields_do_not_hide_broken_rules,
          lists_and_problems_have_limits, the_sample_is_valid,
          every_mistake_is_named_with_its_place, a_loss_stops_after_it_starts,
          images_of_any_size_have_a_view, onnx_files_need_no_model, labels_are_short_words,
          jobs_run_whatever_labels_an_earlier_version_took, the_normalised_form_is_valid,
          all_mistakes_are_reported_at_once, normal_form_is_a_fixed_point_and_keeps_zeros,
          ranges_and_default_milestones, ranks_are_a_number_or_a_range,
          result_form_leaves_out_what_cannot_matter, assignments_say_where_they_fail,
          names_of_a_registry_are_no_paths, names_have_a_form, frames_survive_any_cut,
          frame_lengths_are_not_trusted, catalogs_travel_as_json)
