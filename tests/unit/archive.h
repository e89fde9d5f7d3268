/* Archives as torch.save makes them, around a pickle that it would not write. */
#ifndef TESTS_UNIT_ARCHIVE_H
#define TESTS_UNIT_ARCHIVE_H

#include "proto/base/buf.h"

/* x/data.pkl and x/data/0. */
struct buf archive_of(const void *pickle, size_t len, const void *storage, size_t bytes);

#endif
