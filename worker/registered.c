#include "worker/registered.h"

#include <stdlib.h>
#include <string.h>

#include "proto/wire/ref.h"
#include "worker/data/identity.h"

/* Of all that the source has, whatever part of it the job uses. */
static bool hash_of(const char *source, enum split split, const char *cache, char hex[SHA256_HEX],
                    struct error *err)
{
    const struct dataset_config cfg = {.source = source};
    struct dataset *d = dataset_open(&cfg, split, err);
    bool ok = d && identity_of(d, cache, false, hex, NULL, err);

    dataset_close(d);
    return ok;
}

bool registered_check(const char *source, const char *cache, struct error *err)
{
    const char *want = getenv("DISTILLD_DATA_SHA256");
    char train[SHA256_HEX], test[SHA256_HEX], now[SHA256_HEX];

    if (!want || !*want)
        return true;
    if (!hash_of(source, SPLIT_TRAIN, cache, train, err) ||
        !hash_of(source, SPLIT_TEST, cache, test, err))
        return err_wrap(err, "data.source");
    ref_data_sha256(train, test, now);
    return strcmp(now, want) == 0 ||
           err_set(err, ERR_DATA,
                   "data.source: %s has changed since it was registered: its sha256 was %s and is "
                   "%s",
                   source, want, now);
}
