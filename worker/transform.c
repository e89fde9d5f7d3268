/* What is done to an image before the teacher sees it, as text: part of the provenance of whatever is made of
 * its outputs. */
#include <stdlib.h>

#include "proto/base/buf.h"
#include "proto/wire/pbjson.h"
#include "worker/session.h"

char *session_augmentation(const struct session *s)
{
    struct json *augment = pbjson_write(&s->job->data->augment->base);
    char *text;

    js_delete(augment, "mix"); /* the teacher sees no mixtures there */
    text = js_text(augment, JS_COMPACT | JS_SORTED);
    js_free(augment);
    return text;
}

char *session_transform(const struct session *s, const char *view)
{
    const char *features = s->job->teacher->features;
    const double *mean, *std;
    struct buf b = buf_new(0);

    session_normalisation(s->job, &mean, &std);
    buf_fmt(&b, "%s mean=%.9g,%.9g,%.9g std=%.9g,%.9g,%.9g", view, mean[0], mean[1], mean[2],
            std[0], std[1], std[2]);
    if (dataset_encoded(s->train))
        buf_fmt(&b, " resize=%d centre=%d", session_resize(s->job), dataset_size(s->train));
    if (job_models_teacher_norm(&s->models, &mean, &std))
        buf_fmt(&b, ", for the teacher mean=%.9g,%.9g,%.9g std=%.9g,%.9g,%.9g", mean[0], mean[1],
                mean[2], std[0], std[1], std[2]);
    if (features)
        buf_fmt(&b, ", features %s", features);
    return buf_take(&b);
}
