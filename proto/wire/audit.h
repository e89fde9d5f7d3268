/* The audit log as a chain: each row has the hash of the row before it and of itself, so that one that is changed,
 * taken out or put in breaks the chain there. */
#ifndef PROTO_WIRE_AUDIT_H
#define PROTO_WIRE_AUDIT_H

#include "proto/base/json.h"
#include "proto/base/sha256.h"

/* What stands before the first row. */
#define AUDIT_START "0000000000000000000000000000000000000000000000000000000000000000"

/* {"seq","at","caller","address","method","path","status","request","subject"}; other members do not count. */
void audit_hash(const char *before, const struct json *row, char hex[SHA256_HEX]);

#endif
