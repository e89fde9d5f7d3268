/* Registered data sets: names of sources on the daemon's host, with what the worker found there. */
#ifndef DAEMON_DATASETS_H
#define DAEMON_DATASETS_H

#include "daemon/daemon.h"
#include "proto/base/sha256.h"
#include "proto/wire/ref.h"

struct dataset {
    int64_t seq; /* order of registration; 0: there is none */
    char name[REF_NAME_SIZE];
    char *source;
    char sha256[SHA256_HEX]; /* of the content, as the manifest has it */
    int64_t created_ms;
    struct json *labels, *manifest; /* NULL, of one that is stored: its row is damaged */
};

void dataset_fini(struct dataset *s);

/* Sets seq. */
bool dataset_add(struct store *s, struct dataset *set, struct error *err);
bool dataset_remove(struct store *s, const struct dataset *set, struct error *err);
/* ERR_NOT_FOUND */
bool dataset_find(struct store *s, const char *name, struct dataset *out, struct error *err);

typedef void (*dataset_fn)(const struct dataset *set, void *arg);
/* At most `limit` that came before `before` (0: all), newest first. */
bool datasets_page(struct store *s, int64_t before, int64_t limit, dataset_fn fn, void *arg,
                   struct error *err);

/* The API's Dataset. */
struct json *dataset_json(const struct dataset *set);

#endif
