/* What only the worker can tell, asked of the worker itself: a command of its that prints JSON. */
#ifndef DAEMON_WORKER_TOOL_H
#define DAEMON_WORKER_TOOL_H

#include "proto/base/json.h"
#include "proto/wire/catalog.h"

/* Commands that run just now. Any thread. */
struct worker_calls;
struct worker_calls *worker_calls_new(void);
void worker_calls_free(struct worker_calls *c); /* NULL is fine */
/* Ends them, and starts no more: ERR_STOPPED. */
void worker_calls_stop(struct worker_calls *c); /* NULL is fine */

struct worker_tool {
    const char *program;
    const char *cache;          /* its DISTILLD_CACHE; NULL: as ours */
    const char *roots;          /* its DISTILLD_ROOTS (roots.h); NULL: none */
    struct worker_calls *calls; /* NULL: nobody ends it */
};

/* Runs `worker COMMAND WORD...` (words end with NULL) and reads what it prints. A failure is the worker's
 * own sentence, as ERR_INVALID or ERR_DATA where its exit status says so. Any thread. */
struct json *worker_ask(const struct worker_tool *t, const char *command, const char *const *words,
                        struct error *err);

/* `worker catalog`. What it said is kept in the file `kept` for as long as the program is the same file. A script may run
 * another program each time, and is asked. Any thread. */
bool worker_catalog_kept(const char *worker, const char *kept, struct catalog *out);
bool worker_catalog_ask(const char *worker, const char *kept, struct worker_calls *calls,
                        struct catalog *out, struct error *err);

#endif
