/* The safetensors format: what is written is read back, what is malformed is refused with its facts,
 * and no input makes the reader leave its bytes (memory is of the exact size, for the sanitizers). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/rng.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"
#include "worker/ckpt/safetensors.h"

static struct buf file_of(const char *header, size_t body)
{
    struct buf b = buf_new(0);
    uint64_t n = strlen(header);

    buf_add(&b, &n, sizeof(n));
    buf_str(&b, header);
    for (size_t i = 0; i < body; i++)
        buf_add(&b, "\x3f", 1);
    return b;
}

/* Opens a copy of exactly len bytes and reads whatever opens to its end. */
static bool opens(const void *data, size_t len, struct error *err)
{
    unsigned char *copy = mem_calloc(len, 1);
    struct safetensors *s;
    unsigned sum = 0;

    if (len)
        memcpy(copy, data, len);
    err_clear(err);
    s = st_open_memory(copy, len, "some.safetensors", err);
    for (size_t i = 0; s && i < st_tensors(s); i++) {
        ck_assert_ptr_eq(st_find(s, st_at(s, i)->name), st_at(s, i));
        for (size_t k = 0; k < st_at(s, i)->bytes; k++)
            sum += ((const unsigned char *)st_at(s, i)->data)[k];
    }
    st_close(s);
    free(copy);
    return s && sum + 1;
}

static const float weights[6] = {1, -2, 3.5F, 0, INFINITY, 1e-40F};
static const double momentum[2] = {1e300, -0.1};
static const int64_t steps[1] = {INT64_C(-5000000000)};
static const int32_t order[3] = {7, -7, INT32_MIN};
static const uint8_t flags[3] = {0, 1, 255};
static const uint16_t halves[2] = {0x3C00, 0xC000};

static const struct st_tensor examples[] = {
    {"m.weight", ST_F32, 2, {2, 3}, weights, sizeof(weights)},
    {"flags", ST_U8, 1, {3}, flags, sizeof(flags)},
    {"momentum", ST_F64, 1, {2}, momentum, sizeof(momentum)},
    {"step", ST_I64, 0, {0}, steps, sizeof(steps)},
    {"order", ST_I32, 1, {3}, order, sizeof(order)},
    {"half", ST_F16, 1, {2}, halves, sizeof(halves)},
    {"brain \"half\"", ST_BF16, 2, {1, 2}, halves, sizeof(halves)},
    {"empty", ST_F32, 2, {0, 4}, weights, 0},
};
static const struct st_meta meta[] = {{"b", "two\nlines"}, {"a", "\"quoted\""}, {"c", ""}};
static const struct st_meta turned_meta[] = {{"c", ""}, {"a", "\"quoted\""}, {"b", "two\nlines"}};

static char *write_these(const char *name, const struct st_tensor *tensors, const struct st_meta *m,
                         char *hex)
{
    char *path = str_path(unit_dir(), name);
    struct error err;

    ck_assert_ok(st_write(path, tensors, ARRAY_LEN(examples), m, ARRAY_LEN(meta), hex, &err), err);
    return path;
}

static struct buf content(const char *path)
{
    struct buf b = buf_new(1 << 20);
    struct error err;

    ck_assert_ok(file_read(path, &b, &err), err);
    return b;
}

