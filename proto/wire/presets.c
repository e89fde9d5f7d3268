#include "proto/wire/presets.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/base/table.h"
#include "proto/wire/job.h"

/* Normalisation, augmentation and the rest follow from the data. */
struct recipe {
    int64_t epochs, milestones[3], batch, lanes; /* without milestones: at 5/8, 6/8 and 7/8 */
    double lr, weight_decay;
    bool nesterov;
    double temperature, ramp; /* of the distillation term; ramp in epochs */
    double nd_ramp;           /* of dkd++'s nd */
    /* reviewkd: channels inside a fusion, 0: by the model; which taps are compared. */
    int64_t mid_width;
    const char *student_taps, *teacher_taps;
    /* dist: the authors' two replicas for CIFAR put their outputs together before the loss; processes, as for
     * ImageNet, do not. */
    const char *scope;
};

/* Lanes are the authors' replicas, because a batch norm sees one: 2 of 64. */
#define CIFAR                                                                                  \
    .epochs = 240, .weight_decay = 5e-4, .temperature = 4, .ramp = 20, .student_taps = "post", \
    .teacher_taps = "pre", .scope = "batch"
static const struct recipe cifar = {CIFAR, .batch = 128, .lanes = 2, .lr = 0.1, .nesterov = true};
/* MobileNetV2 and the ShuffleNets. */
static const struct recipe cifar_small = {CIFAR, .batch = 128, .lanes = 2, .lr = 0.02,
                                          .nesterov = true};
/* mdistiller's: one replica of 64. */
static const struct recipe cifar_base = {CIFAR, .batch = 64, .lanes = 1, .lr = 0.05};
static const struct recipe cifar_small_base = {CIFAR, .batch = 64, .lanes = 1, .lr = 0.01};

/* The authors say only that 512 images are cut evenly among processes. 8 lanes of 64 are what CIFAR has, and
 * allow as many ranks. */
#define IMAGENET                                                                       \
    .epochs = 100, .milestones = {30, 60, 90}, .weight_decay = 1e-4, .temperature = 1, \
    .scope = "lane"
/* The taps that the authors compare: a ReLU in place leaves a ResNet's after it, but not a MobileNet's. */
static const struct recipe imagenet = {
    IMAGENET,         .batch = 512,           .lanes = 8,
    .lr = 0.2,        .nesterov = true,       .ramp = 5,
    .mid_width = 512, .student_taps = "post", .teacher_taps = "post",
    .nd_ramp = 5};
static const struct recipe imagenet_mobile = {
    IMAGENET,         .batch = 512,          .lanes = 8,
    .lr = 0.2,        .nesterov = true,      .ramp = 5,
    .mid_width = 256, .student_taps = "pre", .teacher_taps = "post",
    .nd_ramp = 5};
static const struct recipe imagenet_base = {IMAGENET, .batch = 512, .lanes = 8, .lr = 0.2,
                                            .ramp = 1};
static const struct recipe imagenet_review = {
    IMAGENET,         .batch = 256,           .lanes = 4,           .lr = 0.1, .ramp = 1,
    .mid_width = 512, .student_taps = "post", .teacher_taps = "pre"};
static const struct recipe imagenet_mobile_review = {
    IMAGENET,         .batch = 256,           .lanes = 4,           .lr = 0.1, .ramp = 1,
    .mid_width = 256, .student_taps = "post", .teacher_taps = "pre"};

/* kd++, dist++, reviewkd++: weights of the distillation term and of nd. dkd++: alpha, beta, nd. kd: of the
 * term and of cross-entropy. dkd: alpha, beta. dist, reviewkd: of the term. */
