/* What a worker can do, by name: its registries of models, losses, data sources, optimisers and
 * schedules. The worker prints it (`distill-worker catalog`), so that daemon and client can refuse an
 * unknown name at submission without a second list to keep. */
#ifndef PROTO_WIRE_CATALOG_H
#define PROTO_WIRE_CATALOG_H

#include <stdbool.h>

#include "proto/base/json.h"
#include "proto/base/vec.h"

enum catalog_section {
    CATALOG_MODELS,
    CATALOG_LOSSES,
    CATALOG_DATA,
    CATALOG_OPTIMIZERS,
    CATALOG_SCHEDULES,
    CATALOG_SECTION_COUNT
};

struct catalog_entry {
    const char *name;
    /* Comma-separated JobSpec fields that the row reads, beyond those common to its section. */
    const char *params;
    bool needs_teacher; /* losses: compares with the teacher */
};

struct catalog {
    VEC(struct catalog_entry) sections[CATALOG_SECTION_COUNT];
};

void catalog_init(struct catalog *c);
void catalog_free(struct catalog *c);
/* Copies the entry. */
void catalog_add(struct catalog *c, enum catalog_section s, struct catalog_entry e);
const struct catalog_entry *catalog_find(const struct catalog *c, enum catalog_section s,
                                         const char *name);
/* Always false: "unknown WHAT 'name'; did you mean 'x'? known: a, b, c". */
bool catalog_unknown(const struct catalog *c, enum catalog_section s, const char *what,
                     const char *name, struct error *err);
bool catalog_takes(const struct catalog_entry *e, const char *param);

struct json *catalog_json(const struct catalog *c);
bool catalog_from_json(struct catalog *c, const struct json *j, struct error *err);

#endif
