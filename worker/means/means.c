/* Class means as a file, and whether they belong to a job. */
#include "worker/means/means.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/ckpt/safetensors.h"

static const char format[] = "distilld-class-means-1";
enum {
    N_TENSORS = 3
};

static void describe_tensors(const struct class_means *m, struct st_tensor t[N_TENSORS])
{
    const size_t n = (size_t)m->classes * (size_t)m->width;

    t[0] = (struct st_tensor){"counts",     ST_I64,    1,
                              {m->classes}, m->counts, (size_t)m->classes * sizeof(*m->counts)};
    t[1] = (struct st_tensor){
        "mean", ST_F64, 2, {m->classes, m->width}, m->mean, n * sizeof(*m->mean)};
    t[2] = (struct st_tensor){
        "unit", ST_F32, 2, {m->classes, m->width}, m->unit, n * sizeof(*m->unit)};
}

bool means_save(const struct class_means *m, const char *path, struct error *err)
{
    struct st_tensor tensors[N_TENSORS];
    char content[SHA256_HEX], chunk[16], threads[16];
    const struct st_meta meta[] = {
        {"format", format},
        {"content_sha256", content},
        {"teacher_sha256", m->teacher_sha256},
        {"data_sha256", m->data_sha256},
        {"transform", m->transform},
        {"isa", m->isa},
        {"chunk", chunk},
        {"threads", threads},
    };

    describe_tensors(m, tensors);
    st_tensors_sha256(tensors, N_TENSORS, content);
    snprintf(chunk, sizeof(chunk), "%d", m->chunk);
    snprintf(threads, sizeof(threads), "%d", m->threads);
    return st_write(path, tensors, N_TENSORS, meta, ARRAY_LEN(meta), NULL, err) ||
           err_wrap(err, "saving the class means");
}

static bool read_text(const struct safetensors *s, const char *key, char *out, size_t size,
                      struct error *err)
{
    const char *text = st_meta(s, key);

    if (!text || strlen(text) >= size)
        return err_set(err, ERR_DATA, "metadata %s: expected fewer than %zu bytes, got %s", key,
                       size, text ? text : "none");
    snprintf(out, size, "%s", text);
    return true;
}

static bool read_number(const struct safetensors *s, const char *key, int *out, struct error *err)
{
    const char *text = st_meta(s, key);
    int64_t v;

    if (!text || !str_int(text, 1, INT32_MAX, &v))
        return err_set(err, ERR_DATA, "metadata %s: expected a positive number, got %s", key,
                       text ? text : "none");
    *out = (int)v;
    return true;
}

static bool read_provenance(const struct safetensors *s, struct class_means *m, struct error *err)
{
    const char *given = st_meta(s, "format"), *transform = st_meta(s, "transform");

    if (!given || strcmp(given, format) != 0)
        return err_set(err, ERR_DATA, "metadata format: expected %s, got %s", format,
                       given ? given : "none");
    if (!transform)
        return err_set(err, ERR_DATA, "metadata transform is missing");
    m->transform = str_dup(transform);
    return read_text(s, "teacher_sha256", m->teacher_sha256, sizeof(m->teacher_sha256), err) &&
           read_text(s, "data_sha256", m->data_sha256, sizeof(m->data_sha256), err) &&
           read_text(s, "isa", m->isa, sizeof(m->isa), err) &&
           read_number(s, "chunk", &m->chunk, err) && read_number(s, "threads", &m->threads, err);
}

/* A tensor of the expected type and shape, or an error that shows both. */
static const struct st_tensor *expect(const struct safetensors *s, struct st_tensor want,
                                      struct error *err)
{
    const struct st_tensor *got = st_find(s, want.name);
    char *wanted, *found;

    if (got && got->dtype == want.dtype && got->rank == want.rank &&
        memcmp(got->shape, want.shape, (size_t)want.rank * sizeof(*want.shape)) == 0)
        return got;
    wanted = st_describe(&want);
    found = got ? st_describe(got) : str_dup("none");
    err_set(err, ERR_DATA, "tensor %s: expected %s, got %s", want.name, wanted, found);
    free(wanted);
    free(found);
    return NULL;
}

