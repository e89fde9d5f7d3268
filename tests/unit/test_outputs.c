/* Outputs of a network on disk: what was put is got, what is not whole is told, and nothing else is taken. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/rng.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"
#include "worker/ckpt/half.h"
#include "worker/ckpt/outputs.h"

enum {
    VIEWS = 2,
    SAMPLES = 11,
    BLOCK = 4, /* 4 + 4 + 3 */
    BLOCKS = 3
};

static const struct outputs_value values[] = {{"logits", 1, {5}}, {"feats.1", 3, {2, 3, 3}}};

static struct outputs *make(const char *folder, enum st_dtype dtype, const char *teacher)
{
    const struct st_meta meta[] = {{"teacher", teacher}};
    const struct outputs_spec spec = {.views = VIEWS,
                                      .samples = SAMPLES,
                                      .block = BLOCK,
                                      .dtype = dtype,
                                      .values = values,
                                      .n_values = ARRAY_LEN(values),
                                      .meta = meta,
                                      .n_meta = ARRAY_LEN(meta)};

    return outputs_new(folder, &spec);
}

static struct outputs *open_new(const char *folder, enum st_dtype dtype, const char *teacher)
{
    struct outputs *o = make(folder, dtype, teacher);
    struct error err = {0};
    bool damaged;

    ck_assert_ok(outputs_make(o, &damaged, &err) && outputs_open(o, &err), err);
    return o;
}

static float number(int64_t view, int64_t sample, size_t i, size_t k)
{
    return (float)rng_normal(rng_key(rng_key(7, (uint64_t)view), (uint64_t)sample), 100 * i + k);
}

static bool put_with(struct outputs *o, int64_t view, int64_t block, float last, struct error *err)
{
    const int64_t n = outputs_block_samples(o, block);
    float data[ARRAY_LEN(values)][BLOCK * 18];
    const float *given[] = {data[0], data[1]};

    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        for (int64_t s = 0; s < n; s++)
            for (size_t k = 0; k < outputs_count(o, i); k++)
                data[i][(size_t)s * outputs_count(o, i) + k] =
                    number(view, block * BLOCK + s, i, k);
    if (last != 0)
        data[1][(size_t)n * outputs_count(o, 1) - 1] = last;
    return outputs_put(o, view, block, given, err);
}

static void put(struct outputs *o, int64_t view, int64_t block)
{
    struct error err = {0};

    ck_assert_ok(put_with(o, view, block, 0, &err), err);
}

static void put_all(struct outputs *o)
{
    struct error err = {0};

    for (int64_t v = 0; v < VIEWS; v++)
        for (int64_t b = BLOCKS - 1; b >= 0; b--)
            put(o, v, b);
    ck_assert_ok(outputs_flush(o, &err) && outputs_open(o, &err), err);
}

static int whole(const struct outputs *o)
{
    int n = 0;

    for (int64_t v = 0; v < VIEWS; v++)
        for (int64_t b = 0; b < BLOCKS; b++)
            n += outputs_look(o, v, b) == OUTPUTS_WHOLE;
    return n;
}

static void check_all(const struct outputs *o, bool halves)
{
    float got[18];

    for (int64_t v = 0; v < VIEWS; v++)
        for (int64_t s = 0; s < SAMPLES; s++)
            for (size_t i = 0; i < ARRAY_LEN(values); i++) {
                outputs_get(o, v, s, i, got);
                for (size_t k = 0; k < outputs_count(o, i); k++) {
                    float want = number(v, s, i, k);

                    want = halves ? half_value(half_of(want)) : want;
                    ck_assert_msg(got[k] == want, "view %d sample %d value %zu: %g, not %g", (int)v,
                                  (int)s, i, (double)got[k], (double)want);
                }
            }
}

START_TEST(what_was_put_is_got_exactly)
{
    struct outputs *o = open_new(unit_dir(), ST_F32, "a");

    ck_assert_int_eq(whole(o), 0);
    put_all(o);
    ck_assert_int_eq(whole(o), VIEWS * BLOCKS);
    check_all(o, false);
    outputs_free(o);
    o = open_new(unit_dir(), ST_F32, "a");
    ck_assert_int_eq(whole(o), VIEWS * BLOCKS);
    check_all(o, false);
    outputs_free(o);
}
END_TEST

