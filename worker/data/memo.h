/* What was found by reading all of a data set, remembered: reading a large one again takes longer than
 * everything else that a job does before its first step.
 *
 * It is kept beside the data, in FOLDER/.distilld, or below `cache` where that folder cannot be written, in
 * one file for each kind of finding and each selection of classes and images. It counts as long as size,
 * inode and times of every file are those it was found with. */
#ifndef WORKER_DATA_MEMO_H
#define WORKER_DATA_MEMO_H

#include "proto/base/json.h"
#include "worker/data/dataset.h"

/* `what` names the kind of finding. NULL when nothing is known; js_free(). */
struct json *memo_recall(const struct dataset *d, const char *cache, const char *what);
/* What cannot be written is no failure. */
void memo_keep(const struct dataset *d, const char *cache, const char *what,
               const struct json *found);

#endif
