/* Token buckets by key: so much at once, and so much a second after that. Memory and time are constant: of more keys
 * than there is room for, those are forgotten that have used the least. */
#ifndef DAEMON_LIMITER_H
#define DAEMON_LIMITER_H

#include <stdbool.h>

struct limiter;
/* rate: a second; burst: at once. */
struct limiter *limiter_new(double rate, double burst);
void limiter_free(struct limiter *l); /* NULL is fine */

/* Takes one; false, with the seconds until there is one again, when there is none. now_s never goes back. */
bool limiter_take(struct limiter *l, const char *key, double now_s, double *wait_s);
/* How many there are, and how long it takes until there are as many as there can be. */
double limiter_left(struct limiter *l, const char *key, double now_s, double *full_s);
/* Whether there is one, without taking it. */
bool limiter_has(struct limiter *l, const char *key, double now_s, double *wait_s);

#endif