const struct preset presets[] = {
    {"kd++/resnet56-resnet20", &cifar, {1.0, 2.0}},
    {"kd++/resnet32x4-resnet8x4", &cifar, {3.5, 2.0}},
    {"kd++/wrn_40_2-wrn_40_1", &cifar, {1.0, 1.5}},
    {"kd++/resnet50_cifar-mobilenetv2", &cifar_small, {3.0, 0.5}},
    {"kd++/resnet32x4-shufflenetv1", &cifar_small, {2.5, 1.5}},
    {"kd++/resnet32x4-shufflenetv2", &cifar_small, {4.0, 0.5}},
    {"kd++/resnet34-resnet18", &imagenet, {2.5, 1.0}},
    {"kd++/resnet50-resnet18", &imagenet, {4.0, 1.0}},
    {"kd++/resnet101-resnet18", &imagenet, {3.5, 4.0}},
    {"kd++/resnet152-resnet18", &imagenet, {4.0, 2.0}},
    {"kd++/resnet50-mobilenetv1", &imagenet_mobile, {4.0, 1.0}},

    {"dkd++/resnet56-resnet20", &cifar, {2.5, 4.0, 3.5}},
    {"dkd++/resnet32x4-resnet8x4", &cifar, {2.0, 8.0, 0.5}},
    {"dkd++/wrn_40_2-wrn_40_1", &cifar, {1.0, 6.0, 1.0}},
    {"dkd++/resnet50_cifar-mobilenetv2", &cifar_small, {0.5, 8.0, 1.0}},
    {"dkd++/resnet32x4-shufflenetv1", &cifar_small, {0.5, 8.0, 4.0}},
    {"dkd++/resnet32x4-shufflenetv2", &cifar_small, {0.5, 6.0, 0.5}},
    {"dkd++/resnet34-resnet18", &imagenet, {0.8, 0.5, 1.0}},
    {"dkd++/resnet50-resnet18", &imagenet, {0.6, 0.5, 2.0}},
    {"dkd++/resnet101-resnet18",
     &imagenet,
     {0.8, 0.5, 1.0}}, /* the script; the README has nd 2.0 */
    {"dkd++/resnet152-resnet18", &imagenet, {1.0, 1.0, 1.0}},
    {"dkd++/resnet50-mobilenetv1", &imagenet_mobile, {0.8, 1.0, 1.0}},

    {"dist++/resnet56-resnet20", &cifar, {2.0, 1.0}},
    {"dist++/resnet32x4-resnet8x4", &cifar, {1.5, 4.0}},
    {"dist++/wrn_40_2-wrn_40_1", &cifar, {2.5, 3.0}},
    {"dist++/resnet50_cifar-mobilenetv2", &cifar_small, {7.0, 1.0}},
    {"dist++/resnet32x4-shufflenetv1", &cifar_small, {2.5, 3.0}},
    {"dist++/resnet32x4-shufflenetv2", &cifar_small, {3.0, 4.0}},

    {"reviewkd++/resnet56-resnet20", &cifar, {1.2, 1.0}},
    {"reviewkd++/resnet32x4-resnet8x4", &cifar, {8.0, 1.0}},
    {"reviewkd++/wrn_40_2-wrn_40_1", &cifar, {5.0, 4.0}},
    {"reviewkd++/resnet50_cifar-mobilenetv2", &cifar_small, {6.0, 2.0}},
    {"reviewkd++/resnet32x4-shufflenetv1", &cifar_small, {7.0, 1.0}},
    {"reviewkd++/resnet32x4-shufflenetv2", &cifar_small, {8.0, 1.5}},
    {"reviewkd++/resnet34-resnet18", &imagenet, {1.0, 3.0}},
    {"reviewkd++/resnet50-resnet18", &imagenet, {3.0, 2.0}},
    {"reviewkd++/resnet101-resnet18", &imagenet, {3.0, 1.0}},
    {"reviewkd++/resnet152-resnet18", &imagenet, {3.0, 1.0}},
    /* README and comments, whose result is published; the script's last command has 6.0, 1.0 */
    {"reviewkd++/resnet50-mobilenetv1", &imagenet_mobile, {8.0, 4.0}},

    {"kd/resnet56-resnet20", &cifar_base, {0.9, 0.1}},
    {"kd/resnet32x4-resnet8x4", &cifar_base, {0.9, 0.1}},
    {"kd/wrn_40_2-wrn_40_1", &cifar_base, {0.9, 0.1}},
    {"kd/resnet50_cifar-mobilenetv2", &cifar_small_base, {0.9, 0.1}},
    {"kd/resnet32x4-shufflenetv1", &cifar_small_base, {0.9, 0.1}},
    {"kd/resnet32x4-shufflenetv2", &cifar_small_base, {0.9, 0.1}},
    {"kd/resnet34-resnet18", &imagenet_base, {0.5, 0.5}},
    {"kd/resnet50-mobilenetv1", &imagenet_base, {0.5, 0.5}},

    {"dkd/resnet56-resnet20", &cifar_base, {1.0, 2.0}},
    {"dkd/resnet32x4-resnet8x4", &cifar_base, {1.0, 8.0}},
    {"dkd/wrn_40_2-wrn_40_1", &cifar_base, {1.0, 6.0}},
    {"dkd/resnet50_cifar-mobilenetv2", &cifar_small_base, {1.0, 8.0}},
    {"dkd/resnet32x4-shufflenetv1", &cifar_small_base, {1.0, 8.0}},
    {"dkd/resnet32x4-shufflenetv2", &cifar_small_base, {1.0, 8.0}},
    {"dkd/resnet34-resnet18", &imagenet_base, {1.0, 0.5}},
    {"dkd/resnet50-mobilenetv1", &imagenet_base, {1.0, 2.0}},

    {"dist/resnet56-resnet20", &cifar_base, {2.0}},
    {"dist/resnet32x4-resnet8x4", &cifar_base, {2.0}},
    {"dist/wrn_40_2-wrn_40_1", &cifar_base, {2.0}},
    {"dist/resnet50_cifar-mobilenetv2", &cifar_small_base, {2.0}},
    {"dist/resnet32x4-shufflenetv1", &cifar_small_base, {2.0}},
    {"dist/resnet32x4-shufflenetv2", &cifar_small_base, {2.0}},
    {"dist/resnet34-resnet18", &imagenet_base, {2.0}},
    {"dist/resnet50-mobilenetv1", &imagenet_base, {2.0}},

    {"reviewkd/resnet56-resnet20", &cifar_base, {0.6}},
    {"reviewkd/resnet32x4-resnet8x4", &cifar_base, {5.0}},
    {"reviewkd/wrn_40_2-wrn_40_1", &cifar_base, {5.0}},
    {"reviewkd/resnet32x4-shufflenetv1", &cifar_small_base, {5.0}},
    {"reviewkd/resnet32x4-shufflenetv2", &cifar_small_base, {8.0}},
    {"reviewkd/resnet34-resnet18", &imagenet_review, {1.0}},
    {"reviewkd/resnet50-mobilenetv1", &imagenet_mobile_review, {8.0}},
};
const size_t n_presets = ARRAY_LEN(presets);

