/* data.on_corrupt = skip, for encoded images: which of them cannot be decoded has to be known before the
 * first batch is cut, so all are decoded once. The ranks share the work, and the data folder remembers what
 * was found. */
#include <inttypes.h>
#include <stdlib.h>

#include "proto/base/mem.h"
#include "worker/data/corrupt.h"
#include "worker/session.h"

/* All ranks see the same files, or adding up what they found would be nonsense. */
static bool same_count(struct session *s, int64_t n, struct error *err)
{
    int64_t first = n;

    coll_bcast(s->coll, &first, sizeof(first), 0);
    return coll_agree(
        s->coll,
        first == n ||
            err_set(err, ERR_DATA, "%" PRId64 " images here, but rank 0 sees %" PRId64, n, first),
        err);
}

/* Marks them on all ranks. */
static bool find(struct session *s, const struct dataset *d, bool anew, int64_t *marked,
                 struct error *err)
{
    char *cache = session_cache_folder();
    int64_t known = s->rank == 0 && !anew && corrupt_recall(d, cache, marked);
    bool ok = true;

    coll_bcast(s->coll, &known, sizeof(known), 0);
    if (!known)
        ok = coll_agree(s->coll, corrupt_find(d, s->rank, s->size, marked, err), err);
    if (ok)
        coll_sum_i64(s->coll, marked, (size_t)dataset_count(d));
    if (ok && !known && s->rank == 0)
        corrupt_keep(d, cache, marked);
    free(cache);
    return ok;
}

bool session_skip_corrupt(struct session *s, struct dataset *d, bool anew, struct error *err)
{
    int64_t *marked;
    bool ok;

    if (!dataset_encoded(d) || s->job->data->on_corrupt != DISTILLD__ON_CORRUPT__SKIP)
        return true;
    marked = NEW_ARRAY(int64_t, (size_t)dataset_count(d));
    ok = same_count(s, dataset_count(d), err) && find(s, d, anew, marked, err) &&
         coll_agree(s->coll, corrupt_drop(d, marked, err), err);
    free(marked);
    return ok;
}
