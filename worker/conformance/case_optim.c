/* optim.KIND: some steps of an optimiser. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/mem.h"
#include "worker/conformance/conformance.h"
#include "worker/optim/optim.h"

static struct optim_hyper hyper_of(const struct json *j)
{
    const struct json *betas = js_get(j, "betas");

    return (struct optim_hyper){.lr = js_real(js_get(j, "lr"), 0),
                                .momentum = js_real(js_get(j, "momentum"), 0),
                                .weight_decay = js_real(js_get(j, "weight_decay"), 0),
                                .nesterov = js_bool(js_get(j, "nesterov"), false),
                                .beta1 = js_real(js_at(betas, 0), 0),
                                .beta2 = js_real(js_at(betas, 1), 0),
                                .epsilon = js_real(js_get(j, "eps"), 0)};
}

/* The parameters after each of the case's steps of n gradients; free(). */
static double *take_steps(const struct optim_def *def, struct optim_hyper h, size_t steps, size_t n,
                          float *param, const float *grads)
{
    float *state[OPTIM_MAX_STATES];
    double *got = NEW_ARRAY(double, steps *n);

    for (int k = 0; k < OPTIM_MAX_STATES; k++)
        state[k] = NEW_ARRAY(float, n);
    for (size_t s = 0; s < steps; s++) {
        h.step = (int64_t)s + 1;
        def->update(param, grads + s * n, state, n, &h);
        for (size_t i = 0; i < n; i++)
            got[s * n + i] = (double)param[i];
    }
    for (int k = 0; k < OPTIM_MAX_STATES; k++)
        free(state[k]);
    return got;
}

bool cf_run_optim(struct cf_case *c, struct error *err)
{
    const char *name = c->kind + strlen("optim.");
    const struct optim_def *def = optim_find(name);
    const struct st_tensor *p = cf_tensor(c, "in.param", err), *t = cf_tensor(c, "in.grads", err);
    float *param, *grads;
    bool ok = false;

    if (!def)
        return err_set(err, ERR_UNSUPPORTED, "there is no optimiser %s", name);
    if (!p || !t)
        return false;
    if (p->rank != 1 || t->rank != 2 || t->shape[1] != p->shape[0])
        return err_set(err, ERR_DATA, "in.grads is not steps x the elements of in.param");
    param = cf_floats(c, "in.param", err);
    grads = param ? cf_floats(c, "in.grads", err) : NULL;
    if (grads) {
        size_t steps = (size_t)t->shape[0], n = (size_t)t->shape[1];
        double *got = take_steps(def, hyper_of(c->hyper), steps, n, param, grads);

        ok = cf_compare(c, "out.params", got, steps * n, err);
        free(got);
    }
    free(param);
    free(grads);
    return ok;
}
