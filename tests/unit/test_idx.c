/* The files of MNIST: what is read from them, packed or not, and what is said about bad ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "proto/base/file.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"
#include "worker/data/dataset.h"
#include "worker/data/gunzip.h"
#include "worker/data/idx.h"

enum {
    SIDE = 28,
    PLANE = SIDE * SIDE,
    IMAGES = 12
};

static void add_be32(struct buf *b, uint32_t x)
{
    const unsigned char at[] = {(unsigned char)(x >> 24), (unsigned char)(x >> 16),
                                (unsigned char)(x >> 8), (unsigned char)x};

    buf_add(b, at, sizeof(at));
}

/* Pixel k of image i is i + k % 100; its label is i % 10. */
static struct buf image_file(uint32_t n, uint32_t side)
{
    struct buf b = buf_new(0);

    add_be32(&b, 0x803);
    add_be32(&b, n);
    add_be32(&b, side);
    add_be32(&b, side);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < side * side; k++)
            buf_add(&b, &(unsigned char){(unsigned char)(i + k % 100)}, 1);
    return b;
}

static struct buf label_file(uint32_t n)
{
    struct buf b = buf_new(0);

    add_be32(&b, 0x801);
    add_be32(&b, n);
    for (uint32_t i = 0; i < n; i++)
        buf_add(&b, &(unsigned char){(unsigned char)(i % 10)}, 1);
    return b;
}

static struct buf packed(const struct buf *b)
{
    z_stream z = {.next_in = (Bytef *)b->data, .avail_in = (uInt)b->len};
    unsigned char *out = mem_calloc(b->len + 1000, 1);
    struct buf gz = buf_new(0);

    ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_out = out;
    z.avail_out = (uInt)b->len + 1000;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    buf_add(&gz, out, z.total_out);
    deflateEnd(&z);
    free(out);
    return gz;
}

static void save(const char *name, struct buf take)
{
    char *path = str_path(unit_dir(), name);
    struct error err;

    ck_assert_ok(file_replace(path, buf_text(&take), take.len, 0644, &err), err);
    free(path);
    buf_free(&take);
}

static void save_packed(const char *name, struct buf take)
{
    save(name, packed(&take));
    buf_free(&take);
}

static void save_pair(uint32_t n)
{
    save("train-images-idx3-ubyte", image_file(n, SIDE));
    save("train-labels-idx1-ubyte", label_file(n));
}

static struct dataset *open_split(enum split split, bool skip, struct error *err)
{
    char *source = str_fmt("idx:%s", unit_dir());
    const struct dataset_config cfg = {.source = source, .skip_corrupt = skip};
    struct dataset *d = dataset_open(&cfg, split, err);

    free(source);
    return d;
}

static void check_images(struct dataset *d, int64_t n)
{
    ck_assert_int_eq(dataset_count(d), n);
    ck_assert_int_eq(dataset_classes(d), 10);
    ck_assert_int_eq(dataset_size(d), SIDE);
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *p = dataset_image(d, i);

        ck_assert_int_eq(dataset_label(d, i), i % 10);
        for (int c = 0; c < 3; c++)
            for (int k = 0; k < PLANE; k++)
                ck_assert_int_eq(p[c * PLANE + k], i + k % 100);
    }
}

START_TEST(grey_images_become_three_channels)
{
    struct error err;
    struct dataset *d;

    save_pair(IMAGES);
    d = open_split(SPLIT_TRAIN, false, &err);
    ck_assert_msg(d, "%s", err.msg);
    check_images(d, IMAGES);
    dataset_close(d);
}
END_TEST

START_TEST(packed_files_are_the_same_data)
{
    char plain[SHA256_HEX], gz[SHA256_HEX];
    struct error err;
    struct dataset *d;

    save_pair(IMAGES);
    save_packed("t10k-images-idx3-ubyte.gz", image_file(IMAGES, SIDE));
    save_packed("t10k-labels-idx1-ubyte.gz", label_file(IMAGES));
    d = open_split(SPLIT_TRAIN, false, &err);
    ck_assert_msg(d, "%s", err.msg);
    ck_assert(dataset_sha256(d, plain, NULL));
    dataset_close(d);
    d = open_split(SPLIT_TEST, false, &err);
    ck_assert_msg(d, "%s", err.msg);
    check_images(d, IMAGES);
    ck_assert(dataset_sha256(d, gz, NULL));
    dataset_close(d);
    ck_assert_str_eq(plain, gz);
}
END_TEST

static void expect_error(bool skip, enum err_code code, const char *text)
{
    struct error err;

    ck_assert_error(open_split(SPLIT_TRAIN, skip, &err), err, text);
    ck_assert_msg(err.code == code, "%s: %s", err_name(err.code), err.msg);
}

/* With neither policy. */
static void refused(const char *text)
{
    expect_error(false, ERR_DATA, text);
    expect_error(true, ERR_DATA, text);
}

