/* Registered models: names with versions, each version a file (blob) that never changes, what is known of
 * it, and which models it comes from. */
#ifndef DAEMON_MODELS_H
#define DAEMON_MODELS_H

#include "daemon/daemon.h"
#include "proto/base/sha256.h"
#include "proto/wire/ref.h"

struct model {
    int64_t seq; /* order of registration; 0: there is none */
    char name[REF_NAME_SIZE];
    int64_t version;
    char kind[16]; /* of the job that made it, or "upload" */
    char sha256[SHA256_HEX];
    char tensors_sha256[SHA256_HEX]; /* "": not known */
    int64_t size, created_ms;
    char job[JOB_ID_SIZE]; /* "": it was uploaded */
    /* architecture, classes, ..., labels, data_sha256; owned. NULL: its row is damaged */
    struct json *about;
};

/* What a model is made from: rows of one table in models.c. */
enum model_role {
    MODEL_TEACHER,
    MODEL_START, /* whose weights it began with */
    MODEL_ROLE_COUNT
};

void model_fini(struct model *m);

/* Gives it the next version of its name, and sets seq. parents: their seq by role, 0 for none. */
bool model_add(struct store *s, struct model *m, const int64_t parents[MODEL_ROLE_COUNT],
               struct error *err);
/* ERR_CONFLICT, and nothing is done, while another model comes from it. */
bool model_remove(struct store *s, const struct model *m, struct error *err);

/* Those that find one: true with seq 0 when there is none. */
bool model_by_content(struct store *s, const char *name, const char *sha256, struct model *out,
                      struct error *err);
bool model_by_tensors(struct store *s, const char *tensors_sha256, struct model *out,
                      struct error *err);
bool model_parent(struct store *s, int64_t seq, enum model_role role, struct model *out,
                  struct error *err);
/* Version 0 stands for the newest. ERR_NOT_FOUND says what there is. */
bool model_find(struct store *s, const struct ref *ref, struct model *out, struct error *err);

typedef void (*model_fn)(const struct model *m, void *arg);
/* The newest version of each name that came before `before` (0: all), newest first; name, kind: NULL for
 * any. */
bool models_page(struct store *s, int64_t before, int64_t limit, const char *name, const char *kind,
                 model_fn fn, void *arg, struct error *err);
/* All versions, newest first. */
bool model_versions(struct store *s, const char *name, model_fn fn, void *arg, struct error *err);

/* All that it comes from and all that come from it, itself among them, oldest first; and what led from
 * one to the other. */
typedef void (*model_step_fn)(int64_t parent, int64_t child, const char *role, void *arg);
bool model_family(struct store *s, int64_t seq, model_fn each, model_step_fn step, void *arg,
                  struct error *err);

/* The API's Model. Which job it comes from shows only if that is of this project; NULL: in any case. */
struct json *model_json(struct store *s, const struct model *m, const char *only);
/* "big@3"; free() */
char *model_title(const struct model *m);

#endif
