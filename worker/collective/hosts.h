/* Which ranks add up through memory before hosts exchange messages. */
#ifndef WORKER_COLLECTIVE_HOSTS_H
#define WORKER_COLLECTIVE_HOSTS_H

/* The largest power of two g such that ranks [0, g), [g, 2g), ... lie on one host each: whole subtrees of the
 * ordered sum. 1 where ranks are dealt to hosts in turn. names: the host of each rank. */
int hosts_group(const char *const *names, int ranks);

#endif
