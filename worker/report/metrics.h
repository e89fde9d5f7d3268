/* metrics.jsonl: one line a value, in a fixed order, nothing in it that the determinism contract does not
 * cover. Lines are handed to the operating system with metrics_flush, made durable with metrics_sync. */
#ifndef WORKER_REPORT_METRICS_H
#define WORKER_REPORT_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/error.h"

struct metrics;

/* Cuts the file to `length` bytes (what the checkpoint says) and appends from there. A file shorter than
 * that is ERR_DATA. */
struct metrics *metrics_open(const char *path, int64_t length, struct error *err);
void metrics_close(struct metrics *m); /* NULL is fine */

/* {"step":12,"epoch":0,"split":"train","name":"lr","value":0.1}; %.9g, null when not finite. */
void metrics_add(struct metrics *m, int64_t step, int64_t epoch, const char *split,
                 const char *name, double value);
/* Lines that could not be written stay, for the next call. */
bool metrics_flush(struct metrics *m, struct error *err);
/* Not to be called again once it has failed in fsync: the system may have forgotten what it did not write, and would say
 * that all is well. */
bool metrics_sync(struct metrics *m, struct error *err);
/* Bytes that are not flushed. */
size_t metrics_pending(const struct metrics *m);
/* Bytes, flushed lines only. */
int64_t metrics_length(const struct metrics *m);

#endif