START_TEST(damaged_files_are_named_with_offset_and_expectation)
{
    struct error err;
    struct buf b;

    ck_assert_error(
        dataset_open(&(struct dataset_config){.source = "idx:/nonexistent"}, SPLIT_TRAIN, &err),
        err, "neither /nonexistent/train-images-idx3-ubyte nor its .gz can be read");
    ck_assert_int_eq(err.code, ERR_DATA);
    save_pair(IMAGES);
    save("train-images-idx3-ubyte", label_file(IMAGES));
    refused("byte 0: expected 00000803 (unsigned bytes in 3 dimensions), got 00000801");
    b = buf_new(0);
    buf_add(&b, "\0\0\x08", 3);
    save("train-images-idx3-ubyte", b);
    refused("expected a header of 16 bytes, got 3 bytes");
    b = image_file(IMAGES, SIDE);
    memset(b.data + 8, 0, 4);
    save("train-images-idx3-ubyte", b);
    refused("byte 8: expected a size of at least 1, got 0");
    b = image_file(IMAGES, SIDE);
    b.data[15] = SIDE + 1;
    save("train-images-idx3-ubyte", b);
    refused("byte 8: expected square images of 8 to 1024 pixels, got 28 x 29");
    b = image_file(IMAGES, SIDE);
    buf_add(&b, "x", 1);
    save("train-images-idx3-ubyte", b);
    refused("expected 9424 bytes for 12 records of 784, got 9425 bytes");
    save_pair(IMAGES);
    save("train-labels-idx1-ubyte", label_file(IMAGES - 1));
    refused("expected a label for each of the 12 images, got 11");
}
END_TEST

START_TEST(sizes_from_outside_are_not_believed)
{
    struct buf b = buf_new(0);
    struct error err;
    struct idx idx;

    add_be32(&b, 0x803);
    for (int i = 0; i < 3; i++)
        add_be32(&b, 0xffffffff);
    buf_add(&b, "some", 4);
    ck_assert_ok(idx_parse((const uint8_t *)b.data, b.len, "x", 3, &idx, &err), err);
    ck_assert_uint_eq(idx.present, 0);
    buf_free(&b);
}
END_TEST

START_TEST(bad_records_fail_or_are_skipped)
{
    struct buf b = label_file(IMAGES);
    struct error err;
    struct dataset *d;

    save_pair(IMAGES);
    b.data[8 + 3] = 10;
    b.data[8 + 7] = (char)255;
    save("train-labels-idx1-ubyte", b);
    b = image_file(IMAGES, SIDE);
    b.len -= PLANE + 5; /* two images are not whole */
    save("train-images-idx3-ubyte", b);
    expect_error(false, ERR_DATA, "expected 12 records of 784 bytes, got 10 whole ones");
    d = open_split(SPLIT_TRAIN, true, &err);
    ck_assert_msg(d, "%s", err.msg);
    ck_assert_int_eq(dataset_count(d), 8);
    ck_assert_int_eq(dataset_skipped(d), 4);
    ck_assert(strstr(dataset_skipped_why(d, 0), "got 10 whole ones"));
    ck_assert(strstr(dataset_skipped_why(d, 1), "record 3: expected a label of 0 to 9, got 10"));
    ck_assert(strstr(dataset_skipped_why(d, 2), "record 7"));
    ck_assert_ptr_null(dataset_skipped_why(d, 3));
    ck_assert_int_eq(dataset_label(d, 3), 4);
    ck_assert_int_eq(dataset_image(d, 3)[0], 4);
    dataset_close(d);
    save("train-images-idx3-ubyte", image_file(IMAGES, SIDE));
    expect_error(false, ERR_DATA, "record 3: expected a label of 0 to 9, got 10");
}
END_TEST

START_TEST(a_damaged_gzip_stream_is_no_data)
{
    struct buf plain = image_file(IMAGES, SIDE), gz = packed(&plain), out = buf_new(1 << 20);
    const uint8_t *bytes = (const uint8_t *)gz.data;
    struct error err;

    ck_assert_ok(gunzip(bytes, gz.len, "a.gz", &out, &err), err);
    ck_assert_uint_eq(out.len, plain.len);
    ck_assert_mem_eq(out.data, plain.data, plain.len);
    for (size_t len = 0; len < gz.len; len++) {
        buf_reset(&out);
        ck_assert_error(gunzip(bytes, len, "a.gz", &out, &err), err, "a.gz: cut off");
        ck_assert_int_eq(err.code, ERR_DATA);
    }
    buf_reset(&out);
    buf_add(&gz, "x", 1);
    ck_assert_error(gunzip((const uint8_t *)gz.data, gz.len, "a.gz", &out, &err), err,
                    "expected its end at byte");
    gz.len--;
    gz.data[gz.len - 8] ^= 1; /* of the checksum */
    buf_reset(&out);
    ck_assert_error(gunzip((const uint8_t *)gz.data, gz.len, "a.gz", &out, &err), err,
                    "incorrect data check");
    ck_assert_error(gunzip((const uint8_t *)plain.data, plain.len, "a.gz", &out, &err), err,
                    "damaged at byte");
    buf_free(&plain);
    buf_free(&gz);
    buf_free(&out);
}
END_TEST

START_TEST(a_small_file_cannot_unpack_to_a_huge_one)
{
    struct buf zeros = buf_new(0), gz, out = buf_new(1000000);
    struct error err;

    for (int i = 0; i < 4096; i++)
        buf_add(&zeros, (char[1024]){0}, 1024);
    gz = packed(&zeros);
    ck_assert_error(gunzip((const uint8_t *)gz.data, gz.len, "bomb.gz", &out, &err), err,
                    "bomb.gz unpacks to more than the limit of 1000000 bytes");
    ck_assert_uint_le(out.len, 1000000);
    buf_free(&zeros);
    buf_free(&gz);
    buf_free(&out);
}
END_TEST

UNIT_MAIN(grey_images_become_three_channels, packed_files_are_the_same_data,
          damaged_files_are_named_with_offset_and_expectation, sizes_from_outside_are_not_believed,
          bad_records_fail_or_are_skipped, a_damaged_gzip_stream_is_no_data,
          a_small_file_cannot_unpack_to_a_huge_one)