const struct preset *preset_find(const char *name, struct error *err)
{
    const struct preset *p = table_find(TABLE(presets), name);

    if (!p)
        table_unknown(TABLE(presets), "preset", name, err);
    return p;
}

/* Appends a loss; a ramp of 0 is none. */
static struct json *add(struct json *losses, const char *kind, double weight, double ramp)
{
    struct json *loss = js_new_object();

    js_set(loss, "kind", js_new_string(kind));
    js_set(loss, "weight", js_new_real(weight));
    if (ramp > 0)
        js_set(loss, "ramp_epochs", js_new_real(ramp));
    js_push(losses, loss);
    return loss;
}

static struct json *add_softened(struct json *losses, const char *kind, double weight,
                                 const struct recipe *r, double ramp)
{
    struct json *loss = add(losses, kind, weight, ramp);

    js_set(loss, "temperature", js_new_real(r->temperature));
    return loss;
}

typedef void add_term(struct json *losses, const struct recipe *r, const double *w, double ramp);

static void add_kd(struct json *losses, const struct recipe *r, const double *w, double ramp)
{
    add_softened(losses, "kd", w[0], r, ramp);
}

static void add_dkd(struct json *losses, const struct recipe *r, const double *w, double ramp)
{
    struct json *loss = add_softened(losses, "dkd", 1, r, ramp);

    js_set(loss, "alpha", js_new_real(w[0]));
    js_set(loss, "beta", js_new_real(w[1]));
}

static void add_dist(struct json *losses, const struct recipe *r, const double *w, double ramp)
{
    struct json *loss = add_softened(losses, "dist", w[0], r, ramp);

    js_set(loss, "scope", js_new_string(r->scope));
}

static void add_review(struct json *losses, const struct recipe *r, const double *w, double ramp)
{
    struct json *loss = add(losses, "reviewkd", w[0], ramp);

    js_set(loss, "student_taps", js_new_string(r->student_taps));
    js_set(loss, "teacher_taps", js_new_string(r->teacher_taps));
    if (r->mid_width)
        js_set(loss, "mid_width", js_new_int(r->mid_width));
}

/* Cross-entropy, the distillation term, nd. */
static struct json *losses_of(const struct preset *p)
{
    static const struct {
        const char *name;
        add_term *term;
        int ce, nd; /* which of the weights are theirs; without one, ce has 1 and nd is not there */
        bool ramps, nd_ramps;
    } methods[] = {
        {"kd++/", add_kd, -1, 1, true, false},     {"dkd++/", add_dkd, -1, 2, true, true},
        {"dist++/", add_dist, -1, 1, true, false}, {"reviewkd++/", add_review, -1, 1, true, false},
        {"kd/", add_kd, 1, -1, false, false},      {"dkd/", add_dkd, -1, -1, true, false},
        {"dist/", add_dist, -1, -1, false, false}, {"reviewkd/", add_review, -1, -1, true, false},
    };
    const struct recipe *r = p->recipe;
    struct json *losses = js_new_array();
    size_t m = 0;

