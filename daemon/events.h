/* What happens, as a stream that many clients read: one shared ring of finished frames
 * (server-sent events), and for each client only a place in it. A client that is slower than the
 * ring loses events and is told so; it never holds memory back beyond the one frame it is sending.
 *
 * Ids are consecutive within one run of the daemon and rise from run to run: the first id of a run is
 * above everything that the run before could have given (see events_reserve_fn). */
#ifndef DAEMON_EVENTS_H
#define DAEMON_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/ids.h"
#include "proto/wire/ref.h"

enum {
    EVENTS_BLOCK = 65536 /* ids are reserved in blocks */
};

/* One frame, shared by the ring and by clients in the middle of sending it. */
struct event {
    uint64_t id;
    char kind[16];
    char job[JOB_ID_SIZE];
    char project[REF_NAME_SIZE]; /* of the job */
    unsigned kind_bit;           /* event_kind_bit */
    unsigned refs;
    size_t len;
    char text[]; /* "id: ..\nevent: ..\ndata: ..\n\n" */
};

/* What happens is of one of these kinds, by which a client may choose; NULL ends the list. */
extern const char *const event_kinds[];
/* The bit of the kind that the `len` bytes name; 0: there is none. */
unsigned event_kind_bit(const char *name, size_t len);

/* One that stands in no ring, with a reference for the caller; `data` is one line of JSON. */
struct event *event_new(uint64_t id, const char *kind, const char *job, const char *project,
                        const char *data);
/* The same of frames that are written already, one or more of them; the id is that of the last. */
struct event *event_of_frames(uint64_t id, const char *project, const void *frames, size_t len);
struct event *event_ref(struct event *ev);
void event_unref(struct event *ev); /* NULL is fine */

struct events;

/* Called before ids from `below - EVENTS_BLOCK` on are given: must store that the next run has to
 * begin at `below`. False: it could not; it is called again with the next event. */
typedef bool (*events_reserve_fn)(uint64_t below, void *arg);

struct events *events_new(uint64_t first_id, size_t max_events, size_t max_bytes,
                          events_reserve_fn reserve, void *arg);
void events_free(struct events *e); /* NULL is fine */

/* Called after each publication. */
void events_on_publish(struct events *e, void (*wake)(void *arg), void *arg);

/* The id that the next event will have. It is reserved already: a change of state is stored under it
 * before the event is published, and a crash in between must not let the next run give it again. */
uint64_t events_next_id(const struct events *e);
/* `data` is one line of JSON. */
void events_publish(struct events *e, const char *kind, const char *job, const char *project,
                    const char *data);

/* True when everything after `last_id` is still there, so that a client can go on from it. */
bool events_cover(const struct events *e, uint64_t last_id);

enum events_result {
    EVENTS_READY,
    EVENTS_NONE,  /* nothing new */
    EVENTS_LAGGED /* the ring has moved past the cursor; it now stands at the oldest event */
};

/* A client's place: the id of the next event it wants. */
struct event_cursor {
    uint64_t next;
};

/* Moves the cursor over the event that it returns in *out, with a reference for the caller. */
enum events_result events_read(struct events *e, struct event_cursor *c, struct event **out);

#endif