START_TEST(what_is_written_is_read_back)
{
    char *path = write_these("a", examples, meta, NULL);
    struct error err;
    struct safetensors *s = st_open(path, &err);

    ck_assert_msg(s, "%s", err.msg);
    ck_assert_str_eq(st_path(s), path);
    ck_assert_uint_eq(st_tensors(s), ARRAY_LEN(examples));
    for (size_t i = 0; i < ARRAY_LEN(examples); i++) {
        const struct st_tensor *want = &examples[i], *got = st_find(s, want->name);

        ck_assert_msg(got, "%s", want->name);
        ck_assert(got->dtype == want->dtype && got->rank == want->rank);
        ck_assert_mem_eq(got->shape, want->shape, (size_t)want->rank * sizeof(int64_t));
        ck_assert_uint_eq(got->bytes, want->bytes);
        ck_assert(memcmp(got->data, want->data, want->bytes) == 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(meta); i++)
        ck_assert_str_eq(st_meta(s, meta[i].key), meta[i].value);
    ck_assert(!st_find(s, "absent") && !st_find(s, "__metadata__") && !st_meta(s, "absent"));
    st_close(s);
    free(path);
}
END_TEST

START_TEST(the_layout_is_the_published_one)
{
    const struct st_tensor t[] = {{"w", ST_F32, 1, {2}, weights, 8},
                                  {"b", ST_I64, 0, {0}, steps, sizeof(steps)}};
    const struct st_meta m[] = {{"k", "v"}};
    static const char header[] = "{\"__metadata__\":{\"k\":\"v\"},"
                                 "\"b\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
                                 "\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}";
    char *path = str_path(unit_dir(), "layout");
    struct error err;
    struct buf b;
    uint64_t len;

    ck_assert_ok(st_write(path, t, 2, m, 1, NULL, &err), err);
    b = content(path);
    memcpy(&len, b.data, 8);
    ck_assert(len % 8 == 0 && len >= strlen(header) && len < strlen(header) + 8);
    ck_assert_mem_eq(b.data + 8, header, strlen(header));
    for (size_t i = strlen(header); i < len; i++)
        ck_assert_int_eq(b.data[8 + i], ' ');
    ck_assert_uint_eq(b.len, 8 + len + 16);
    ck_assert_mem_eq(b.data + 8 + len, steps, 8);
    ck_assert_mem_eq(b.data + 16 + len, weights, 8);
    buf_free(&b);
    free(path);
}
END_TEST

START_TEST(bytes_depend_on_the_content_alone)
{
    struct st_tensor turned[ARRAY_LEN(examples)];
    char hex[SHA256_HEX], other[SHA256_HEX], of_file[SHA256_HEX];
    char *first = write_these("one", examples, meta, hex), *second;
    struct buf b = content(first);

    for (size_t i = 0; i < ARRAY_LEN(examples); i++)
        turned[i] = examples[ARRAY_LEN(examples) - 1 - i];
    second = write_these("two", turned, turned_meta, other);
    ck_assert_str_eq(hex, other);
    sha256_of(b.data, b.len, of_file);
    ck_assert_str_eq(hex, of_file);
    buf_free(&b);
    b = content(second);
    sha256_of(b.data, b.len, of_file);
    ck_assert_str_eq(hex, of_file);
    buf_free(&b);
    free(first);
    free(second);
}
END_TEST

START_TEST(numbers_are_converted)
{
    static const struct {
        uint16_t bits;
        double value;
    } half[] = {{0x3C00, 1},
                {0xC000, -2},
                {0x7BFF, 65504},
                {0x0001, 0x1p-24},
                {0x03FF, 0x3FFp-24},
                {0x0400, 0x1p-14},
                {0x3555, 0.333251953125},
                {0xFC00, -(double)INFINITY},
                {0x8000, -0.0}};
    char *path = write_these("numbers", examples, meta, NULL);
    struct safetensors *s = st_open(path, NULL);
    float f[6];
    double d[6];
    int64_t i64[3];

    ck_assert(st_to_float(st_find(s, "m.weight"), f) && memcmp(f, weights, sizeof(f)) == 0);
    ck_assert(st_to_double(st_find(s, "m.weight"), d) && d[2] == 3.5 && d[5] == (double)1e-40F);
    ck_assert(st_to_double(st_find(s, "momentum"), d) && memcmp(d, momentum, 16) == 0);
    ck_assert(st_to_float(st_find(s, "momentum"), f) && f[0] == INFINITY && f[1] == -0.1F);
    ck_assert(st_to_int64(st_find(s, "step"), i64) && i64[0] == steps[0]);
    ck_assert(st_to_int64(st_find(s, "order"), i64) && i64[1] == -7 && i64[2] == INT32_MIN);
    ck_assert(st_to_int64(st_find(s, "flags"), i64) && i64[2] == 255);
    ck_assert(st_to_float(st_find(s, "brain \"half\""), f) && f[0] == 0.0078125F && f[1] == -2);
    ck_assert(!st_to_float(st_find(s, "step"), f) && !st_to_double(st_find(s, "flags"), d) &&
              !st_to_int64(st_find(s, "half"), i64));
    for (size_t i = 0; i < ARRAY_LEN(half); i++) {
        struct st_tensor t = {"h", ST_F16, 0, {0}, &half[i].bits, 2};

        ck_assert(st_to_double(&t, d) && st_to_float(&t, f));
        ck_assert_msg(d[0] == half[i].value && signbit(d[0]) == signbit(half[i].value) &&
                          (double)f[0] == half[i].value,
                      "%04x: %g", half[i].bits, d[0]);
    }
    st_to_double(&(struct st_tensor){"h", ST_F16, 0, {0}, &(uint16_t){0x7C01}, 2}, d);
    ck_assert(isnan(d[0]));
    st_close(s);
    free(path);
}
END_TEST

START_TEST(tensors_are_described)
{
    char *text = st_describe(&examples[0]), *scalar = st_describe(&examples[3]);

    ck_assert_str_eq(text, "F32 [2,3]");
    ck_assert_str_eq(scalar, "I64 []");
    ck_assert_int_eq(st_count(&examples[0]), 6);
    ck_assert_int_eq(st_count(&examples[3]), 1);
    ck_assert_int_eq(st_count(&examples[7]), 0);
    free(text);
    free(scalar);
}
END_TEST

START_TEST(malformed_headers_are_refused_with_their_facts)
{
    static const struct {
        const char *header;
        size_t body;
        const char *message;
    } cases[] = {
        {"", 0, "header: not valid JSON"},
        {"[]", 0, "header: expected an object, got an array"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}} x", 4, "not valid JSON"},
        {"{\"a\":1}", 0, "tensor \"a\": dtype: expected a string, got null"},
        {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
         "tensor \"a\": dtype F8_E4M3 is not known here"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4,
         "tensor \"a\": shape: expected an array, got null"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,-1],\"data_offsets\":[0,4]}}", 4,
         "tensor \"a\": shape: number 1 is not a whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4,
         "tensor \"a\": shape: number 0 is not a whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
         "tensor \"a\": shape: expected at most 8 numbers, got 9"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8,
         "tensor \"a\": F32 [1] does not fit into 8 bytes"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0,
         "tensor \"a\": F32 [4611686018427387904] does not fit into 0 bytes"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
         "does not fit into 0 bytes"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[99999999999999999999],\"data_offsets\":[0,0]}}", 0,
         "not valid JSON"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4,
         "expected a begin and an end within 4 bytes of data, got 1 numbers"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,4]}}", 4,
         "data_offsets: expected at most 2 numbers, got 3"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "4 to 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1,5]}}", 4,
         "within 4 bytes of data, got 2 numbers, 1 to 5"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
         3, "tensor \"b\" begins at byte 1 of the data, expected 2: tensors overlap"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[3,4]}}",
         4, "tensor \"b\" begins at byte 3 of the data, expected 2: there is a hole"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2, "there is a hole"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 3,
         "the tensors take 2 bytes, but the file has 3"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
         2, "duplicate"},
        {"{\"__metadata__\":7}", 0, "__metadata__: expected an object, got an integer"},
        {"{\"__metadata__\":{\"k\":7}}", 0,
         "__metadata__: \"k\": expected a string, got an integer"},
        {"{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 0, "nested deeper than"},
    };
    struct error err;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b = file_of(cases[i].header, cases[i].body);

        ck_assert_msg(!opens(b.data, b.len, &err), "%s", cases[i].header);
        ck_assert_msg(strstr(err.msg, cases[i].message) &&
                          str_starts(err.msg, "some.safetensors: "),
                      "%s: %s", cases[i].header, err.msg);
        ck_assert_int_eq(err.code, ERR_DATA);
        buf_free(&b);
    }
}
END_TEST

