#include <stdio.h>
#include <stdlib.h>

#include "worker/catalog.h"
#include "worker/cmd.h"

int cmd_catalog(const struct cmd *cmd, struct opt_words words)
{
    struct catalog c;
    struct json *j;
    char *text;
    int status;

    if (!cmd_parse(cmd, NULL, 0, words, &status))
        return status;
    worker_catalog(&c);
    j = catalog_json(&c);
    text = js_text(j, JS_INDENT);
    puts(text);
    free(text);
    js_free(j);
    catalog_free(&c);
    return 0;
}