/* Classes and width are those of `mean`. */
static bool read_shape(const struct safetensors *s, struct class_means *m, struct error *err)
{
    const struct st_tensor *mean = st_find(s, "mean");
    char *found;

    if (mean && mean->rank == 2 && mean->shape[0] > 0 && mean->shape[0] <= INT32_MAX &&
        mean->shape[1] > 0 && mean->shape[1] <= INT32_MAX) {
        m->classes = (int)mean->shape[0];
        m->width = (int)mean->shape[1];
        return true;
    }
    found = mean ? st_describe(mean) : str_dup("none");
    err_set(err, ERR_DATA, "tensor mean: expected F64 [classes,width], got %s", found);
    free(found);
    return false;
}

static void *copy(const struct st_tensor *t)
{
    void *data = mem_calloc(t->bytes, 1);

    memcpy(data, t->data, t->bytes);
    return data;
}

static bool read_tensors(const struct safetensors *s, struct class_means *m, struct error *err)
{
    struct st_tensor want[N_TENSORS];
    const struct st_tensor *got[N_TENSORS];

    if (!read_shape(s, m, err))
        return false;
    describe_tensors(m, want);
    for (int i = 0; i < N_TENSORS; i++)
        if (!(got[i] = expect(s, want[i], err)))
            return false;
    m->counts = copy(got[0]);
    m->mean = copy(got[1]);
    m->unit = copy(got[2]);
    return true;
}

/* The file is whole: a flipped bit in a mean would go unnoticed otherwise. */
static bool check_content(const struct safetensors *s, struct error *err)
{
    const char *expected = st_meta(s, "content_sha256");
    char hex[SHA256_HEX];

    st_tensors_sha256(st_at(s, 0), st_tensors(s), hex);
    return (expected && strcmp(expected, hex) == 0) ||
           err_set(err, ERR_DATA, "the sha256 of its tensors is %s, but content_sha256 is %s", hex,
                   expected ? expected : "missing");
}

static double norm_of(const struct class_means *m, int c)
{
    const double *mean = m->mean + (size_t)c * (size_t)m->width;
    double squares = 0;

    for (int i = 0; i < m->width; i++)
        squares += mean[i] * mean[i];
    return sqrt(squares);
}

static bool check_values(const struct class_means *m, struct error *err)
{
    for (int c = 0; c < m->classes; c++) {
        double norm = norm_of(m, c);

        if (m->counts[c] <= 0 || !(norm >= 1e-6) || !isfinite(norm))
            return err_set(err, ERR_DATA,
                           "class %d: expected images and a mean of norm 1e-6 or more, got %" PRId64
                           " images and norm %g",
                           c, m->counts[c], norm);
    }
    return true;
}

bool means_load(struct class_means *out, const char *path, struct error *err)
{
    struct safetensors *s = st_open(path, err);
    bool ok;

    *out = (struct class_means){0};
    if (!s)
        return err_wrap(err, "class means");
    ok = read_provenance(s, out, err) && check_content(s, err) && read_tensors(s, out, err) &&
         check_values(out, err);
    st_close(s);
    if (!ok) {
        means_free(out);
        err_wrap(err, "class means %s", path);
    }
    return ok;
}

bool means_check(const struct class_means *m, const struct means_provenance *p, int classes,
                 int width, const char *path, struct error *err)
{
    if (strcmp(m->teacher_sha256, p->teacher_sha256) != 0 ||
        strcmp(m->data_sha256, p->data_sha256) != 0 || strcmp(m->transform, p->transform) != 0)
        return err_set(err, ERR_DATA,
                       "class means %s are of teacher %s, data %s, transform %s; this job has "
                       "teacher %s, data %s, transform %s",
                       path, m->teacher_sha256, m->data_sha256, m->transform, p->teacher_sha256,
                       p->data_sha256, p->transform);
    return means_fit(m, classes, width, path, err);
}

bool means_fit(const struct class_means *m, int classes, int width, const char *path,
               struct error *err)
{
    if (m->classes != classes || m->width != width)
        return err_set(err, ERR_DATA,
                       "class means %s have %d classes of width %d; this job has %d classes of "
                       "width %d",
                       path, m->classes, m->width, classes, width);
    return true;
}
