/* What the losses take as the direction of a class (teacher.directions), wherever it comes from. */
#include <inttypes.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "worker/engine/ops/ops.h"
#include "worker/session.h"

/* Directions that nothing could be compared with are not made. */
static bool wanted(const struct session *s)
{
    const struct nets *n = &s->replica->cfg.nets;

    return !n->student || n->projector || n->student_width == n->teacher_width;
}

/* The weights of the layer between features and logits, [classes, width]; free(). */
static char *classifier_name(const struct nets *n, struct error *err)
{
    struct graph *g = nets_inference_graph(n->teacher, 1, n->image_size, n->classes, false);
    const struct value *logits = &g->values.at[graph_find(g, "logits")];
    const struct node *layer = logits->producer >= 0 ? &g->nodes.at[logits->producer] : NULL;
    const struct value *w = NULL;
    struct shape shape = shape2(n->classes, n->teacher_width);
    char *name = NULL;

    if (layer && layer->op == &op_gemm && layer->in[0] == graph_find(g, "features"))
        w = &g->values.at[layer->in[1]];
    if (w && w->kind == VALUE_PARAM && shape_equal(&w->shape, &shape))
        name = str_dup(w->name);
    else
        err_set(err, ERR_INVALID,
                "#/teacher/directions: is \"classifier\", but %s does not make its logits from its "
                "features by one linear layer",
                n->teacher->name);
    graph_free(g);
    return name;
}

static bool read_rows(struct session *s, const char *name, float *rows, struct error *err)
{
    const struct nets *n = &s->replica->cfg.nets;
    const struct shape shape = shape2(n->classes, n->teacher_width);
    const int width = (int)n->teacher_width;

    if (!weights_tensor(&s->teacher, name, &shape, rows, err))
        return false;
    s->classifier = NEW_ARRAY(double, (size_t)shape_count(&shape));
    for (int64_t i = 0; i < shape_count(&shape); i++)
        s->classifier[i] = (double)rows[i];
    for (int64_t c = 0; c < n->classes; c++)
        if (!means_direction(s->classifier + c * width, width, rows + c * width))
            return err_set(err, ERR_DATA,
                           "teacher.weights: row %" PRId64 " of %s is no direction: its norm is "
                           "below 1e-6 or no number",
                           c, name);
    return true;
}

static bool take_classifier(struct session *s, struct error *err)
{
    const struct nets *n = &s->replica->cfg.nets;
    char *name = classifier_name(n, err);
    float *rows = NEW_ARRAY(float, (size_t)(n->classes * n->teacher_width));
    bool ok = coll_agree(s->coll, name && read_rows(s, name, rows, err), err);

    if (ok) {
        replica_set_directions(s->replica, rows);
        replica_set_centres(s->replica, s->classifier);
    }
    free(rows);
    free(name);
    return ok;
}

/* They come to be in training, where a loss asks for them (running_means.h). */
static bool start_running(struct session *s, struct error *err)
{
    const struct nets *n = &s->replica->cfg.nets;

    (void)err;
    if (nets_uses(n) & USES_CLASS_MEANS)
        means_ema_init(&s->ema, (int)n->classes, (int)n->teacher_width,
                       s->job->teacher->ema_momentum);
    return true;
}

bool session_directions(struct session *s, struct error *err)
{
    static bool (*const make[])(struct session *, struct error *) = {
        [DISTILLD__TEACHER_SPEC__DIRECTIONS__CLASS_MEANS] = session_class_means,
        [DISTILLD__TEACHER_SPEC__DIRECTIONS__CLASSIFIER] = take_classifier,
        [DISTILLD__TEACHER_SPEC__DIRECTIONS__EMA] = start_running,
    };

    return !wanted(s) || make[s->job->teacher->directions](s, err);
}
