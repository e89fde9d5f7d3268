/* Metrics of a running job: lines of its metrics.jsonl become rows and events. */
#ifndef DAEMON_INGEST_H
#define DAEMON_INGEST_H

#include "daemon/daemon.h"

/* Whole lines that stand at `offset` in the file. Those that are known already are passed over. True
 * once the rest is committed; *offset_out is what is known then. ERR_DATA for bytes that are no such
 * lines, or leave a gap. */
bool ingest_lines(struct daemon *d, const struct job *j, int64_t offset, const char *data,
                  size_t len, int64_t *offset_out, struct error *err);
/* What the file has beyond that, read from the run directory: at the end of an attempt. */
bool ingest_rest(struct daemon *d, const struct job *j, struct error *err);

#endif
