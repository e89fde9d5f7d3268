/* Figures as text for Prometheus: OpenMetrics 1.0, or its older format. They differ in how types and
 * the names of counters are written, and no text is right in both. */
#ifndef DAEMON_PROM_H
#define DAEMON_PROM_H

#include "daemon/histogram.h"
#include "proto/base/buf.h"

enum prom_type {
    PROM_GAUGE,
    PROM_COUNTER,
    PROM_INFO,
    PROM_HISTOGRAM
};

struct prom {
    struct buf text;
    bool open_metrics;
    const char *name; /* of the family that is being written, as it is known in queries */
};

/* A family; name: with _total for a counter and _info for an info. */
void prom_family(struct prom *p, const char *name, enum prom_type type, const char *help);
/* A sample of it. labels: "{state=\"x\"}" or "". */
void prom_sample(struct prom *p, const char *labels, double value);
void prom_histogram(struct prom *p, const struct histogram *h);
/* The end; the text stays in p->text. */
void prom_end(struct prom *p);
const char *prom_content_type(const struct prom *p);

#endif
