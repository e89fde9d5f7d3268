#include "worker/data/frame.h"

#include <stdlib.h>

#include "proto/base/mem.h"
#include "worker/data/resample.h"
#include "worker/data/source.h"

struct framer {
    const struct dataset *data;
    const struct augment *augment;
    struct buf file;
    struct picture picture;
    struct resampler *resampler;
    uint8_t *frame; /* 3 x size x size */
};

struct framer *framer_new(const struct dataset *d, const struct augment *a)
{
    struct framer *f = NEW(struct framer);
    const size_t size = (size_t)dataset_size(d);

    f->data = d;
    f->augment = a;
    f->file = buf_new(ENCODED_MAX);
    f->resampler = resampler_new();
    f->frame = NEW_ARRAY(uint8_t, 3 * size * size);
    return f;
}

void framer_free(struct framer *f)
{
    if (!f)
        return;
    buf_free(&f->file);
    picture_free(&f->picture);
    resampler_free(f->resampler);
    free(f->frame);
    free(f);
}

struct framer **framers_new(const struct dataset *d, const struct augment *a, int n)
{
    struct framer **f = NEW_ARRAY(struct framer *, (size_t)n);

    for (int i = 0; i < n; i++)
        f[i] = framer_new(d, a);
    return f;
}

void framers_free(struct framer **f, int n)
{
    for (int i = 0; f && i < n; i++)
        framer_free(f[i]);
    free(f);
}

size_t framer_memory(const struct dataset *d)
{
    const struct dataset_largest most = dataset_largest(d);
    const size_t size = (size_t)dataset_size(d);

    /* The file, its pixels, the frame. While a progressive JPEG is decoded, its coefficients take twice as
     * much as its pixels on top. */
    return most.bytes + 3 * (size_t)most.pixels + 3 * size * size;
}

const struct picture *framer_picture(struct framer *f, int64_t sample, struct error *err)
{
    const uint8_t *data;
    size_t len;
    char *name;

    if (!dataset_file(f->data, sample, &f->file, &data, &len, err))
        return NULL;
    if (decode(data, len, &f->picture, err))
        return &f->picture;
    name = dataset_image_name(f->data, sample);
    err_wrap(err, "%s", name);
    free(name);
    return NULL;
}

static struct pixels whole_picture(const struct picture *p)
{
    return (struct pixels){.base = p->rgb,
                           .row = 3 * (ptrdiff_t)p->width,
                           .step = 3,
                           .plane = 1,
                           .width = p->width,
                           .height = p->height};
}

static struct pixels whole_image(const struct framer *f, int64_t sample)
{
    const int size = dataset_size(f->data);

    return (struct pixels){.base = dataset_image(f->data, sample),
                           .row = size,
                           .step = 1,
                           .plane = (ptrdiff_t)size * size,
                           .width = size,
                           .height = size};
}

static const uint8_t *show_centre(struct framer *f, const struct pixels *whole)
{
    const struct cutout w =
        crop_centre(whole->width, whole->height, f->augment->resize, dataset_size(f->data));

    resample(f->resampler, whole, &w, f->frame);
    return f->frame;
}

static const uint8_t *show_box(struct framer *f, const struct pixels *whole, const struct box *b)
{
    const int size = dataset_size(f->data);
    const struct cutout w = {.width = size, .height = size, .cols = size, .rows = size};
    struct pixels part = *whole;

    part.base += b->top * part.row + b->left * part.step;
    part.width = b->width;
    part.height = b->height;
    resample(f->resampler, &part, &w, f->frame);
    return f->frame;
}

const uint8_t *framer_train(struct framer *f, int64_t epoch, int64_t sample, struct error *err)
{
    const struct augment *a = f->augment;
    const struct picture *p = NULL;
    struct pixels whole;
    struct box box;

    if (!dataset_encoded(f->data) && !a->resized_crop)
        return dataset_image(f->data, sample);
    if (dataset_encoded(f->data) && !(p = framer_picture(f, sample, err)))
        return NULL;
    whole = p ? whole_picture(p) : whole_image(f, sample);
    if (!a->resized_crop)
        return show_centre(f, &whole);
    box = crop_random(&a->crop, a->seed, epoch, sample, whole.width, whole.height);
    return show_box(f, &whole, &box);
}

const uint8_t *framer_eval(struct framer *f, int64_t sample, struct error *err)
{
    const struct picture *p;
    struct pixels whole;

    if (!dataset_encoded(f->data))
        return dataset_image(f->data, sample);
    p = framer_picture(f, sample, err);
    if (!p)
        return NULL;
    whole = whole_picture(p);
    return show_centre(f, &whole);
}
