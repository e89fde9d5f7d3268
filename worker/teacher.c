#include "worker/teacher.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"

void teacher_ranges_free(struct teacher_ranges *r)
{
    for (int form = 0; form < TEACHER_FORMS; form++)
        free(r->of[form]);
    *r = (struct teacher_ranges){{NULL}, {0}};
}

void teacher_ranges_sha256(const struct teacher_ranges *r, char hex[SHA256_HEX])
{
    struct buf b = buf_new(0);

    for (int form = 0; form < TEACHER_FORMS; form++) {
        buf_fmt(&b, "form %d:", form);
        for (size_t i = 0; i < r->n[form]; i++)
            buf_fmt(&b, " %.9g", (double)r->of[form][i]);
        buf_str(&b, "\n");
    }
    sha256_of(buf_text(&b), b.len, hex);
    buf_free(&b);
}

static struct plan *compile_form(const struct teacher *t, enum teacher_form form,
                                 const struct compile_options *how,
                                 const struct teacher_ranges *ranges, tensor_fn tensor, void *arg,
                                 struct error *err)
{
    static const char *const numbers[] = {[PRECISION_FLOAT32] = "",
                                          [PRECISION_OBSERVED] = ", observed",
                                          [PRECISION_INT8] = " in int8"};
    bool with_taps = form == TEACHER_READ;
    char title[96];
    struct compile_options options = *how;
    struct graph *g = nets_teacher_graph(t->nets, t->chunk, with_taps);
    float *weights = NULL;
    struct plan *p = NULL;

    snprintf(title, sizeof(title), "%s frozen%s%s, a chunk of %" PRId64 " samples",
             t->nets->teacher->name, numbers[how->precision], with_taps ? " with taps" : "",
             t->chunk);
    options.title = title;
    if (ranges) {
        options.ranges = ranges->of[form];
        options.n_ranges = ranges->n[form];
    }
    if (nets_set_constants(g, tensor, arg, &weights, err))
        p = compile(g, &options, err);
    else
        graph_free(g);
    free(weights);
    return p;
}

static size_t image_floats(const struct nets *n)
{
    return 3 * (size_t)(n->image_size * n->image_size);
}

static float *room(struct teacher *t, size_t each)
{
    size_t bytes = (size_t)t->chunk * each * sizeof(float);
    float *p = mem_try_aligned(64, bytes);

    ASSERT(p);
    t->bytes += bytes;
    if (bytes < MEM_LARGE)
        t->heap_bytes += bytes;
    return p;
}

struct teacher *teacher_open(const struct nets *nets, int64_t chunk,
                             const struct compile_options *how, const struct teacher_ranges *ranges,
                             tensor_fn tensor, void *arg, struct error *err)
{
    struct teacher *t = NEW(struct teacher);
    bool taps = nets_reads_taps(nets), ok = true;

    t->nets = nets;
    t->chunk = chunk;
    if (ranges)
        teacher_ranges_sha256(ranges, t->ranges_sha256);
    for (int form = TEACHER_PLAIN; ok && form <= (taps ? TEACHER_READ : TEACHER_PLAIN); form++) {
        t->plans[form] = compile_form(t, (enum teacher_form)form, how, ranges, tensor, arg, err);
        ok = t->plans[form] != NULL;
    }
    if (!ok) {
        teacher_close(t);
        return NULL;
    }
    t->images = room(t, image_floats(nets));
    for (size_t i = 0; i < nets->n_teacher_values; i++)
        if (teacher_makes(nets, i))
            t->values[i] = room(t, teacher_value_count(nets, i));
    return t;
}

void teacher_close(struct teacher *t)
{
    if (!t)
        return;
    for (int form = 0; form < TEACHER_FORMS; form++)
        plan_free(t->plans[form]);
    for (size_t i = 0; i < NETS_MAX_TEACHER_VALUES; i++)
        free(t->values[i]);
    free(t->images);
    free(t);
}

struct plan *teacher_plan(const struct teacher *t, enum teacher_form form)
{
    return t->plans[form] ? t->plans[form] : t->plans[TEACHER_PLAIN];
}

void teacher_algorithm(const struct teacher *t, enum teacher_form form, char hex[SHA256_HEX])
{
    const struct plan *p = teacher_plan(t, form);
    struct buf b = buf_new(0);

    if (t->ranges_sha256[0])
        buf_fmt(&b, "ranges %s\n", t->ranges_sha256);
    for (size_t i = 0; i < p->steps.n; i++) {
        const struct step *s = &p->steps.at[i];

        buf_fmt(&b, "%s %s:", s->text, s->kernel->impl);
        for (int k = 0; k < s->n_in + s->n_out; k++)
            buf_fmt(&b, " %s", p->backend->def->layout_name(p->backend, s->values[k].layout));
        buf_str(&b, "\n");
    }
    sha256_of(buf_text(&b), b.len, hex);
    buf_free(&b);
}

size_t teacher_value_count(const struct nets *n, size_t i)
{
    return (size_t)shape_count(&n->teacher_values[i].shape);
}

bool teacher_makes(const struct nets *n, size_t i)
{
    return i < TEACHER_TAPS || n->teacher_values[i].read;
}

static void run_chunk(struct teacher *t, struct plan *p, const float *images, int64_t count)
{
    const size_t image = image_floats(t->nets);
    const float *in = images;

    if (count < t->chunk) {
        memset(t->images, 0, (size_t)t->chunk * image * sizeof(float));
        memcpy(t->images, images, (size_t)count * image * sizeof(float));
        in = t->images;
    }
    plan_bind_name(p, "images", in);
    for (size_t i = 0; i < t->nets->n_teacher_values; i++)
        plan_bind_name(p, t->nets->teacher_values[i].name, t->values[i]);
    plan_run(p);
}

void teacher_run(struct teacher *t, enum teacher_form form, const float *images, int64_t count,
                 float *const values[NETS_MAX_TEACHER_VALUES])
{
    const struct nets *n = t->nets;
    const size_t image = image_floats(n);

    for (int64_t at = 0; at < count; at += t->chunk) {
        int64_t here = count - at < t->chunk ? count - at : t->chunk;

        run_chunk(t, teacher_plan(t, form), images + (size_t)at * image, here);
        for (size_t i = 0; i < n->n_teacher_values; i++)
            if (values[i])
                memcpy(values[i] + (size_t)at * teacher_value_count(n, i), t->values[i],
                       (size_t)here * teacher_value_count(n, i) * sizeof(float));
    }
}
