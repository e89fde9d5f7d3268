/* procedural:classes=10,train=4000,test=1000,seed=1 - images made by the program, for runs without
 * data files.
 *
 * A class is a texture and a silhouette. An image shows the silhouette, filled with the texture, at a
 * random place, size, slight turn and phase; every colour is random and the two inks of a texture may
 * change places. So each pixel has the same distribution in all classes as far as its mean goes: no
 * template and no colour tells them apart, only structure does. Both parts of a class stay the same
 * when the image is mirrored, so that the usual augmentation keeps labels true.
 *
 * Only + - * / and square root are used on doubles: the same bytes on every machine. */
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/pulse.h"
#include "proto/base/rng.h"
#include "proto/base/str.h"
#include "worker/data/source.h"

enum {
    SIDE = 32,
    PLANE = SIDE * SIDE
};

/* A pixel as a texture sees it: from the middle of the silhouette, in periods of the texture. */
struct spot {
    double u, v;
    double a, b; /* phases of the image, 0 to 1 */
};

/* Triangle wave of period 1 between -1 and 1. */
static double wave(double t)
{
    return 4 * fabs(t - floor(t) - 0.5) - 1;
}

static double rows(const struct spot *p)
{
    return wave(p->v + p->a);
}

static double columns(const struct spot *p)
{
    return wave(p->u + p->a);
}

/* Falling or rising: a mirrored image is of the same class. */
static double slants(const struct spot *p)
{
    return wave(0.7071 * (p->v + (p->b < 0.5 ? p->u : -p->u)) + p->a);
}

static double checks(const struct spot *p)
{
    return 2 * wave(0.6 * p->u + p->a) * wave(0.6 * p->v + p->b);
}

static double lozenges(const struct spot *p)
{
    return 2 * wave(0.45 * (p->u + p->v) + p->a) * wave(0.45 * (p->u - p->v) + p->b);
}

static double rings(const struct spot *p)
{
    return wave(sqrt(p->u * p->u + p->v * p->v) + p->a);
}

static double frames(const struct spot *p)
{
    return wave(fmax(fabs(p->u), fabs(p->v)) + p->a);
}

static double zigzag_rows(const struct spot *p)
{
    return wave(p->v + 0.35 * wave(0.6 * p->u + p->b) + p->a);
}

static double zigzag_columns(const struct spot *p)
{
    return wave(p->u + 0.35 * wave(0.6 * p->v + p->b) + p->a);
}

static double dots(const struct spot *p)
{
    return fmin(wave(p->u + p->a), wave(p->v + p->b)) + 0.35;
}

static double (*const textures[])(const struct spot *) = {
    rows, columns, slants, checks, lozenges, rings, frames, zigzag_rows, zigzag_columns, dots,
};

/* Silhouettes, about the unit circle in size. */
static bool disc(double x, double y)
{
    return x * x + y * y < 1;
}

static bool box(double x, double y)
{
    return fmax(fabs(x), fabs(y)) < 0.85;
}

static bool diamond(double x, double y)
{
    return fabs(x) + fabs(y) < 1.15;
}

static bool tent(double x, double y)
{
    return y < 0.8 && 2 * fabs(x) < y + 1.1;
}

static bool funnel(double x, double y)
{
    return tent(x, -y);
}

static bool hoop(double x, double y)
{
    return disc(x, y) && !disc(2 * x, 2 * y);
}

static bool plus(double x, double y)
{
    return fmin(fabs(x), fabs(y)) < 0.38 && fmax(fabs(x), fabs(y)) < 1.05;
}

static bool saltire(double x, double y)
{
    return plus(0.7071 * (x + y), 0.7071 * (x - y));
}

static bool beam(double x, double y)
{
    return fabs(x) < 1.2 && fabs(y) < 0.5;
}

static bool pillar(double x, double y)
{
    return beam(y, x);
}

static bool (*const silhouettes[])(double x, double y) = {
    disc, box, diamond, tent, funnel, hoop, plus, saltire, beam, pillar,
};

enum {
    TEXTURES = ARRAY_LEN(textures),
    SILHOUETTES = ARRAY_LEN(silhouettes),
    MAX_CLASSES = TEXTURES * SILHOUETTES
};

/* Numbers of one image, taken in order. */
struct draws {
    uint64_t key, next;
};

static double draw(struct draws *d, double lo, double hi)
{
    return lo + (hi - lo) * rng_uniform(d->key, d->next++);
}

struct scene {
    double (*texture)(const struct spot *);
    bool (*silhouette)(double x, double y);
    double x, y, radius, cosine, sine, period;
    double a, b;
    double ground[3], slope_x[3], slope_y[3]; /* colour behind: a gradient */
    double ink[3], contrast[3];               /* colour of the texture: ink +- contrast */
    double noise;
};

