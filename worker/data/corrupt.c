#include "worker/data/corrupt.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "proto/base/crew.h"
#include "proto/base/json.h"
#include "proto/base/pulse.h"
#include "worker/data/frame.h"
#include "worker/data/memo.h"
#include "worker/data/source.h"

static const char what[] = "corrupt";

struct search {
    int64_t first, step;
    struct framer **framers; /* one for each member */
    int64_t *marked;
    atomic_bool failed;
    struct error why; /* of the first failure that tells nothing about an image */
};

static void look(void *arg, int member, int64_t item)
{
    struct search *s = arg;
    int64_t i = s->first + item * s->step;
    struct error why;

    if (atomic_load(&s->failed))
        return;
    if (!framer_picture(s->framers[member], i, &why)) {
        if (why.code == ERR_DATA)
            s->marked[i] = 1;
        else if (!atomic_exchange(&s->failed, true))
            s->why = why;
    }
    pulse_beat();
}

bool corrupt_find(const struct dataset *d, int64_t first, int64_t step, int64_t *marked,
                  struct error *err)
{
    const int members = dataset_decode_threads(d);
    const int64_t left = dataset_count(d) - first;
    struct search s = {.first = first, .step = step, .marked = marked};
    struct crew *crew = crew_new(members, err);

    if (!crew)
        return false;
    s.framers = framers_new(d, NULL, members);
    if (left > 0)
        crew_run(crew, (left + step - 1) / step, look, &s);
    framers_free(s.framers, members);
    crew_free(crew);
    return !s.failed || err_set(err, s.why.code, "%s", s.why.msg);
}

bool corrupt_recall(const struct dataset *d, const char *cache, int64_t *marked)
{
    struct json *found = memo_recall(d, cache, what);
    const int64_t n = dataset_count(d);
    bool ok = found != NULL;

    for (size_t k = 0; ok && k < js_len(found); k++) {
        int64_t i = js_int(js_at(found, k), -1);

        ok = i >= 0 && i < n;
        if (ok)
            marked[i] = 1;
    }
    js_free(found);
    return ok;
}

void corrupt_keep(const struct dataset *d, const char *cache, const int64_t *marked)
{
    struct json *found = js_new_array();

    for (int64_t i = 0; i < dataset_count(d); i++)
        if (marked[i])
            js_push(found, js_new_int(i));
    memo_keep(d, cache, what, found);
    js_free(found);
}

/* Decodes it once more, for the reason. */
static void tell(struct dataset *d, struct framer *f, int64_t i)
{
    struct error why = {0};
    char *name = dataset_image_name(d, i);

    if (framer_picture(f, i, &why))
        err_set(&why, ERR_DATA, "%s: could not be decoded before", name);
    source_corrupt(d, 0, NULL, "%s", why.msg);
    free(name);
}

bool corrupt_drop(struct dataset *d, const int64_t *marked, struct error *err)
{
    struct framer *f = framer_new(d, NULL);
    int64_t bad = 0;

    for (int64_t i = 0; i < dataset_count(d); i++)
        if (marked[i] && bad++ < SKIPPED_NAMED)
            tell(d, f, i);
    framer_free(f);
    d->skipped += bad;
    dataset_drop(d, marked);
    return dataset_count(d) ||
           err_set(err, ERR_DATA, "none of %" PRId64 " images can be decoded; the first: %s", bad,
                   d->skipped_why[0]);
}

bool corrupt_remove(struct dataset *d, const char *cache, bool anew, struct error *err)
{
    int64_t *marked = NEW_ARRAY(int64_t, (size_t)dataset_count(d));
    bool ok = true;

    if (anew || !corrupt_recall(d, cache, marked)) {
        ok = corrupt_find(d, 0, 1, marked, err);
        if (ok)
            corrupt_keep(d, cache, marked);
    }
    ok = ok && corrupt_drop(d, marked, err);
    free(marked);
    return ok;
}
