#include "client/cmd.h"

#include <string.h>

#include "client/ctl.h"
#include "proto/base/mem.h"
#include "proto/base/suggest.h"

const struct command *const commands[] = {
    &cmd_submit,    &cmd_clone,      &cmd_run,        &cmd_validate,    &cmd_presets, &cmd_list,
    &cmd_show,      &cmd_spec,       &cmd_record,     &cmd_watch,       &cmd_metrics, &cmd_compare,
    &cmd_logs,      &cmd_cancel,     &cmd_retry,      &cmd_hold,        &cmd_release, &cmd_preempt,
    &cmd_resize,    &cmd_edit,       &cmd_checkpoint, &cmd_checkpoints, &cmd_fetch,   &cmd_rm,
    &cmd_models,    &cmd_datasets,   &cmd_projects,   &cmd_webhooks,    &cmd_nodes,   &cmd_queue,
    &cmd_drain,     &cmd_resume,     &cmd_token,      &cmd_audit,       &cmd_backup,  &cmd_gc,
    &cmd_dashboard, &cmd_completion,
};
const size_t n_commands = ARRAY_LEN(commands);

const struct command *command_find(const char *name, struct error *err)
{
    const char *names[ARRAY_LEN(commands)];

    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
        names[i] = commands[i]->name;
    }
    suggest_unknown("command", name, names, ARRAY_LEN(names), err);
    return NULL;
}
