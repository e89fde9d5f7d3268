/* The sentence that explains an attempt's end, found in what mpirun and its ranks wrote to standard
 * error last. */
#ifndef DAEMON_LASTWORDS_H
#define DAEMON_LASTWORDS_H

#include <stdbool.h>
#include <stddef.h>

/* A rank's own last line; if `killed`, or if no rank said anything, what mpirun says about which rank
 * died or why none started. "" when there is neither. */
void last_words(const char *text, size_t len, bool killed, char *out, size_t size);

/* The last three lines that ranks said themselves, in one, of which the end counts where there is not enough room; "" for
 * none. */
void last_lines(const char *text, size_t len, char *out, size_t size);

#endif