START_TEST(odd_but_valid_headers_are_read)
{
    static const struct {
        const char *header;
        size_t body;
    } cases[] = {
        {"{}", 0},
        {"{\"__metadata__\":{}}   ", 0},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[3,0],\"data_offsets\":[0,0]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"c\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[2,2]}}",
         2},
        {" {\"z\":{\"data_offsets\":[2,4],\"shape\":[2],\"dtype\":\"U8\"},"
         "\"a\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[0,2]}}",
         4},
    };
    struct error err;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b = file_of(cases[i].header, cases[i].body);

        ck_assert_msg(opens(b.data, b.len, &err), "%s: %s", cases[i].header, err.msg);
        buf_free(&b);
    }
}
END_TEST

START_TEST(header_sizes_are_not_trusted)
{
    static const uint64_t sizes[] = {
        1, 7, 100, 100000001, 1u << 31, UINT64_MAX - 7, UINT64_MAX, (uint64_t)1 << 63};
    struct error err;
    char *huge;

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct buf b = file_of("{}", 5);

        memcpy(b.data, &sizes[i], 8);
        ck_assert_msg(!opens(b.data, b.len, &err), "%llu", (unsigned long long)sizes[i]);
        ck_assert_int_eq(err.code, ERR_DATA);
        buf_free(&b);
    }
    /* A file that is long enough, but whose header no one needs. */
    huge = mem_calloc(100000020, 1);
    memcpy(huge, &sizes[3], 8);
    ck_assert_error(st_open_memory(huge, 100000020, "huge", &err), err,
                    "a header of 100000001 bytes in a file of 100000020 (at most 100000000)");
    free(huge);
    ck_assert_error(opens("1234567", 7, &err), err, "7 bytes are too few");
    ck_assert_error(opens("", 0, &err), err, "0 bytes are too few");
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    char *path = write_these("whole", examples, meta, NULL);
    struct buf b = content(path);
    struct error err;

    ck_assert_ok(opens(b.data, b.len, &err), err);
    for (size_t n = 0; n < b.len; n++) {
        ck_assert_msg(!opens(b.data, n, &err), "%zu of %zu bytes", n, b.len);
        ck_assert_int_eq(err.code, ERR_DATA);
    }
    buf_free(&b);
    free(path);
}
END_TEST