static void draw_scene(struct scene *s, int label, struct draws *d)
{
    /* Half an angle by its tangent: cosine and sine without the library's. */
    double t = draw(d, -0.08, 0.08);

    s->texture = textures[label % TEXTURES];
    s->silhouette = silhouettes[(label + label / TEXTURES) % SILHOUETTES];
    s->cosine = (1 - t * t) / (1 + t * t);
    s->sine = 2 * t / (1 + t * t);
    s->radius = draw(d, 9, 14);
    s->x = draw(d, 11, 21);
    s->y = draw(d, 11, 21);
    s->period = draw(d, 5, 7.5);
    s->a = draw(d, 0, 1);
    s->b = draw(d, 0, 1);
    s->noise = draw(d, 0.02, 0.15);
    for (int c = 0; c < 3; c++) {
        s->ground[c] = draw(d, 0.2, 0.8);
        s->slope_x[c] = draw(d, -0.3, 0.3);
        s->slope_y[c] = draw(d, -0.3, 0.3);
        s->ink[c] = draw(d, 0.3, 0.7);
        s->contrast[c] = draw(d, -0.3, 0.3);
    }
}

static double clamp(double v, double lo, double hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

/* Three values of mean 0 and deviation 1 from one number of the stream: sums of bits count as bell
 * curves, 16 bits for each. */
static double noise_of(uint64_t bits, int c)
{
    unsigned n = (unsigned)__builtin_popcount((unsigned)(bits >> (16 * c)) & 0xffff);

    return ((double)n - 8) / 2;
}

static void paint_pixel(const struct scene *s, int x, int y, uint64_t bits, uint8_t *out)
{
    double dx = x - s->x, dy = y - s->y;
    double rx = s->cosine * dx - s->sine * dy, ry = s->sine * dx + s->cosine * dy;
    bool inside = s->silhouette(rx / s->radius, ry / s->radius);
    struct spot p = {rx / s->period, ry / s->period, s->a, s->b};
    double t = inside ? clamp(1.5 * s->texture(&p), -1, 1) : 0;

    for (int c = 0; c < 3; c++) {
        double v =
            inside ? s->ink[c] + t * s->contrast[c]
                   : s->ground[c] + (s->slope_x[c] * (x - 15.5) + s->slope_y[c] * (y - 15.5)) / 16;

        v += s->noise * noise_of(bits, c);
        out[c * PLANE + y * SIDE + x] = (uint8_t)(clamp(v, 0, 1) * 255 + 0.5);
    }
}

static void paint(int label, uint64_t key, uint8_t *out)
{
    struct draws d = {.key = key};
    struct scene s;

    draw_scene(&s, label, &d);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            paint_pixel(&s, x, y, rng_u64(key, d.next++), out);
}

struct options {
    int64_t classes, train, test, seed;
};

static const struct option {
    const char *name;
    size_t offset;
    int64_t lo, hi;
} option_rows[] = {
    {"classes", offsetof(struct options, classes), 2, MAX_CLASSES},
    {"train", offsetof(struct options, train), 1, 1000000},
    {"test", offsetof(struct options, test), 1, 1000000},
    {"seed", offsetof(struct options, seed), 0, INT64_MAX},
};

static bool set_option(struct options *o, const char *name, const char *value, struct error *err)
{
    const struct option *row = table_find(TABLE(option_rows), name);
    int64_t v;

    if (!row)
        return table_unknown(TABLE(option_rows), "option of procedural data", name, err);
    if (!str_int(value, row->lo, row->hi, &v))
        return err_set(err, ERR_INVALID,
                       "procedural data: %s: expected a whole number from %" PRId64 " to %" PRId64
                       ", got \"%s\"",
                       name, row->lo, row->hi, value);
    memcpy((char *)o + row->offset, &v, sizeof(v));
    return true;
}

/* NAME=VALUE, separated by commas; what is left out keeps its default. */
static bool parse_options(struct options *o, const char *text, struct error *err)
{
    bool ok = true;

    while (ok && *text) {
        size_t n = strcspn(text, ",");
        char *item = str_ndup(text, n), *equals = strchr(item, '=');

        if (equals)
            *equals = '\0';
        ok = set_option(o, item, equals ? equals + 1 : "", err);
        free(item);
        text += n + (text[n] == ',');
    }
    return ok;
}

bool synthetic_open(struct dataset *d, const char *options, enum split split, struct error *err)
{
    struct options o = {.classes = 10, .train = 4000, .test = 1000, .seed = 1};
    uint64_t key;
    size_t n;

    if (!parse_options(&o, options, err))
        return false;
    n = (size_t)(split == SPLIT_TRAIN ? o.train : o.test);
    d->classes = (int)o.classes;
    d->size = SIDE;
    d->made = mem_try_aligned(64, n * 3 * PLANE);
    if (!d->made)
        return err_set(err, ERR_TOO_LARGE, "procedural data: no memory for %zu images", n);
    key = rng_key(rng_key((uint64_t)o.seed, RNG_SYNTHETIC), split);
    vec_reserve(&d->images, n);
    for (size_t i = 0; i < n; i++) {
        struct image image = {.data = d->made + i * 3 * PLANE,
                              .label = (int32_t)(i % (size_t)o.classes)};

        paint(image.label, rng_key(key, i), d->made + i * 3 * PLANE);
        vec_push(&d->images, image);
        pulse_beat();
    }
    return true;
}
