#include "client/cmd.h"
#include "client/ctl.h"

static bool backup(struct ctl *c, const void *opts, struct error *err)
{
    struct json *made = ctl_call(c, "POST", "/api/v1/admin:backup", NULL, err);

    (void)opts;
    if (made && c->json)
        out_json_line(made);
    else if (made)
        printf("%s\n", js_string(js_get(made, "path"), ""));
    js_free(made);
    return made;
}

const struct command cmd_backup = {
    .name = "backup",
    .summary = "Copy the daemon's state now",
    .text = "The copy is whole and on the daemon's disk when its path is printed; the daemon makes "
            "one by itself "
            "every hour. `distilld --recover` goes back to it when state.db is damaged. Results "
            "and checkpoints "
            "are in the folders of the jobs, and metrics can be read again from there: they are "
            "not in it.\n",
    .run = backup,
};
