/* The commands, one file each (cmd_*.c). */
#ifndef CLIENT_CMD_H
#define CLIENT_CMD_H

struct command;

extern const struct command cmd_submit, cmd_run, cmd_validate, cmd_list, cmd_show, cmd_watch,
    cmd_metrics, cmd_logs, cmd_nodes, cmd_cancel, cmd_retry, cmd_fetch, cmd_dashboard;

#endif
