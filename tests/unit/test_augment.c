/* Crop, flip and normalisation. Pixels carry their own place, so that a view can be read back. */
#include <string.h>

#include "tests/unit/unit.h"
#include "worker/data/augment.h"

enum {
    SIZE = 32,
    PLANE = SIZE * SIZE
};

static const double no_mean[3] = {0, 0, 0}, byte_std[3] = {1 / 255.0, 1 / 255.0, 1 / 255.0};

/* Row + 1, column + 1, and a constant. */
static void make_image(uint8_t image[3 * PLANE])
{
    for (int i = 0; i < PLANE; i++) {
        image[i] = (uint8_t)(i / SIZE + 1);
        image[PLANE + i] = (uint8_t)(i % SIZE + 1);
        image[2 * PLANE + i] = 200;
    }
}

struct view {
    int down, right;
    bool mirrored;
};

/* What the middle of the image says. */
static struct view view_of(const float *out)
{
    const int y = SIZE / 2, x = SIZE / 2, at = y * SIZE + x;
    bool mirrored = out[PLANE + at + 1] < out[PLANE + at];

    return (struct view){
        .down = (int)out[at] - 1 - y,
        .right = (int)out[PLANE + at] - 1 - (mirrored ? SIZE - 1 - x : x),
        .mirrored = mirrored,
    };
}

/* Every pixel is where the view puts it, or 0 where the view leaves the image. */
static void check_view(const float *out, struct view v)
{
    int wrong = 0;

    for (int i = 0; i < PLANE; i++) {
        int x = i % SIZE, from_y = i / SIZE + v.down;
        int from_x = (v.mirrored ? SIZE - 1 - x : x) + v.right;
        bool in = from_y >= 0 && from_y < SIZE && from_x >= 0 && from_x < SIZE;

        wrong += out[i] != (in ? (float)from_y + 1 : 0) ||
                 out[PLANE + i] != (in ? (float)from_x + 1 : 0) ||
                 out[2 * PLANE + i] != (in ? 200 : 0);
    }
    ck_assert_msg(!wrong, "%d pixels do not belong to the view %d,%d%s", wrong, v.down, v.right,
                  v.mirrored ? " mirrored" : "");
}

START_TEST(every_view_is_a_crop_of_the_padded_image_and_all_are_equally_likely)
{
    static int seen[9][9][2];
    const int rounds = 162 * 100;
    uint8_t image[3 * PLANE];
    float out[3 * PLANE];
    struct augment a;

    augment_init(&a, SIZE, 4, true, unit_seed(), no_mean, byte_std);
    make_image(image);
    for (int i = 0; i < rounds; i++) {
        struct view v;

        augment_train(&a, i / 1000, i % 1000, image, out);
        v = view_of(out);
        ck_assert(v.down >= -4 && v.down <= 4 && v.right >= -4 && v.right <= 4);
        check_view(out, v);
        seen[v.down + 4][v.right + 4][v.mirrored]++;
    }
    /* 100 expected, deviation 10. */
    for (int i = 0; i < 162; i++)
        ck_assert_msg(seen[i / 18][i / 2 % 9][i % 2] > 45 && seen[i / 18][i / 2 % 9][i % 2] < 160,
                      "view %d: %d of %d", i, seen[i / 18][i / 2 % 9][i % 2], rounds);
}
END_TEST

START_TEST(padding_wider_than_the_image_is_all_zero_or_in_place)
{
    const uint8_t image[3] = {9, 9, 9};
    struct augment a;
    float out[3];
    int in = 0;

    augment_init(&a, 1, 3, true, unit_seed(), no_mean, byte_std);
    for (int i = 0; i < 4900; i++) {
        augment_train(&a, 0, i, image, out);
        ck_assert((out[0] == 0 || out[0] == 9) && out[0] == out[1] && out[1] == out[2]);
        in += out[0] == 9;
    }
    ck_assert_msg(in > 50 && in < 170, "%d of 4900", in); /* 1 in 49 */
}
END_TEST