START_TEST(halves_are_the_nearest)
{
    struct outputs *o = open_new(unit_dir(), ST_F16, "a");

    put_all(o);
    check_all(o, true);
    outputs_free(o);
}
END_TEST

/* Any safetensors reader finds the tensors. */
START_TEST(the_file_is_of_the_safetensors_format)
{
    struct outputs *o = open_new(unit_dir(), ST_F32, "format");
    struct error err = {0};
    struct safetensors *s;
    const struct st_tensor *t;
    float v;

    put_all(o);
    s = st_open(outputs_path(o), &err);
    ck_assert_msg(s, "%s", err.msg);
    ck_assert_str_eq(st_meta(s, "teacher"), "format");
    t = st_find(s, "feats.1");
    ck_assert(t && t->dtype == ST_F32 && t->rank == 5);
    ck_assert(t->shape[0] == VIEWS && t->shape[1] == SAMPLES && t->shape[2] == 2);
    memcpy(&v, (const char *)t->data + (size_t)((SAMPLES + 9) * 18 + 5) * sizeof(v), sizeof(v));
    ck_assert(v == number(1, 9, 1, 5));
    st_close(s);
    outputs_free(o);
}
END_TEST

START_TEST(another_origin_is_another_file)
{
    struct outputs *a = make(unit_dir(), ST_F32, "a"), *b = make(unit_dir(), ST_F32, "b");
    struct outputs *half = make(unit_dir(), ST_F16, "a");

    ck_assert_str_ne(outputs_path(a), outputs_path(b));
    ck_assert_str_ne(outputs_path(a), outputs_path(half));
    outputs_free(a);
    outputs_free(b);
    outputs_free(half);
}
END_TEST

START_TEST(a_file_is_left_and_gone_on_with)
{
    struct outputs *o = open_new(unit_dir(), ST_F32, "left");
    struct error err = {0};

    put(o, 1, 2);
    outputs_free(o); /* as a killed process leaves it: without flush */
    o = open_new(unit_dir(), ST_F32, "left");
    ck_assert_int_eq(whole(o), 1);
    ck_assert_int_eq(outputs_look(o, 1, 2), OUTPUTS_WHOLE);
    ck_assert_int_eq(outputs_look(o, 1, 1), OUTPUTS_MISSING);
    put_all(o);
    ck_assert_int_eq(whole(o), VIEWS * BLOCKS);
    ck_assert_ok(truncate(outputs_path(o), 0) == 0, err);
    outputs_free(o);
}
END_TEST

static void flip(const char *path, size_t at)
{
    FILE *f = fopen(path, "r+b");
    int byte;

    ck_assert(f && fseek(f, (long)at, SEEK_SET) == 0);
    byte = fgetc(f);
    ck_assert(byte != EOF && fseek(f, (long)at, SEEK_SET) == 0);
    ck_assert(fputc(byte ^ 4, f) != EOF && fclose(f) == 0);
}

/* Behind the header every byte belongs to one block, by its data or by its checksum. */
START_TEST(every_flipped_byte_behind_the_header_costs_one_block)
{
    struct outputs *o = open_new(unit_dir(), ST_F32, "flipped");
    struct error err = {0};
    struct file_map m;
    size_t header;

    put_all(o);
    ck_assert_ok(file_map(&m, outputs_path(o), &err), err);
    memcpy(&header, m.data, sizeof(header));
    file_unmap(&m);
    for (size_t at = header + 8; at < outputs_bytes(o); at += 7) {
        flip(outputs_path(o), at);
        ck_assert_ok(outputs_open(o, &err), err);
        ck_assert_msg(whole(o) == VIEWS * BLOCKS - 1, "byte %zu: %d whole", at, whole(o));
        flip(outputs_path(o), at);
    }
    outputs_free(o);
}
END_TEST

START_TEST(a_damaged_header_or_length_is_refused_and_made_anew)
{
    struct outputs *o = open_new(unit_dir(), ST_F32, "header");
    struct error err = {0};
    bool damaged;

    put_all(o);
    for (size_t at = 0; at < 100; at += 9) {
        flip(outputs_path(o), at);
        ck_assert_error(outputs_open(o, &err), err, "another header");
        ck_assert_int_eq(err.code, ERR_DATA);
        flip(outputs_path(o), at);
    }
    ck_assert(truncate(outputs_path(o), (off_t)outputs_bytes(o) + 1) == 0);
    ck_assert_error(outputs_open(o, &err), err, "bytes");
    err = (struct error){0};
    ck_assert_ok(outputs_make(o, &damaged, &err) && outputs_open(o, &err), err);
    ck_assert(damaged && whole(o) == 0);
    outputs_free(o);
}
END_TEST

