/* Memory that holds nothing but zeros need not be there: a page reads the same after the kernel has taken it back. */
#ifndef DAEMON_ZEROS_H
#define DAEMON_ZEROS_H

#include <stddef.h>

/* Gives back the whole pages of zeros among these bytes of the heap, which no other thread uses now. What is written to
 * one of them later gets a new page. */
void zeros_give_back(const char *data, size_t len);

#endif
