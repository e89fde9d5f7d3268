/* The frozen teacher: a sample's outputs are a function of the sample, wherever in a chunk it stands. Caches of
 * outputs, which are filled in storage order and read in the order of training, rest on that. */
#include <math.h>
#include <string.h>

#include "proto/base/rng.h"
#include "tests/unit/unit.h"
#include "worker/teacher.h"

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
} rows[] = {
    {"resnet8x4", 1, TEACHER_READ},   {"resnet8x4", 2, TEACHER_PLAIN},
    {"wrn_16_2", 1, TEACHER_READ},    {"vgg8", 1, TEACHER_PLAIN},
    {"mobilenetv2", 2, TEACHER_READ}, {"shufflenetv2_x02", 1, TEACHER_READ},
};

static bool tensor(void *arg, const char *name, const struct shape *shape, float *out,
                   struct error *err)
{
    const int64_t n = shape_count(shape);
    const bool variance = strstr(name, "running_var") != NULL;

    (void)arg;
    (void)err;
    for (int64_t i = 0; i < n; i++) {
        double v = rng_normal(rng_key_text(1, name), (uint64_t)i);

        out[i] = (float)(variance ? 1 + v * v : v / sqrt((double)n / (double)shape->dim[0]));
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

static void open_bench(struct bench *b, const char *model, int threads)
{
    struct error err = {0};

    *b = (struct bench){.nets = {.teacher = model_find(model, NULL),
                                 .student = model_find(model, NULL),
                                 .classes = CLASSES,
                                 .image_size = SIZE,
                                 .projector = true,
                                 .losses = {{.def = &loss_reviewkd, .params = {.mid_width = 16}}},
                                 .n_losses = 1}};
    ck_assert_ok(nets_measure(&b->nets, &err) && nets_settle(&b->nets, &err), err);
    b->backend = backend_open("cpu", threads, &err);
    b->teacher = teacher_open(&b->nets, CHUNK, &(struct compile_options){.backend = b->backend},
                              tensor, NULL, &err);
    ck_assert_msg(b->teacher, "%s: %s", model, err.msg);
    b->images = NEW_ARRAY(float, SAMPLES *IMAGE);
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

/* Sample s stands at place (s + shift) mod SAMPLES. */
static int place_of(int s, int shift)
{
    return (s + shift) % SAMPLES;
}

static void run(struct bench *b, enum teacher_form form, int shift)
{
    struct plan *p = teacher_plan(b->teacher, form);
    void *arena = mem_try_aligned(64, p->arena_bytes);

    for (int s = 0; s < SAMPLES; s++)
        for (int i = 0; i < IMAGE; i++)
            b->images[place_of(s, shift) * IMAGE + i] =
                (float)rng_normal(rng_key(2, (uint64_t)s), (uint64_t)i);
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
                          "%s, %d threads, form %d: %s of sample %d", row->model, row->threads,
                          row->form, b->nets.teacher_values[i].name, s);
        free(first[i]);
    }
}

START_TEST(outputs_do_not_depend_on_the_place_in_a_chunk)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench b;

        open_bench(&b, rows[i].model, rows[i].threads);
        same_at_other_places(&b, &rows[i]);
        close_bench(&b);
    }
}
END_TEST

static void identity(const char *model, int threads, enum teacher_form form, char hex[SHA256_HEX])
{
    struct bench b;

    open_bench(&b, model, threads);
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

UNIT_MAIN(outputs_do_not_depend_on_the_place_in_a_chunk, the_algorithm_is_told_by_the_steps)
