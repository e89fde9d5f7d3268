/* Every model against the state_dict that its PyTorch original has, where ../shared stands beside the
 * checkout. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/str.h"
#include "tests/unit/unit.h"
#include "worker/models/model.h"

static struct json *state_dicts(void)
{
    char *path = str_path(getenv("SHARED"), "vectors/models/state_dicts.json");
    struct error err;
    struct json *all = js_read_file(path, 64u << 20, &err);

    ck_assert_msg(all != NULL, "%s", err.msg);
    free(path);
    return all;
}

/* The next parameter or buffer from *at on; NULL behind the last. */
static const struct value *next_entry(const struct graph *g, size_t *at)
{
    while (*at < g->values.n) {
        const struct value *v = &g->values.at[(*at)++];

        if (v->kind == VALUE_PARAM || v->kind == VALUE_BUFFER)
            return v;
    }
    return NULL;
}

static void same_shape(const char *model, const struct value *v, const struct json *want)
{
    bool same = js_len(want) == (size_t)v->shape.rank;
    char text[SHAPE_TEXT];

    for (int i = 0; same && i < v->shape.rank; i++)
        same = js_int(js_at(want, (size_t)i), -1) == v->shape.dim[i];
    ck_assert_msg(same, "%s: %s is %s", model, v->name, shape_text(&v->shape, text));
}

/* Names, shapes and their order; the counters of batches, which we do not have, left out. */
static void compare(const struct model_def *def, const struct json *want)
{
    struct graph *g = graph_new();
    const struct net net = {.g = g, .training = false, .prefix = ""};
    const struct json *keys = js_get(want, "keys");
    struct model_outputs out;
    size_t at = 0;

    def->build(&net, def,
               graph_input(g, "images", DT_REAL,
                           shape4(1, 3, def->facts->image_size, def->facts->image_size)),
               js_int(js_get(want, "num_classes"), 0), &out);
    ck_assert_int_eq(graph_shape(g, out.features)->dim[1],
                     js_int(js_get(want, "feature_width"), 0));
    for (size_t i = 0; i < js_len(keys); i++) {
        const char *name = js_string(js_at(js_at(keys, i), 0), "");
        const struct value *v;

        if (str_ends(name, "num_batches_tracked"))
            continue;
        v = next_entry(g, &at);
        ck_assert_msg(v && strcmp(v->name, name) == 0, "%s: %s where %s belongs", def->name,
                      v ? v->name : "nothing", name);
        same_shape(def->name, v, js_at(js_at(keys, i), 1));
    }
    ck_assert_msg(!next_entry(g, &at), "%s has more tensors than its original", def->name);
    graph_free(g);
}

START_TEST(models_have_the_state_dicts_of_their_originals)
{
    struct json *all = state_dicts();
    struct error err;

    for (void *it = js_first(all); it; it = js_next(all, it)) {
        const struct model_def *def = model_find(js_key(it), &err);

        ck_assert_msg(def != NULL, "%s", err.msg);
        compare(def, js_value(it));
    }
    js_free(all);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {models_have_the_state_dicts_of_their_originals};

    if (!getenv("SHARED") || !file_exists(getenv("SHARED"))) {
        puts("SKIP: needs ../shared (state dicts of the original models)");
        return 77;
    }
    return unit_run(__FILE__, tests, ARRAY_LEN(tests));
}