START_TEST(views_are_a_function_of_seed_epoch_and_sample)
{
    uint8_t image[3 * PLANE];
    float out[3 * PLANE], again[3 * PLANE];
    struct augment a, b;
    int other_epoch = 0, other_seed = 0;

    augment_init(&a, SIZE, 4, true, unit_seed(), no_mean, byte_std);
    augment_init(&b, SIZE, 4, true, unit_seed() + 1, no_mean, byte_std);
    make_image(image);
    for (int64_t i = 0; i < 200; i++) {
        augment_train(&a, 3, i, image, out);
        augment_train(&a, 3, i, image, again);
        ck_assert_mem_eq(out, again, sizeof(out));
        augment_train(&a, 4, i, image, again);
        other_epoch += memcmp(out, again, sizeof(out)) == 0;
        augment_train(&b, 3, i, image, again);
        other_seed += memcmp(out, again, sizeof(out)) == 0;
    }
    ck_assert_msg(other_epoch < 15 && other_seed < 15, "%d and %d of 200 views the same",
                  other_epoch, other_seed);
}
END_TEST

/* Part of the determinism contract: these views never change. */
START_TEST(views_of_seed_1_are_fixed)
{
    static const struct view expected[] = {{3, -3, true},   {1, -4, true},  {1, -2, false},
                                           {-3, -3, false}, {-2, 1, false}, {-3, 0, true}};
    uint8_t image[3 * PLANE];
    float out[3 * PLANE];
    struct augment a;

    augment_init(&a, SIZE, 4, true, 1, no_mean, byte_std);
    make_image(image);
    for (int i = 0; i < (int)ARRAY_LEN(expected); i++) {
        struct view v;

        augment_train(&a, 0, i, image, out);
        v = view_of(out);
        ck_assert_msg(v.down == expected[i].down && v.right == expected[i].right &&
                          v.mirrored == expected[i].mirrored,
                      "sample %d: {%d, %d, %d}", i, v.down, v.right, v.mirrored);
    }
}
END_TEST

START_TEST(each_part_can_be_left_out)
{
    uint8_t image[3 * PLANE];
    float out[3 * PLANE], plain[3 * PLANE];
    struct augment none, crop, flip;

    augment_init(&none, SIZE, 0, false, unit_seed(), no_mean, byte_std);
    augment_init(&crop, SIZE, 4, false, unit_seed(), no_mean, byte_std);
    augment_init(&flip, SIZE, 0, true, unit_seed(), no_mean, byte_std);
    make_image(image);
    augment_eval(&none, image, plain);
    check_view(plain, (struct view){0, 0, false});
    for (int i = 0; i < 100; i++) {
        augment_train(&none, 0, i, image, out);
        ck_assert_mem_eq(out, plain, sizeof(out));
        augment_train(&crop, 0, i, image, out);
        ck_assert(!view_of(out).mirrored);
        augment_train(&flip, 0, i, image, out);
        ck_assert(view_of(out).down == 0 && view_of(out).right == 0);
    }
}
END_TEST

START_TEST(normalisation_is_rounded_once_and_padding_is_the_normalised_zero)
{
    const double mean[3] = {0.5071, 0.4867, 0.4408}, std[3] = {0.2675, 0.2565, 0.2761};
    uint8_t image[3 * PLANE];
    float out[3 * PLANE];
    struct augment a;
    int strange = 0;

    augment_init(&a, SIZE, 16, false, 1, mean, std);
    for (int i = 0; i < 3 * PLANE; i++)
        image[i] = (uint8_t)i;
    augment_eval(&a, image, out);
    for (int i = 0; i < 3 * PLANE; i++)
        ck_assert(out[i] == (float)(((uint8_t)i / 255.0 - mean[i / PLANE]) / std[i / PLANE]));
    memset(image, 255, sizeof(image));
    for (int s = 0; s < 20; s++) {
        augment_train(&a, 0, s, image, out);
        for (int i = 0; i < 3 * PLANE; i++)
            strange += out[i] != a.table[i / PLANE][0] && out[i] != a.table[i / PLANE][255];
    }
    ck_assert_int_eq(strange, 0);
    ck_assert(a.table[0][0] == (float)(-0.5071 / 0.2675));
}
END_TEST

UNIT_MAIN(every_view_is_a_crop_of_the_padded_image_and_all_are_equally_likely,
          padding_wider_than_the_image_is_all_zero_or_in_place,
          views_are_a_function_of_seed_epoch_and_sample, views_of_seed_1_are_fixed,
          each_part_can_be_left_out,
          normalisation_is_rounded_once_and_padding_is_the_normalised_zero)
