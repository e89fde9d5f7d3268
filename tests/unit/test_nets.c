/* The graphs of jobs: ReviewKD between all pairs of networks that the paper has it for (paper.md 1.9), and
 * what of a teacher is computed and what of a training graph is thrown away. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "tests/unit/unit.h"
#include "worker/nets.h"

static struct nets nets_of(const char *teacher, const char *student, int64_t image_size,
                           struct nets_loss loss)
{
    struct nets n = {.teacher = model_find(teacher, NULL),
                     .student = model_find(student, NULL),
                     .classes = 10,
                     .image_size = image_size,
                     .losses = {loss},
                     .n_losses = 1};
    struct error err;

    ck_assert_msg(n.teacher && n.student, "%s, %s", teacher, student);
    ck_assert_ok(nets_measure(&n, &err), err);
    return n;
}

static const struct {
    const char *teacher, *student;
    int64_t image_size;
    double mid_width;
    int64_t params; /* of the fusions */
} pairs[] = {
    {"resnet56", "resnet20", 32, 0, 114278},
    {"resnet32x4", "resnet8x4", 32, 0, 1808774},
    {"wrn_40_2", "wrn_40_1", 32, 0, 216006},
    {"resnet50_cifar", "mobilenetv2", 32, 0, 27933192},
    {"resnet32x4", "shufflenetv1", 32, 0, 4607366},
    {"resnet32x4", "shufflenetv2", 32, 0, 4195718},
    {"resnet34", "resnet18", 224, 0, 7552904},
    {"resnet50", "resnet18", 224, 0, 27910664},
    {"resnet50", "mobilenetv1", 224, 256, 14338056},
};

static int64_t count_params(const struct graph *g, const char *prefix)
{
    int64_t sum = 0;

    for (size_t i = 0; i < g->values.n; i++)
        if (g->values.at[i].kind == VALUE_PARAM &&
            strncmp(g->values.at[i].name, prefix, strlen(prefix)) == 0)
            sum += shape_count(&g->values.at[i].shape);
    return sum;
}

START_TEST(reviewkd_fits_every_pair_of_the_paper)
{
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        for (int tap = TAP_POST; tap <= TAP_PRE; tap++) {
            const struct nets_loss loss = {&loss_reviewkd,
                                           {.mid_width = pairs[i].mid_width, .teacher_taps = tap}};
            struct nets n = nets_of(pairs[i].teacher, pairs[i].student, pairs[i].image_size, loss);
            struct graph *g;
            struct error err;

            ck_assert_ok(nets_settle(&n, &err), err);
            g = nets_train_graph(&n, 2);
            ck_assert_ok(graph_ok(g, &err), err);
            ck_assert_msg(count_params(g, "abfs.") == pairs[i].params, "%s to %s: %lld parameters",
                          pairs[i].teacher, pairs[i].student, (long long)count_params(g, "abfs."));
            graph_free(g);
        }
}
END_TEST

/* The outputs of the teacher's graph, as one text; free(). */
static char *outputs(const struct nets *n, bool with_taps)
{
    struct graph *g = nets_teacher_graph(n, 2, with_taps);
    struct buf b = buf_new(0);
    struct error err;

    ck_assert_ok(graph_ok(g, &err), err);
    for (size_t i = 0; i < g->values.n; i++)
        if (g->values.at[i].output)
            buf_fmt(&b, "%s ", g->values.at[i].name);
    graph_free(g);
    return buf_take(&b);
}

static void expect_outputs(struct nets_loss loss, bool with_taps, const char *want)
{
    struct nets n = nets_of("resnet14", "resnet8", 16, loss);
    struct error err;
    char *got;

    ck_assert_ok(nets_settle(&n, &err), err);
    got = outputs(&n, with_taps);
    ck_assert_msg(strcmp(got, want) == 0, "%s: the teacher gives %s, not %s", loss.def->name, got,
                  want);
    free(got);
}

START_TEST(a_teacher_gives_what_losses_read)
{
    const struct nets_loss review = {&loss_reviewkd, {.teacher_taps = TAP_PRE}};
    const struct nets_loss hint = {&loss_hint, {.layer = 2}}, kd = {&loss_kd, {.temperature = 4}};

    expect_outputs(review, true, "preact_feats.1 preact_feats.2 preact_feats.3 features logits ");
    expect_outputs(review, false, "features logits ");
    expect_outputs(hint, true, "feats.2 features logits ");
    expect_outputs(kd, true, "features logits ");
}
END_TEST

/* The student that is kept has exactly the parameters of its evaluation graph without the projector. */
START_TEST(layers_of_losses_are_not_the_students)
{
    struct nets n = nets_of("resnet8x4", "resnet8", 16,
                            (struct nets_loss){&loss_reviewkd, {.teacher_taps = TAP_PRE}});
    struct graph *train, *alone;
    int64_t kept = 0;
    struct error err;

    n.projector = true;
    n.losses[n.n_losses++] = (struct nets_loss){&loss_hint, {.layer = 1}};
    ck_assert_ok(nets_settle(&n, &err), err);
    train = nets_train_graph(&n, 2);
    alone = nets_inference_graph(n.student, 2, 16, 10, false);
    for (size_t i = 0; i < train->values.n; i++) {
        const struct value *v = &train->values.at[i];

        if (v->kind != VALUE_PARAM && v->kind != VALUE_BUFFER)
            continue;
        ck_assert_msg(nets_in_student(v->name) == (graph_find(alone, v->name) != NO_VALUE), "%s",
                      v->name);
        kept += v->kind == VALUE_PARAM && nets_in_student(v->name) ? shape_count(&v->shape) : 0;
    }
    ck_assert_int_eq(kept, count_params(alone, ""));
    ck_assert(count_params(train, "projector.") > 0 && count_params(train, "abfs.") > 0 &&
              count_params(train, "connector.") > 0);
    graph_free(train);
    graph_free(alone);
}
END_TEST

UNIT_MAIN(reviewkd_fits_every_pair_of_the_paper, a_teacher_gives_what_losses_read,
          layers_of_losses_are_not_the_students)
