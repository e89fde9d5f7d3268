/* What torch.save wrote (tests/onnx/torch_nets.py) is read as it was; what a pickle must not do is refused
 * with its name and place; no input makes the readers leave their bytes (memory is of the exact size, for
 * the sanitizers). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/rng.h"
#include "proto/base/str.h"
#include "tests/unit/archive.h"
#include "tests/unit/unit.h"
#include "worker/ckpt/pickle.h"
#include "worker/ckpt/pth.h"
#include "worker/ckpt/zip.h"
#include "worker/models/model.h"
#include "worker/tensor_file.h"
#include "worker/weights.h"

static struct buf fixture(const char *name)
{
    char *path = str_fmt("%s/tests/onnx/fixtures/%s", getenv("srcdir"), name);
    struct buf b = buf_new(1 << 20);
    struct error err;

    ck_assert_ok(file_read(path, &b, &err), err);
    free(path);
    return b;
}

static const struct st_tensor *find(const struct pth *p, const char *prefix, const char *name)
{
    size_t n;
    const struct st_tensor *t = pth_tensors(p, &n);

    for (size_t i = 0; i < n; i++)
        if (str_starts(t[i].name, prefix) && strcmp(t[i].name + strlen(prefix), name) == 0)
            return &t[i];
    ck_abort_msg("there is no %s%s", prefix, name);
    return NULL;
}

/* Element i of the 2 x 3 x 4 numbers that all tensors are made of. */
static double whole(int i)
{
    return i - 7.5;
}

static void check(const struct pth *p, const char *prefix, const char *name, const char *what,
                  const double *want)
{
    const struct st_tensor *t = find(p, prefix, name);
    char *got = st_describe(t);
    double values[24];

    ck_assert_str_eq(got, what);
    ck_assert(st_to_double(t, values));
    for (int64_t i = 0; i < st_count(t); i++)
        ck_assert_msg(values[i] == want[i], "%s: element %d is %.17g, expected %.17g", name, (int)i,
                      values[i], want[i]);
    free(got);
}

static void check_tensors(const char *file, const char *prefix)
{
    struct buf b = fixture(file);
    struct error err;
    struct pth *p = pth_open_memory(buf_text(&b), b.len, file, &err);
    double plain[24], turned[24], part[6], thirds[24];
    int64_t count;
    size_t n;

    ck_assert_msg(p != NULL, "%s", err.msg);
    for (int i = 0; i < 24; i++) {
        plain[i] = whole(i);
        thirds[i] = whole(i) / 3;
        turned[i] = whole(i % 6 * 4 + i / 6);
    }
    for (int i = 0; i < 6; i++)
        part[i] = whole(12 + i / 2 * 4 + 1 + i % 2);
    check(p, prefix, "plain", "F32 [2,3,4]", plain);
    check(p, prefix, "turned", "F32 [4,2,3]", turned);
    check(p, prefix, "part", "F32 [3,2]", part);
    check(p, prefix, "parameter", "F32 [3,4]", plain);
    check(p, prefix, "double", "F64 [2,3,4]", thirds);
    check(p, prefix, "half", "F16 [3,4]", plain);
    check(p, prefix, "brain", "BF16 [3,4]", plain);
    check(p, prefix, "empty", "F32 [0,4]", plain);
    ck_assert(st_to_int64(find(p, prefix, "count"), &count) && count == INT64_C(12345678901));
    ck_assert_mem_eq(find(p, prefix, "flags")->data, "\1\0\1", 3);
    pth_tensors(p, &n);
    ck_assert_uint_eq(n, 10);
    pth_close(p);
    buf_free(&b);
}

START_TEST(tensors_are_as_they_were_saved)
{
    check_tensors("bare.pth", "");
    check_tensors("wrapped.pth", "module.");
}
END_TEST

