/* What the command line, the environment and the configuration file say: each option is a row of one table. */
#ifndef DAEMON_SETTINGS_H
#define DAEMON_SETTINGS_H

#include "proto/base/opt.h"

/* Values point into argv, the environment and the two at the end. */
struct settings {
    const char *state, *listen, *socket, *config, *worker, *shim, *web, *log_level;
    const char *hostfile, *launch_agent, *network, *advertise;
    opt_list hosts, webhook_networks, data_roots;
    int64_t slots;
    int64_t upload_bytes;
    const char *tls_certificate, *tls_key;
    int64_t requests_per_second, auth_failures;
    int64_t connections_per_address, body_bytes, header_timeout_s, body_timeout_s;
    int64_t retention_days, cache_days;
    double host_retry_s, lease_s, silence_s, grow_after_s;
    bool recover, check_config;
    bool help, version;
    struct buf text; /* of the file */
    char *found[3];  /* what settings_complete has looked up */
};

/* Defaults and environment, below the file, below the command line. settings_free() also after false, when help or
 * version may stand nevertheless. */
bool settings_read(struct settings *s, int argc, char **argv, struct error *err);
void settings_free(struct settings *s);
/* What was left open: programs beside this one, all cores of this host. */
void settings_complete(struct settings *s);

/* Whether a daemon can be started with them, as far as that can be told without starting one: what each of them names is
 * there and can be read. They are complete. */
bool settings_check(const struct settings *s, struct error *err);
bool settings_set_log_level(const struct settings *s, struct error *err);

/* Both complete. What SIGHUP changes; the log names what else differs and must wait for the next start. */
void settings_take(struct settings *s, const struct settings *fresh);

/* On standard output. */
void settings_help(void);

#endif
