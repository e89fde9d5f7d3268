/* Images of every kind against what Pillow reads, and what is not whole against its error. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/image_rig.h"
#include "tests/unit/unit.h"
#include "worker/data/decode.h"

/* What differs: colour spaces are rounded differently for inks. */
static const struct {
    const char *name;
    int most;
} kinds[] = {
    {"plain.jpg", 0}, {"progressive.jpg", 0}, {"full.jpg", 0},    {"grey.jpg", 0},
    {"inks.jpg", 1},  {"plain.png", 0},       {"alpha.png", 0},   {"grey.png", 0},
    {"deep.png", 0},  {"grey-alpha.png", 0},  {"palette.png", 0}, {"clear.png", 0},
    {"bit.png", 0},   {"tall.png", 0},
};

static bool decoded(const void *data, size_t len, struct picture *p, struct error *err)
{
    /* Exactly as large as it says, so that a sanitizer sees a byte too much. */
    uint8_t *exact = NEW_ARRAY(uint8_t, len + !len);
    bool ok;

    memcpy(exact, data, len);
    ok = decode(exact, len, p, err);
    free(exact);
    return ok;
}

START_TEST(every_kind_gives_the_pixels_that_pillow_has)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        char ppm[64];
        struct buf file = image_rig_file(kinds[i].name);
        struct picture p = {0};
        struct image_rgb want;
        struct error err;

        snprintf(ppm, sizeof(ppm), "%s.ppm", kinds[i].name);
        want = image_rig_ppm(ppm);
        ck_assert_msg(decoded(file.data, file.len, &p, &err), "%s: %s", kinds[i].name, err.msg);
        ck_assert(p.width == want.width && p.height == want.height);
        for (int k = 0; k < 3 * p.width * p.height; k++)
            ck_assert_msg(abs(p.rgb[k] - want.rgb[k]) <= kinds[i].most, "%s: byte %d: %d, not %d",
                          kinds[i].name, k, p.rgb[k], want.rgb[k]);
        picture_free(&p);
        free(want.rgb);
        buf_free(&file);
    }
}
END_TEST

/* What Pillow cannot write. */
START_TEST(inks_in_ycck_and_interlaced_rows_are_read)
{
    struct image_rgb image = image_rig_make(2, 33, 21, unit_seed());

    for (int kind = 3; kind <= 5; kind++) {
        struct buf file = image_rig_encode(&image, kind);
        struct picture p = {0};
        struct error err;
        int sum = 0;

        ck_assert_msg(decoded(file.data, file.len, &p, &err), "%s", err.msg);
        ck_assert(p.width == 33 && p.height == 21);
        for (int k = 0; k < 3 * 33 * 21; k++)
            sum += abs(p.rgb[k] - image.rgb[k]);
        ck_assert_msg(sum <= (kind == 3 ? 8 * 3 * 33 * 21 : 0), "kind %d: off by %d", kind, sum);
        picture_free(&p);
        buf_free(&file);
    }
    free(image.rgb);
}
END_TEST

START_TEST(a_file_that_is_cut_off_anywhere_is_an_error)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct buf file = image_rig_file(kinds[i].name);

        for (size_t len = 0; len < file.len; len += len < 64 || len + 64 > file.len ? 1 : 17) {
            struct picture p = {0};
            struct error err = {0};

            ck_assert_msg(!decoded(file.data, len, &p, &err), "%s: %zu of %zu bytes", kinds[i].name,
                          len, file.len);
            ck_assert(err.code == ERR_DATA && err.msg[0]);
            picture_free(&p);
        }
        buf_free(&file);
    }
}
END_TEST

START_TEST(damage_in_the_middle_is_an_error)
{
    static const char *const names[] = {"plain.jpg", "plain.png"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct buf file = image_rig_file(names[i]);
        struct picture p = {0};
        struct error err = {0};

        memset(file.data + file.len / 4 * 3, 0xff, 24);
        ck_assert_error(decoded(file.data, file.len, &p, &err), err, "damaged");
        picture_free(&p);
        buf_free(&file);
    }
}
END_TEST

