/* Commands that ask the server to do something with jobs: POST /jobs/ID:VERB for each. */
#ifndef CLIENT_ACT_H
#define CLIENT_ACT_H

#include "client/ctl.h"

/* All ids are tried; err tells of the first that failed. Prints "ID STATE" for each that worked.
 * body: NULL: none. */
bool act_on_jobs(struct ctl *c, const opt_list *ids, const char *verb, const struct json *body,
                 struct error *err);
/* The same by another request to /jobs/ID + rest. */
bool act_by_method(struct ctl *c, const opt_list *ids, const char *method, const char *rest,
                   const struct json *body, struct error *err);
/* "ID STATE", or with --json the job. */
void act_print_state(const struct ctl *c, const struct json *job);

#endif
