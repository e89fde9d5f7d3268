/* A JobSpec from JSON: never a crash; without problems, its normalised form is a fixed point; the rules
 * can judge whatever could be read. */
#include <string.h>

#include "proto/wire/validate.h"
#include "tests/fuzz/fuzz.h"

static char *normal(const struct json *j, bool *clean)
{
    struct problems p = {0};
    JobSpec *job = job_from_json(j, &p);
    struct json *form = job ? job_to_json(job) : NULL;
    char *text = form ? js_text(form, JS_COMPACT) : NULL;

    PROMISE(job || p.list.n);
    *clean = p.list.n == 0;
    if (job)
        job_validate(job, NULL, &p);
    js_free(form);
    job_free(job);
    problems_free(&p);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json *j = js_parse((const char *)data, size, NULL), *again;
    char *text, *second;
    bool clean;

    if (!j)
        return 0;
    text = normal(j, &clean);
    js_free(j);
    if (!text)
        return 0;
    again = js_parse(text, strlen(text), NULL);
    PROMISE(again);
    second = normal(again, &clean);
    PROMISE(second && clean && strcmp(text, second) == 0);
    js_free(again);
    free(second);
    free(text);
    return 0;
}