/* Cameras leave bytes between segments; no pixel is lost by them. */
START_TEST(stray_bytes_before_the_end_marker_are_no_damage)
{
    struct buf file = image_rig_file("plain.jpg"), stray = buf_new(0);
    struct picture p = {0}, q = {0};
    struct error err;

    buf_add(&stray, file.data, file.len - 2);
    buf_add(&stray, "\0\0\0\0", 4);
    buf_add(&stray, file.data + file.len - 2, 2);
    ck_assert_ok(decoded(file.data, file.len, &p, &err), err);
    ck_assert_ok(decoded(stray.data, stray.len, &q, &err), err);
    ck_assert_mem_eq(p.rgb, q.rgb, 3 * (size_t)p.width * (size_t)p.height);
    picture_free(&p);
    picture_free(&q);
    buf_free(&stray);
    buf_free(&file);
}
END_TEST

START_TEST(what_is_no_image_is_told_by_its_first_bytes)
{
    struct buf file = image_rig_file("plain.png");
    struct picture p = {0};
    struct error err;

    ck_assert_error(decoded("GIF89a..", 8, &p, &err), err, "got 47 49 46 38");
    ck_assert_error(decoded("x", 1, &p, &err), err, "got 78 00 00 00");
    ck_assert_error(decoded("", 0, &p, &err), err, "got an empty file");
    ck_assert_error(decoded("\xff\xd8\xff\xd9", 4, &p, &err), err, "not the header of a JPEG");
    p.limit = 37 * 29 - 1;
    ck_assert_error(decoded(file.data, file.len, &p, &err), err,
                    "at most 1072 of them, got 37 x 29");
    picture_free(&p);
    buf_free(&file);
}
END_TEST

/* 65535 x 65535 pixels in a hundred bytes. */
START_TEST(a_picture_that_claims_to_be_huge_is_refused)
{
    struct buf jpeg = image_rig_file("plain.jpg"), png = image_rig_file("plain.png");
    struct picture p = {0};
    struct error err;

    for (size_t i = 0; i + 8 < jpeg.len; i++)
        if (memcmp(jpeg.data + i, "\xff\xc0\0\x11", 4) == 0)
            memset(jpeg.data + i + 5, 0xff, 4);
    ck_assert_error(decoded(jpeg.data, jpeg.len, &p, &err), err,
                    "Maximum supported image dimension");
    memset(png.data + 17, 0x7f, 3);
    ck_assert(!decoded(png.data, png.len, &p, &err));
    ck_assert_ptr_null(p.rgb);
    buf_free(&jpeg);
    buf_free(&png);
}
END_TEST

START_TEST(the_header_alone_tells_the_size)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct buf file = image_rig_file(kinds[i].name);
        struct picture p = {0};
        struct error err;
        int w, h;

        ck_assert_ok(decode_size((uint8_t *)file.data, file.len, &w, &h, &err), err);
        ck_assert_ok(decode((uint8_t *)file.data, file.len, &p, &err), err);
        ck_assert_msg(w == p.width && h == p.height, "%s: %d x %d", kinds[i].name, w, h);
        ck_assert(!decode_size((uint8_t *)file.data, 10, &w, &h, &err));
        picture_free(&p);
        buf_free(&file);
    }
}
END_TEST

UNIT_MAIN(every_kind_gives_the_pixels_that_pillow_has, inks_in_ycck_and_interlaced_rows_are_read,
          a_file_that_is_cut_off_anywhere_is_an_error, damage_in_the_middle_is_an_error,
          stray_bytes_before_the_end_marker_are_no_damage,
          what_is_no_image_is_told_by_its_first_bytes, a_picture_that_claims_to_be_huge_is_refused,
          the_header_alone_tells_the_size)
