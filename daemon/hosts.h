/* The hosts that jobs run on: what each has, what jobs hold of it, and whether it can be reached. They
 * share the files below the state folder. Without a file that names them it is this host alone. */
#ifndef DAEMON_HOSTS_H
#define DAEMON_HOSTS_H

#include "daemon/daemon.h"
#include "daemon/place.h"

/* The name of this host where it is the only one. */
#define HOST_ALONE "localhost"

/* Sets d->hosts, and settings.slots to what they have in all. */
bool hosts_open(struct daemon *d, struct error *err);
void hosts_close(struct daemon *d);

/* All of them as the queue sees them: what jobs hold follows from the jobs, so that it cannot go astray.
 * free() */
struct place_host *hosts_free(const struct daemon *d);
/* The ranks of a placement on each host that takes jobs. free() */
int64_t *hosts_ranks(const struct daemon *d, const char *placement);
size_t hosts_count(const struct daemon *d);
/* How many ranks of so many threads would fit on those that take jobs now, if nothing ran there. */
int64_t hosts_room(const struct daemon *d, int64_t threads);
/* Slots that jobs hold. */
int64_t hosts_used(const struct daemon *d);
/* Whether so many ranks could run here if all hosts were up and free; else err says what is missing. */
bool hosts_can_take(const struct daemon *d, int64_t ranks, int64_t threads, struct error *err);
/* What a waiting job is told about them: "; host b is down", or "" */
void hosts_describe_closed(const struct daemon *d, char *out, size_t size);

/* Whether a placement has hosts other than this one. */
bool hosts_are_others(const char *placement);
/* A placement in the words of mpirun's --host: "a:2,b:1". free() */
char *hosts_placement(const struct daemon *d, const int64_t *given);

/* An attempt lost touch with one of its hosts. All of them are asked, since what was seen of it from here
 * need not be the host that is away; no job is placed on one before it has answered. A host that does
 * not answer is asked again after host_retry_s. */
void hosts_suspect(struct daemon *d, const char *placement);
/* Once a second: asks those whose time has come. */
void hosts_tick(struct daemon *d);

/* Whether jobs may start on a host; those that run there go on. Durable, and no error if it is so already.
 * ERR_NOT_FOUND */
bool hosts_drain(struct daemon *d, const char *name, bool drained, struct error *err);

/* A node of the API, NULL if there is none of that name; the list of them. */
struct json *hosts_node_json(const struct daemon *d, const char *name);
struct json *hosts_json(const struct daemon *d);

#endif
