/* The commands, one file each (cmd_*.c). */
#ifndef CLIENT_CMD_H
#define CLIENT_CMD_H

#include <stddef.h>

#include "proto/base/error.h"

struct command;

extern const struct command cmd_submit, cmd_run, cmd_validate, cmd_list, cmd_show, cmd_watch,
    cmd_metrics, cmd_logs, cmd_cancel, cmd_retry, cmd_hold, cmd_release, cmd_resize, cmd_fetch,
    cmd_dashboard, cmd_compare, cmd_completion, cmd_nodes, cmd_projects, cmd_queue, cmd_drain,
    cmd_resume, cmd_models, cmd_datasets, cmd_presets, cmd_webhooks, cmd_token, cmd_audit,
    cmd_backup, cmd_edit, cmd_rm, cmd_gc, cmd_preempt, cmd_checkpoint, cmd_clone, cmd_checkpoints,
    cmd_record, cmd_spec;

/* All of them, in the order of the help. */
extern const struct command *const commands[];
extern const size_t n_commands;

/* NULL with ERR_INVALID and a suggestion. */
const struct command *command_find(const char *name, struct error *err);

#endif