/* A block that is right, at the place of another one, is not right. */
START_TEST(a_block_at_another_place_is_damaged)
{
    struct outputs *o = open_new(unit_dir(), ST_F32, "moved");
    struct error err = {0};
    struct file_map m;
    unsigned char *copy;
    size_t header, half;

    put_all(o);
    ck_assert_ok(file_map(&m, outputs_path(o), &err), err);
    copy = mem_calloc(m.len, 1);
    memcpy(copy, m.data, m.len);
    memcpy(&header, m.data, sizeof(header));
    header += 8;
    /* Each tensor's second half, which is view 1, becomes its first. */
    half = BLOCKS * sizeof(int64_t);
    memcpy(copy + header, m.data + header + half, half);
    header += 2 * half;
    half = SAMPLES * 18 * sizeof(float);
    memcpy(copy + header, m.data + header + half, half);
    header += 2 * half;
    half = SAMPLES * 5 * sizeof(float);
    memcpy(copy + header, m.data + header + half, half);
    ck_assert_ok(outputs_open_memory(o, copy, m.len, &err), err);
    for (int64_t b = 0; b < BLOCKS; b++) {
        ck_assert_int_eq(outputs_look(o, 0, b), OUTPUTS_DAMAGED);
        ck_assert_int_eq(outputs_look(o, 1, b), OUTPUTS_WHOLE);
    }
    file_unmap(&m);
    free(copy);
    outputs_free(o);
}
END_TEST

START_TEST(numbers_that_cannot_be_kept_are_refused_by_name)
{
    struct outputs *o = open_new(unit_dir(), ST_F32, "bad");
    struct outputs *half = open_new(unit_dir(), ST_F16, "bad");
    struct error err = {0};

    ck_assert_error(put_with(o, 1, 2, NAN, &err), err,
                    "feats.1 of training image 10 in view 1, number 17: expected a finite one");
    ck_assert_error(put_with(half, 1, 2, 70000, &err), err,
                    "at most 65504, for float16, got 70000");
    ck_assert_ok(put_with(o, 1, 2, 70000, &err), err);
    ck_assert_ok(put_with(half, 0, 0, -65504, &err), err);
    outputs_free(o);
    outputs_free(half);
}
END_TEST

/* Every half is itself again; what lies between two goes to the nearer one, and to the even one in a tie. */
START_TEST(floats_round_to_the_nearest_half)
{
    for (unsigned bits = 0; bits < 0x7c00; bits++) {
        float here = half_value((uint16_t)bits), next = half_value((uint16_t)(bits + 1));
        float middle = (here + next) / 2;

        ck_assert_uint_eq(half_of(here), bits);
        ck_assert_uint_eq(half_of(-here), bits | 0x8000);
        if (bits == 0x7bff)
            break;
        ck_assert_uint_eq(half_of(middle), bits + bits % 2);
        ck_assert_uint_eq(half_of(nextafterf(middle, 0)), bits);
        ck_assert_uint_eq(half_of(nextafterf(middle, next)), bits + 1);
    }
    ck_assert(half_value(0x3c00) == 1 && half_value(0xc000) == -2 && half_value(1) == 0x1p-24F);
    ck_assert(half_value(0x7bff) == HALF_MAX && isinf(half_value(0x7c00)));
    ck_assert_uint_eq(half_of(65519), 0x7bff);
    ck_assert_uint_eq(half_of(65520), 0x7c00);
    ck_assert_uint_eq(half_of(-1e30F), 0xfc00);
    ck_assert(isnan(half_value(half_of(NAN))));
}
END_TEST

UNIT_MAIN(what_was_put_is_got_exactly, halves_are_the_nearest,
          the_file_is_of_the_safetensors_format, another_origin_is_another_file,
          a_file_is_left_and_gone_on_with, every_flipped_byte_behind_the_header_costs_one_block,
          a_damaged_header_or_length_is_refused_and_made_anew, a_block_at_another_place_is_damaged,
          numbers_that_cannot_be_kept_are_refused_by_name, floats_round_to_the_nearest_half)
