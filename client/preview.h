/* What a spec would become, without a server. */
#ifndef CLIENT_PREVIEW_H
#define CLIENT_PREVIEW_H

#include "client/ctl.h"

/* Prints the spec with its defaults, or the jobs of a sweep: the first of them where there are many. */
bool preview_show(struct ctl *c, const struct json *spec, struct error *err);

#endif
