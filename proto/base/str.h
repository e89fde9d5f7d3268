/* Small string helpers. What they return is released with free(). */
#ifndef PROTO_BASE_STR_H
#define PROTO_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

char *str_dup(const char *s);
char *str_ndup(const char *s, size_t n);
char *str_fmt(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
/* The whole of s as a decimal integer within [lo, hi]; false otherwise. */
bool str_int(const char *s, int64_t lo, int64_t hi, int64_t *out);
/* The whole of s as a finite number. */
bool str_double(const char *s, double *out);
/* dir/name with one slash; name itself when it is absolute. */
char *str_path(const char *dir, const char *name);
/* How many of the n > 0 bytes at s are one character, of UTF-8; 0 for a control character, and where there is none. */
size_t str_printable(const char *s, size_t n);

#endif