START_TEST(other_files_of_pytorch_say_what_they_are)
{
    static const struct {
        const char *name, *text;
    } cases[] = {
        {"object.pth", "uses torch.nn.modules.linear.Linear, which is not allowed here"},
        {"old.pth", "has the form of PyTorch before 1.6"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *path = str_fmt("%s/tests/onnx/fixtures/%s", getenv("srcdir"), cases[i].name);
        struct error err;

        ck_assert_error(tensor_file_open(path, &err), err, cases[i].text);
        ck_assert_msg(strstr(err.msg, cases[i].name), "%s", err.msg);
        free(path);
    }
}
END_TEST

static const struct pickle_global allowed[] = {{"collections.OrderedDict", PICKLE_MAKES_DICT},
                                               {"torch.FloatStorage", PICKLE_NAMED},
                                               {"a.f", PICKLE_CALLED}};

static struct pickle *read_pickle(const char *program, size_t len, struct error *err)
{
    char *copy = mem_calloc(len + !len, 1);
    struct pickle *p;

    if (len)
        memcpy(copy, program, len);
    p = pickle_read(copy, len, allowed, ARRAY_LEN(allowed), err);
    free(copy);
    return p;
}

#define PROGRAM(text) text, sizeof(text) - 1

START_TEST(a_pickle_is_never_executed)
{
    static const struct {
        const char *program;
        size_t len;
        const char *text;
    } cases[] = {
        {PROGRAM("\x80\x02"
                 "cposix\nsystem\nX\x04\x00\x00\x00"
                 "true\x85R."),
         "byte 2: GLOBAL: uses posix.system, which is not allowed here"},
        {PROGRAM("\x80\x04\x8c\x08"
                 "builtins\x8c\x04"
                 "eval\x93."),
         "STACK_GLOBAL: uses builtins.eval"},
        {PROGRAM("\x80\x02"
                 "ctorch\nFloatStorage\n)R."),
         "calls torch.FloatStorage"},
        {PROGRAM("\x80\x02"
                 "ccollections\nOrderedDict\nK\x01\x85R."),
         "calls collections.OrderedDict with 1 arguments"},
        {PROGRAM("\x80\x02)\x81."), "opcode 0x81 is not allowed here"},
        {PROGRAM("\x80\x02(i__builtin__\nexec\n."), "opcode 0x69 is not allowed here"},
        {PROGRAM("(o."), "opcode 0x6f is not allowed here"},
        {PROGRAM("\x82\x01."), "opcode 0x82 is not allowed here"},
        {PROGRAM("\x80\x09."), "protocol 9 is not known"},
        {PROGRAM("K\x01)R."), "expected a name of Python's, got a number"},
        {PROGRAM("]}b."), "expected a dict, got a list"},
        {PROGRAM("."), "the stack is empty"},
        {PROGRAM(""), "without STOP"},
        {PROGRAM("X\xff\xff\xff\xff"
                 "abc."),
         "4294967295 bytes are needed, 4 are left"},
        {PROGRAM("N\x85"), "without STOP"},
        {PROGRAM("\x87."), "a tuple of 3, with 0 values"},
        {PROGRAM("t."), "there is no mark"},
        {PROGRAM("}(Nu."), "a key without a value"},
        {PROGRAM("h\x05."), "place 5 of the memo is empty"},
        {PROGRAM("Nr\xff\xff\xff\x7f."), "place 2147483647 of the memo"},
        {PROGRAM("(0."), "the stack is empty"},
        {PROGRAM("\x8a\x09\x01\x01\x01\x01\x01\x01\x01\x01\x01."), "a number of 9 bytes"},
        {PROGRAM("ca\nf"), "a name without an end"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error err = {0};

        ck_assert_error(read_pickle(cases[i].program, cases[i].len, &err), err, cases[i].text);
        ck_assert_msg(err.code == ERR_DATA, "case %zu", i);
    }
}
END_TEST

START_TEST(a_pickle_is_data)
{
    struct error err = {0};
    struct pickle *p = read_pickle(PROGRAM("\x80\x02}q\x00(X\x01\x00\x00\x00"
                                           "aK\x07X\x01\x00\x00\x00"
                                           "bJ\xfe\xff\xff\xffX\x01\x00\x00\x00"
                                           "c\x8a\x02\x00\xffX\x01\x00\x00\x00"
                                           "dG\x3f\xf8\x00\x00\x00\x00\x00\x00X\x01\x00\x00\x00"
                                           "eca\nf\nN\x88\x86RX\x01\x00\x00\x00"
                                           "fh\x00X\x01\x00\x00\x00"
                                           "aK\x08u."),
                                   &err);
    const struct pickle_value *root;

    ck_assert_msg(p != NULL, "%s", err.msg);
    root = pickle_root(p);
    ck_assert_int_eq(pickle_get(root, "a")->i, 8); /* the last one counts */
    ck_assert_int_eq(pickle_get(root, "b")->i, -2);
    ck_assert_int_eq(pickle_get(root, "c")->i, -256);
    ck_assert(pickle_get(root, "d")->real == 1.5);
    ck_assert_int_eq(pickle_get(root, "e")->kind, PICKLE_CALL);
    ck_assert_str_eq(pickle_get(root, "e")->items.at[0]->text, "a.f");
    ck_assert_int_eq(pickle_item(pickle_get(root, "e")->items.at[1], 1)->i, 1);
    ck_assert_ptr_eq(pickle_get(root, "f"), root); /* it contains itself */
    ck_assert_ptr_null(pickle_get(root, "g"));
    pickle_free(p);
}
END_TEST

#define TENSOR(elements, offset, shape, strides)                                                \
    PROGRAM("\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00" \
            "storagectorch\nFloatStorage\nX\x01\x00\x00\x00"                                    \
            "0X\x03\x00\x00\x00"                                                                \
            "cpu" elements "tQ" offset shape strides "\x89NtRs.")

START_TEST(tensors_must_lie_in_their_storage)
{
    static const struct {
        const char *program;
        size_t len;
        const char *text; /* NULL: it is fine */
    } cases[] = {
        {TENSOR("K\x04", "K\x00", "K\x02K\x02\x86", "K\x02K\x01\x86"), NULL},
        {TENSOR("K\x05", "K\x00", "K\x02K\x02\x86", "K\x02K\x01\x86"),
         "5 elements in 16 bytes of data/0"},
        {TENSOR("K\x04", "K\x01", "K\x02K\x02\x86", "K\x02K\x01\x86"),
         "reaches beyond the 4 elements"},
        {TENSOR("K\x04", "K\x00", "K\x02K\x02\x86", "K\x03K\x01\x86"),
         "reaches beyond the 4 elements"},
        {TENSOR("K\x04", "K\x00", "K\x05K\x01\x86", "K\x00K\x00\x86"),
         "reaches beyond the 4 elements"},
        {TENSOR("K\x04", "J\xff\xff\xff\xff", "K\x02\x85", "K\x01\x85"), "no place to begin at"},
        {TENSOR("K\x04", "K\x00", "J\xff\xff\xff\xff\x85", "K\x01\x85"),
         "dimension 0 is no number of 0 or more"},
        {TENSOR("K\x04", "K\x00", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fK\x02\x86",
                "K\x02K\x01\x86"),
         "reaches beyond"},
        {TENSOR("K\x04", "K\x00", "K\x02K\x02\x86", "K\x01\x85"), "2 dimensions, 1 strides"},
        {TENSOR("N", "K\x00", "K\x02\x85", "K\x01\x85"), "has no storage"},
        {PROGRAM("\x80\x02}X\x01\x00\x00\x00wK\x01s."), "there is no state_dict"},
        {PROGRAM("\x80\x02]."), "the file holds a list"},
    };
    const float storage[4] = {1, 2, 3, 4};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b = archive_of(cases[i].program, cases[i].len, storage, sizeof(storage));
        struct error err = {0};
        struct pth *p = pth_open_memory(buf_text(&b), b.len, "some.pth", &err);

        ck_assert_msg(!p == !!cases[i].text, "case %zu: %s", i, err.msg);
        if (cases[i].text)
            ck_assert_msg(strstr(err.msg, cases[i].text) && strstr(err.msg, "some.pth"),
                          "case %zu: %s", i, err.msg);
        else
            ck_assert_mem_eq(find(p, "", "w")->data, storage, sizeof(storage));
        pth_close(p);
        buf_free(&b);
    }
}
END_TEST

/* Every file that is cut off, and every one with a byte changed, is refused or read: nothing else. */
START_TEST(damaged_files_are_refused)
{
    struct buf b = fixture("bare.pth");
    int opened = 0;

    for (size_t i = 0; i < b.len; i++) {
        char *copy = mem_calloc(b.len, 1);
        struct error err = {0};
        struct pth *p;

        memcpy(copy, b.data, b.len);
        ck_assert_ptr_null(pth_open_memory(copy, i, "cut.pth", &err));
        copy[i] ^= (char)(1 << i % 8);
        p = pth_open_memory(copy, b.len, "changed.pth", &err);
        ck_assert_msg(p || strstr(err.msg, "changed.pth"), "byte %zu: %s", i, err.msg);
        opened += p != NULL;
        pth_close(p);
        free(copy);
    }
    /* Times, flags and padding tell nothing. */
    ck_assert_int_lt(opened, (int)b.len / 2);
    buf_free(&b);
}
END_TEST

/* A long directory whose entries all name the same bytes would have them summed for each. */
START_TEST(members_do_not_share_their_bytes)
{
    static const unsigned char storage[4000];
    struct buf b = archive_of(PROGRAM("\x80\x02}."), storage, sizeof(storage));
    const size_t second = b.len - 22 - 46 - strlen("x/data/0");
    const size_t first = second - 46 - strlen("x/data.pkl");
    struct error err = {0};
    struct zip z;

    ck_assert_ok(zip_open(&z, b.data, b.len, &err), err);
    zip_close(&z);
    memcpy(b.data + first + 16, b.data + second + 16, 12); /* check sum, sizes */
    memcpy(b.data + first + 42, b.data + second + 42, 4);
    ck_assert_error(zip_open(&z, b.data, b.len, &err), err,
                    "member \"x/data/0\": 4000 bytes are more than the other members leave of ");
    ck_assert_int_eq(err.code, ERR_DATA);
    zip_close(&z);
    buf_free(&b);
}
END_TEST

/* resnet8 under the names of others. */
static char *write_renamed(const char *file, const char *const *rename, const char *extra)
{
    char *path = str_path(unit_dir(), file);
    struct graph *g = graph_new();
    const struct net net = {.g = g, .prefix = ""};
    const struct model_def *def = model_find("resnet8", NULL);
    struct model_outputs out;
    VEC(struct st_tensor) list = {0};
    static float zeros[40000];
    static const int64_t one = 1;
    struct error err;

    def->build(&net, def, graph_input(g, "images", DT_REAL, shape4(1, 3, 32, 32)), 10, &out);
    for (size_t i = 0; i < g->values.n; i++) {
        const struct value *v = &g->values.at[i];
        struct st_tensor t = {.dtype = ST_F32, .rank = v->shape.rank, .data = zeros};
        const char *name = v->name;

        if (v->kind != VALUE_PARAM && v->kind != VALUE_BUFFER)
            continue;
        for (int k = 0; k < t.rank; k++)
            t.shape[k] = v->shape.dim[k];
        t.bytes = (size_t)shape_count(&v->shape) * sizeof(float);
        ck_assert_uint_le(t.bytes, sizeof(zeros));
        t.name = str_starts(name, rename[1])
                     ? str_fmt("%s%s%s", rename[0], rename[2], name + strlen(rename[1]))
                     : str_fmt("%s%s", rename[0], name);
        vec_push(&list, t);
    }
    vec_push(&list, (struct st_tensor){
                        str_dup("bn1.num_batches_tracked"), ST_I64, 0, {0}, &one, sizeof(one)});
    if (extra)
        vec_push(&list, (struct st_tensor){str_dup(extra), ST_F32, 1, {1}, zeros, sizeof(float)});
    ck_assert_ok(st_write(path, list.at, list.n, NULL, 0, NULL, &err), err);
    for (size_t i = 0; i < list.n; i++)
        free((char *)(uintptr_t)list.at[i].name);
    vec_free(&list);
    graph_free(g);
    return path;
}

START_TEST(names_of_others_become_ours)
{
    static const struct {
        const char *rename[3]; /* prefix, our layer, their layer */
        const char *extra, *error;
    } cases[] = {
        {{"", "fc.", "fc."}, NULL, NULL},
        {{"module.", "fc.", "fc."}, "module.fc1.0.weight", NULL},
        {{"module.student.", "fc.", "linear."}, "module.abfs.0.conv1.weight", NULL},
        {{"student.", "bn1.", "bn."}, "fc1.2.bias", NULL},
        {{"", "fc.", "head."}, NULL, "has no tensor fc.weight"},
        {{"", "fc.", "fc."}, "extra.weight", "has a tensor extra.weight, which resnet8 does not"},
        {{"", "fc.", "fc."}, "module.fc.weight", "has two tensors for fc.weight"},
    };
    char first[SHA256_HEX] = "", hex[SHA256_HEX];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *path = write_renamed("renamed.safetensors", cases[i].rename, cases[i].extra);
        struct weights w;
        struct error err = {0};
        bool ok =
            weights_open(&w, "teacher.weights", path, model_find("resnet8", NULL), 32, 10, &err);

        ck_assert_msg(ok == !cases[i].error, "case %zu: %s", i, err.msg);
        if (ok) {
            weights_sha256(&w, hex);
            ck_assert_msg(!first[0] || strcmp(first, hex) == 0, "case %zu: another identity", i);
            memcpy(first, hex, sizeof(first));
            weights_close(&w);
        } else {
            ck_assert_msg(strstr(err.msg, cases[i].error), "case %zu: %s", i, err.msg);
        }
        free(path);
    }
}
END_TEST

UNIT_MAIN(tensors_are_as_they_were_saved, other_files_of_pytorch_say_what_they_are,
          a_pickle_is_never_executed, a_pickle_is_data, tensors_must_lie_in_their_storage,
          damaged_files_are_refused, members_do_not_share_their_bytes, names_of_others_become_ours)
