/* The frozen teacher: a sample's outputs are a function of the sample, wherever in a chunk it stands. Caches of
 * outputs, which are filled in storage order and read in the order of training, rest on that. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/rng.h"
#include "tests/unit/unit.h"
#include "worker/calibrate.h"

enum {
    CHUNK = 16,
    SAMPLES = 27, /* a chunk, and one to be filled up */
    SIZE = 32,
    IMAGE = 3 * SIZE * SIZE,
    CLASSES = 10
};

/* One model of each family, convolutions narrow and wide; threads and form do not multiply what they find. */
static const struct row {
    const char *model;
    int threads;
    enum teacher_form form;
    enum precision precision;
} rows[] = {
    {"resnet8x4", 1, TEACHER_READ, PRECISION_FLOAT32},
    {"resnet8x4", 2, TEACHER_PLAIN, PRECISION_FLOAT32},
    {"wrn_16_2", 1, TEACHER_READ, PRECISION_FLOAT32},
    {"vgg8", 1, TEACHER_PLAIN, PRECISION_FLOAT32},
    {"mobilenetv2", 2, TEACHER_READ, PRECISION_FLOAT32},
    {"shufflenetv2_x02", 1, TEACHER_READ, PRECISION_FLOAT32},
    {"resnet8x4", 1, TEACHER_READ, PRECISION_INT8},
    {"wrn_16_2", 1, TEACHER_PLAIN, PRECISION_INT8},
    {"vgg8", 1, TEACHER_PLAIN, PRECISION_INT8},
    {"mobilenetv2", 1, TEACHER_PLAIN, PRECISION_INT8},
};

/* False, and says so, where this processor cannot compute what a row asks for. */
static bool can(enum precision precision)
{
    struct error err;

    if (precision != PRECISION_INT8 || backend_multiplies_bytes(&err))
        return true;
    printf("skipped: %s\n", err.msg);
    return false;
}

/* Mean 0, deviation 1, and drawn fast: there are millions. */
static double draw_one(uint64_t key, uint64_t i)
{
    return sqrt(12) * (rng_uniform(key, i) - 0.5);
}

static bool tensor(void *arg, const char *name, const struct shape *shape, float *out,
                   struct error *err)
{
    const int64_t n = shape_count(shape);
    const bool variance = strstr(name, "running_var") != NULL;
    const uint64_t key = rng_key_text(1, name);
    const double spread = sqrt((double)n / (double)shape->dim[0]);

    (void)arg;
    (void)err;
    for (int64_t i = 0; i < n; i++) {
        double v = draw_one(key, (uint64_t)i);

        out[i] = (float)(variance ? 1 + v * v : v / spread);
    }
    return true;
}

struct bench {
    struct nets nets;
    struct backend *backend;
    struct teacher *teacher;
    float *images;
    float *values[NETS_MAX_TEACHER_VALUES];
};

/* Sample s stands at place (s + shift) mod SAMPLES. */
static int place_of(int s, int shift)
{
    return (s + shift) % SAMPLES;
}

static void draw(float *images, int shift)
{
    for (int s = 0; s < SAMPLES; s++)
        for (int i = 0; i < IMAGE; i++)
            images[place_of(s, shift) * IMAGE + i] =
                (float)draw_one(rng_key(2, (uint64_t)s), (uint64_t)i);
}

/* Over the first chunk; the rest goes farther, perhaps. */
static void calibrate(const struct bench *b, int threads, struct teacher_ranges *out)
{
    const struct replica_config cfg = {
        .backend = "cpu", .threads = threads, .chunk = CHUNK, .nets = b->nets};
    struct error err = {0};
    struct calibration *c = calibration_open(&cfg, tensor, NULL, &err);

    ck_assert_msg(c, "%s", err.msg);
    calibration_add(c, b->images, CHUNK);
    ck_assert_ok(calibration_end(c, out, &err), err);
    calibration_close(c);
}

static void open_bench(struct bench *b, const char *model, int threads, enum precision precision)
{
    struct teacher_ranges ranges = {{NULL}, {0}};
    struct compile_options how = {.precision = precision};
    struct error err = {0};

    *b = (struct bench){.nets = {.teacher = model_find(model, NULL),
                                 .student = model_find(model, NULL),
                                 .classes = CLASSES,
                                 .image_size = SIZE,
                                 .projector = true,
                                 .losses = {{.def = &loss_reviewkd, .params = {.mid_width = 16}}},
                                 .n_losses = 1}};
    ck_assert_ok(nets_measure(&b->nets, &err) && nets_settle(&b->nets, &err), err);
    b->images = NEW_ARRAY(float, SAMPLES *IMAGE);
    draw(b->images, 0);
    if (precision == PRECISION_INT8)
        calibrate(b, threads, &ranges);
    how.backend = b->backend = backend_open("cpu", threads, &err);
    b->teacher = teacher_open(&b->nets, CHUNK, &how, precision == PRECISION_INT8 ? &ranges : NULL,
                              tensor, NULL, &err);
    ck_assert_msg(b->teacher, "%s: %s", model, err.msg);
    teacher_ranges_free(&ranges);
    for (size_t i = 0; i < b->nets.n_teacher_values; i++)
        if (teacher_makes(&b->nets, i))
            b->values[i] = NEW_ARRAY(float, SAMPLES *teacher_value_count(&b->nets, i));
}

static void close_bench(struct bench *b)
{
    for (size_t i = 0; i < NETS_MAX_TEACHER_VALUES; i++)
        free(b->values[i]);
    free(b->images);
    teacher_close(b->teacher);
    backend_close(b->backend);
}

