/* The exact part: sums in fixed point, and the one division at the end. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/means/means.h"

static const double one = 0x1p64;    /* of the fixed point */
static const float limit = 0x1p40F;  /* keeps 2^22 summands below 2^127 */
static const double min_norm = 1e-6; /* below, a direction says nothing */

void means_sums_init(struct means_sums *s, int classes, int width)
{
    ASSERT(classes > 0 && width > 0);
    s->classes = classes;
    s->width = width;
    s->sums = NEW_ARRAY(__int128, (size_t)classes *(size_t)width);
    s->counts = NEW_ARRAY(int64_t, (size_t)classes);
}

void means_sums_free(struct means_sums *s)
{
    free(s->sums);
    free(s->counts);
    *s = (struct means_sums){0};
}

static bool add_row(__int128 *sum, const float *row, int width, int64_t sample, struct error *err)
{
    for (int i = 0; i < width; i++) {
        if (!(fabsf(row[i]) < limit)) /* not a number neither */
            return err_set(err, ERR_DATA,
                           "feature %d of training image %" PRId64
                           " is %g: expected a number between -2^40 and 2^40",
                           i, sample, (double)row[i]);
        /* A power of two changes the exponent alone; the cast truncates. */
        sum[i] += (__int128)((double)row[i] * one);
    }
    return true;
}

bool means_sums_add(struct means_sums *s, const float *features, const int32_t *labels, int64_t n,
                    const int64_t *samples, struct error *err)
{
    const size_t width = (size_t)s->width;

    for (int64_t i = 0; i < n; i++) {
        ASSERT(0 <= labels[i] && labels[i] < s->classes);
        if (!add_row(s->sums + (size_t)labels[i] * width, features + (size_t)i * width, s->width,
                     samples[i], err))
            return false;
        s->counts[labels[i]]++;
    }
    return true;
}

static void copy_provenance(struct class_means *m, const struct means_provenance *p)
{
    ASSERT(strlen(p->isa) < sizeof(m->isa));
    snprintf(m->teacher_sha256, sizeof(m->teacher_sha256), "%s", p->teacher_sha256);
    snprintf(m->data_sha256, sizeof(m->data_sha256), "%s", p->data_sha256);
    snprintf(m->isa, sizeof(m->isa), "%s", p->isa);
    m->transform = str_dup(p->transform);
    m->chunk = p->chunk;
    m->threads = p->threads;
}

bool means_set_unit(struct class_means *m, int c, struct error *err)
{
    const size_t at = (size_t)c * (size_t)m->width;
    const double *mean = m->mean + at;
    double squares = 0;

    for (int i = 0; i < m->width; i++)
        squares += mean[i] * mean[i];
    if (!(sqrt(squares) >= min_norm))
        return err_set(err, ERR_DATA,
                       "the mean feature of class %d has norm %g (%" PRId64
                       " images): expected at least %g",
                       c, sqrt(squares), m->counts[c], min_norm);
    for (int i = 0; i < m->width; i++)
        m->unit[at + (size_t)i] = (float)(mean[i] / sqrt(squares));
    return true;
}

static bool finish_class(struct class_means *m, const struct means_sums *s, int c,
                         struct error *err)
{
    const size_t at = (size_t)c * (size_t)s->width;

    if (!s->counts[c])
        return err_set(err, ERR_DATA, "class %d has no training image, so it has no mean", c);
    m->counts[c] = s->counts[c];
    for (int i = 0; i < s->width; i++)
        m->mean[at + (size_t)i] = (double)s->sums[at + (size_t)i] / one / (double)s->counts[c];
    return means_set_unit(m, c, err);
}

bool means_finish(const struct means_sums *s, const struct means_provenance *p,
                  struct class_means *out, struct error *err)
{
    const size_t n = (size_t)s->classes * (size_t)s->width;

    *out = (struct class_means){.classes = s->classes, .width = s->width};
    out->mean = NEW_ARRAY(double, n);
    out->unit = NEW_ARRAY(float, n);
    out->counts = NEW_ARRAY(int64_t, (size_t)s->classes);
    copy_provenance(out, p);
    for (int c = 0; c < s->classes; c++)
        if (!finish_class(out, s, c, err)) {
            means_free(out);
            return false;
        }
    return true;
}

void means_free(struct class_means *m)
{
    free(m->mean);
    free(m->unit);
    free(m->counts);
    free(m->transform);
    *m = (struct class_means){0};
}