START_TEST(damaged_files_never_lead_outside)
{
    char *path = write_these("damaged", examples, meta, NULL);
    struct buf b = content(path);
    uint64_t key = rng_key(unit_seed(), 17), at = 0;
    struct error err;
    int opened = 0;

    for (int round = 0; round < 4000; round++) {
        char *copy = mem_calloc(b.len, 1);

        memcpy(copy, b.data, b.len);
        for (uint64_t k = rng_below(key, at++, 3) + 1; k; k--) {
            size_t where = rng_below(key, at++, b.len);

            copy[where] = (char)(copy[where] ^ (1 << rng_below(key, at++, 8)));
        }
        opened += opens(copy, b.len, &err);
        free(copy);
    }
    ck_assert(opened > 0 && opened < 4000); /* changed data alone goes unnoticed */
    buf_free(&b);
    free(path);
}
END_TEST

START_TEST(files_that_are_not_there_are_bad_data)
{
    struct error err;

    ck_assert_error(st_open("/nonexistent/x.safetensors", &err), err, "/nonexistent/x.safetensors");
    ck_assert_int_eq(err.code, ERR_DATA);
    ck_assert_error(st_open(unit_dir(), &err), err, "not a regular file");
    ck_assert_int_eq(err.code, ERR_DATA);
}
END_TEST

START_TEST(the_identity_of_tensors_covers_all_but_their_order)
{
    struct st_tensor a[2] = {examples[0], examples[2]}, b[2] = {examples[2], examples[0]};
    char hex[SHA256_HEX], other[SHA256_HEX];
    double changed[2] = {momentum[0], momentum[1]};

    st_tensors_sha256(a, 2, hex);
    st_tensors_sha256(b, 2, other);
    ck_assert_str_eq(hex, other);
    b[0].name = "momentuM";
    st_tensors_sha256(b, 2, other);
    ck_assert_str_ne(hex, other);
    b[0] = examples[2];
    b[0].dtype = ST_I64;
    st_tensors_sha256(b, 2, other);
    ck_assert_str_ne(hex, other);
    b[0] = examples[2];
    b[1].shape[0] = 3;
    b[1].shape[1] = 2;
    st_tensors_sha256(b, 2, other);
    ck_assert_str_ne(hex, other);
    b[1] = examples[0];
    b[0].data = changed;
    st_tensors_sha256(b, 2, other);
    ck_assert_str_eq(hex, other);
    changed[1] = nextafter(changed[1], 0);
    st_tensors_sha256(b, 2, other);
    ck_assert_str_ne(hex, other);
    st_tensors_sha256(a, 1, other);
    ck_assert_str_ne(hex, other);
}
END_TEST

UNIT_MAIN(what_is_written_is_read_back, the_layout_is_the_published_one,
          bytes_depend_on_the_content_alone, numbers_are_converted, tensors_are_described,
          malformed_headers_are_refused_with_their_facts, odd_but_valid_headers_are_read,
          header_sizes_are_not_trusted, every_truncation_is_refused,
          damaged_files_never_lead_outside, files_that_are_not_there_are_bad_data,
          the_identity_of_tensors_covers_all_but_their_order)