static void run(struct bench *b, enum teacher_form form, int shift)
{
    struct plan *p = teacher_plan(b->teacher, form);
    void *arena = mem_try_aligned(64, p->arena_bytes);

    draw(b->images, shift);
    plan_set_region(p, REGION_ARENA, arena);
    teacher_run(b->teacher, form, b->images, SAMPLES, b->values);
    free(arena);
}

static void same_at_other_places(struct bench *b, const struct row *row)
{
    float *first[NETS_MAX_TEACHER_VALUES] = {NULL};

    run(b, row->form, 0);
    memcpy(first, b->values, sizeof(first));
    for (size_t i = 0; i < NETS_MAX_TEACHER_VALUES; i++)
        if (first[i])
            b->values[i] = NEW_ARRAY(float, SAMPLES *teacher_value_count(&b->nets, i));
    run(b, row->form, 11);
    for (size_t i = 0; i < b->nets.n_teacher_values; i++) {
        size_t n = first[i] ? teacher_value_count(&b->nets, i) : 0;

        for (int s = 0; n && s < SAMPLES; s++)
            ck_assert_msg(memcmp(first[i] + s * n, b->values[i] + place_of(s, 11) * n,
                                 n * sizeof(float)) == 0,
                          "%s, %d threads, form %d, precision %d: %s of sample %d", row->model,
                          row->threads, row->form, row->precision, b->nets.teacher_values[i].name,
                          s);
        free(first[i]);
    }
}

START_TEST(outputs_do_not_depend_on_the_place_in_a_chunk)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench b;

        if (rows[i].precision == PRECISION_INT8)
            continue; /* below */
        open_bench(&b, rows[i].model, rows[i].threads, rows[i].precision);
        same_at_other_places(&b, &rows[i]);
        close_bench(&b);
    }
}
END_TEST

static void identity(const char *model, int threads, enum teacher_form form, char hex[SHA256_HEX])
{
    struct bench b;

    open_bench(&b, model, threads, PRECISION_FLOAT32);
    teacher_algorithm(b.teacher, form, hex);
    close_bench(&b);
}

/* Taps keep steps from being fused: that is another way to compute, and so are other steps. */
START_TEST(the_algorithm_is_told_by_the_steps)
{
    char plain[SHA256_HEX], again[SHA256_HEX], tapped[SHA256_HEX], other[SHA256_HEX];

    identity("resnet8", 1, TEACHER_PLAIN, plain);
    identity("resnet8", 1, TEACHER_PLAIN, again);
    identity("resnet8", 1, TEACHER_READ, tapped);
    identity("resnet14", 1, TEACHER_PLAIN, other);
    ck_assert_str_eq(plain, again);
    ck_assert_str_ne(plain, tapped);
    ck_assert_str_ne(plain, other);
}
END_TEST

static double distance(const float *x, const float *y, size_t n)
{
    double difference = 0, size = 0;

    for (size_t i = 0; i < n; i++) {
        difference += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
        size += (double)y[i] * (double)y[i];
    }
    return sqrt(difference / size);
}

/* Of any family, and at any place in a chunk, a teacher in int8 gives nearly what it gives in float32, in either form, and another teacher is what
 * class means and cached outputs take it for. */
START_TEST(int8_is_near_to_float32)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        char algorithm[2][SHA256_HEX];
        struct bench bytes, reals;
        double far[2];

        if (row->precision != PRECISION_INT8 || !can(row->precision))
            continue;
        open_bench(&bytes, row->model, row->threads, PRECISION_INT8);
        open_bench(&reals, row->model, row->threads, PRECISION_FLOAT32);
        same_at_other_places(&bytes, row);
        run(&bytes, row->form, 0);
        run(&reals, row->form, 0);
        for (size_t v = 0; v < 2; v++) {
            far[v] = distance(bytes.values[v], reals.values[v],
                              SAMPLES * teacher_value_count(&reals.nets, v));
            ck_assert_msg(far[v] > 0 && far[v] < 0.02, "%s: %s is off by %g of itself", row->model,
                          reals.nets.teacher_values[v].name, far[v]);
        }
        teacher_algorithm(bytes.teacher, row->form, algorithm[0]);
        teacher_algorithm(reals.teacher, row->form, algorithm[1]);
        ck_assert_str_ne(algorithm[0], algorithm[1]);
        close_bench(&bytes);
        close_bench(&reals);
    }
}
END_TEST

START_TEST(what_is_no_number_has_no_range)
{
    const struct replica_config cfg = {
        .backend = "cpu",
        .threads = 1,
        .chunk = CHUNK,
        .nets = {.teacher = model_find("resnet8", NULL), .classes = CLASSES, .image_size = SIZE}};
    float *images = NEW_ARRAY(float, CHUNK *IMAGE);
    struct teacher_ranges ranges = {{NULL}, {0}};
    struct calibration *c;
    struct error err = {0};

    if (can(PRECISION_INT8)) {
        c = calibration_open(&cfg, tensor, NULL, &err);
        ck_assert_msg(c, "%s", err.msg);
        images[5 * IMAGE] = INFINITY;
        calibration_add(c, images, 5);
        ck_assert_ok(calibration_end(c, &ranges, &err), err);
        teacher_ranges_free(&ranges);
        calibration_add(c, images, 6);
        ck_assert(!calibration_end(c, &ranges, &err));
        ck_assert_str_eq(err.msg, "teacher.precision: a value of resnet8 is not finite in float32");
        teacher_ranges_free(&ranges);
        calibration_close(c);
    }
    free(images);
}
END_TEST

UNIT_MAIN(outputs_do_not_depend_on_the_place_in_a_chunk, the_algorithm_is_told_by_the_steps,
          int8_is_near_to_float32, what_is_no_number_has_no_range)
