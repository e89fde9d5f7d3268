#include "daemon/prom.h"

#include <inttypes.h>
#include <string.h>

#include "proto/base/str.h"

static const struct {
    const char *open_metrics, *older, *suffix;
} types[] = {
    [PROM_GAUGE] = {"gauge", "gauge", ""},
    [PROM_COUNTER] = {"counter", "counter", "_total"},
    [PROM_INFO] = {"info", "gauge", "_info"},
    [PROM_HISTOGRAM] = {"histogram", "histogram", ""},
};

void prom_family(struct prom *p, const char *name, enum prom_type type, const char *help)
{
    /* In OpenMetrics the family is called without the suffix that its samples have. */
    size_t suffix = p->open_metrics ? strlen(types[type].suffix) : 0;
    int len = (int)(strlen(name) - suffix);

    p->name = name;
    buf_fmt(&p->text, "# HELP %.*s %s\n# TYPE %.*s %s\n", len, name, help, len, name,
            p->open_metrics ? types[type].open_metrics : types[type].older);
    if (p->open_metrics && str_ends(name, "_seconds"))
        buf_fmt(&p->text, "# UNIT %.*s seconds\n", len, name);
}

void prom_sample(struct prom *p, const char *labels, double value)
{
    buf_fmt(&p->text, "%s%s %.15g\n", p->name, labels, value);
}

void prom_histogram(struct prom *p, const struct histogram *h)
{
    uint64_t n = 0;

    for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
        n += h->counts[i];
        buf_fmt(&p->text, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", p->name, histogram_bounds[i], n);
    }
    n += h->counts[HISTOGRAM_BOUNDS];
    buf_fmt(&p->text, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", p->name, n);
    buf_fmt(&p->text, "%s_sum %.9g\n%s_count %" PRIu64 "\n", p->name, h->sum, p->name, n);
}

void prom_end(struct prom *p)
{
    /* A comment in the older format. */
    buf_str(&p->text, "# EOF\n");
}

const char *prom_content_type(const struct prom *p)
{
    return p->open_metrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                           : "text/plain; version=0.0.4; charset=utf-8";
}
