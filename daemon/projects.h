/* Projects: who uses the slots together. A project is there as soon as a job names it; its weight, its quota and
 * what it has used are on disk. */
#ifndef DAEMON_PROJECTS_H
#define DAEMON_PROJECTS_H

#include "daemon/daemon.h"
#include "proto/wire/ref.h"

struct project {
    char name[REF_NAME_SIZE];
    double weight; /* of its share (share.h) */
    /* 0: no limit. */
    int64_t quota_slots;  /* at once */
    int64_t quota_queued; /* waiting jobs, but those of sweeps */
    double used_slot_s;   /* by attempts that are over, as of used_ms (wall clock) */
    int64_t used_ms;
    /* After the newest pass of the queue: its first job in line would exceed its slots, and the others wait
     * behind it. */
    bool closed;
};

bool projects_load(struct daemon *d, struct error *err);

/* Its number in d->projects, which it keeps; a name that is new is added. */
size_t projects_index(struct daemon *d, const char *name);
/* NULL for a name that nobody has used. */
struct project *projects_find(const struct daemon *d, const char *name);
/* Durable weight and quota. */
bool projects_put(struct daemon *d, const struct project *p, struct error *err);

/* Within a transaction: an attempt of the project is over that has held slots for so long. The project itself is
 * changed by projects_charged, once that is on disk. */
bool projects_charge(struct daemon *d, size_t project, int64_t slot_ms, int64_t now_ms,
                     struct error *err);
void projects_charged(struct daemon *d, size_t project, int64_t slot_ms, int64_t now_ms);
/* What it has used, less what attempts have that run. */
double projects_used(const struct daemon *d, size_t project, int64_t now_ms);

/* Whether one more job may wait; ERR_QUOTA. */
bool projects_has_room(const struct daemon *d, const char *name, struct error *err);
/* Whether all of these may, which are new; those of sweeps do not count. */
bool projects_have_room(const struct daemon *d, struct job *const *jobs, size_t n,
                        struct error *err);
/* Whether a job of so many slots can ever run; ERR_INVALID. */
bool projects_can_take(const struct daemon *d, const char *name, int64_t slots, struct error *err);

/* The API's Project. */
struct json *project_json(const struct daemon *d, size_t project);

#endif