    while (!str_starts(p->name, methods[m].name))
        m++;
    add(losses, "ce", methods[m].ce < 0 ? 1 : p->weights[methods[m].ce], 0);
    methods[m].term(losses, r, p->weights, methods[m].ramps ? r->ramp : 0);
    if (methods[m].nd >= 0)
        add(losses, "nd", p->weights[methods[m].nd], methods[m].nd_ramps ? r->nd_ramp : 0);
    return losses;
}

static struct json *model_json(const char *name, size_t length)
{
    struct json *j = js_new_object();
    char *model = str_ndup(name, length);

    js_set(j, "model", js_new_string(model));
    free(model);
    return j;
}

static struct json *optimizer_json(const struct recipe *r)
{
    struct json *j = js_new_object();

    js_set(j, "kind", js_new_string("sgd"));
    js_set(j, "lr", js_new_real(r->lr));
    js_set(j, "momentum", js_new_real(0.9));
    js_set(j, "nesterov", js_new_bool(r->nesterov));
    js_set(j, "weight_decay", js_new_real(r->weight_decay));
    return j;
}

/* Without milestones they follow from the epochs, as the recipe for CIFAR has them. */
static struct json *schedule_json(const struct recipe *r)
{
    struct json *j = js_new_object(), *milestones = js_new_array();

    for (size_t i = 0; r->milestones[0] && i < ARRAY_LEN(r->milestones); i++)
        js_push(milestones, js_new_int(r->milestones[i]));
    js_set(j, "kind", js_new_string("multistep"));
    js_set(j, "milestones", milestones);
    js_set(j, "gamma", js_new_real(0.1));
    return j;
}

static struct json *train_json(const struct recipe *r)
{
    struct json *j = js_new_object();

    js_set(j, "epochs", js_new_int(r->epochs));
    js_set(j, "batch", js_new_int(r->batch));
    js_set(j, "lanes", js_new_int(r->lanes));
    return j;
}

/* A job's name may become that of a folder. */
static struct json *name_json(const struct preset *p)
{
    char *name = str_dup(p->name);
    struct json *j;

    *strchr(name, '/') = '-';
    j = js_new_string(name);
    free(name);
    return j;
}

struct json *preset_job(const struct preset *p)
{
    const char *teacher = strchr(p->name, '/') + 1, *student = strchr(teacher, '-') + 1;
    struct json *job = js_new_object(), *labels = js_new_object();

    js_set(labels, "preset", js_new_string(p->name));
    js_set(job, "kind", js_new_string("distill"));
    js_set(job, "name", name_json(p));
    js_set(job, "labels", labels);
    js_set(job, "teacher", model_json(teacher, (size_t)(student - 1 - teacher)));
    js_set(job, "student", model_json(student, strlen(student)));
    js_set(job, "losses", losses_of(p));
    js_set(job, "optimizer", optimizer_json(p->recipe));
    js_set(job, "schedule", schedule_json(p->recipe));
    js_set(job, "train", train_json(p->recipe));
    return job;
}

bool preset_fill(struct json *job, const char *source, const char *weights, struct error *err)
{
    return (!source || job_put(job, "data.source", js_new_string(source), err)) &&
           (!weights || job_put(job, "teacher.weights", js_new_string(weights), err));
}

void preset_doubts(const struct preset *p, const struct json *job, struct buf *out)
{
    const struct recipe *r = p->recipe;
    double batch = js_real(js_path(job, "train.batch"), 0);
    double lanes = js_real(js_path(job, "train.lanes"), 0),
           lane = (double)r->batch / (double)r->lanes;
    double lr = js_real(js_path(job, "optimizer.lr"), 0), want = r->lr * batch / (double)r->batch;

    if (lanes > 0 && fabs(batch / lanes - lane) > 1e-9)
        buf_fmt(out, "%s has lanes of %g samples, which a batch norm sees; these have %g\n",
                p->name, lane, batch / lanes);
    if (fabs(lr - want) > 1e-9 * want)
        buf_fmt(out, "%s has a learning rate of %g for %g samples a step; this is %g\n", p->name,
                want, batch, lr);
    if (r->milestones[0] && js_int(js_path(job, "train.epochs"), 0) != r->epochs &&
        js_int(js_path(job, "schedule.milestones.0"), 0) == r->milestones[0])
        buf_fmt(out, "%s has its milestones for %lld epochs; set schedule.milestones too\n",
                p->name, (long long)r->epochs);
}
