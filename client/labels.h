/* --label KEY=VALUE... */
#ifndef CLIENT_LABELS_H
#define CLIENT_LABELS_H

#include "proto/base/json.h"
#include "proto/base/opt.h"

/* {"KEY": "VALUE"}; NULL with ERR_INVALID for a word without "=". */
struct json *labels_json(const opt_list *labels, struct error *err);

#endif
