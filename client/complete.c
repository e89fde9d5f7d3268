#include "client/complete.h"

#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"
#include "proto/base/mem.h"
#include "proto/base/str.h"
#include "proto/wire/presets.h"

/* What the words before the last one have settled. */
struct line {
    struct ctl *ctl;
    const char *word; /* to complete */
    const struct command *command;
    bool named, help;          /* a command stands there; it is `help` */
    bool words_only;           /* after "--" */
    const struct opt *pending; /* an option that waits for its value */
    size_t given;              /* arguments of the command */
    const char *first;         /* one of them */
    struct buf *out;
};

static void add(const struct line *l, const char *candidate, const char *what)
{
    if (!str_starts(candidate, l->word))
        return;
    out_clean(l->out, candidate);
    buf_str(l->out, "\t");
    out_clean(l->out, what);
    buf_str(l->out, "\n");
}

static void add_files(const struct line *l)
{
    buf_str(l->out, ":files\n");
}

static void add_dirs(const struct line *l)
{
    buf_str(l->out, ":dirs\n");
}

static void add_jobs(const struct line *l)
{
    struct json *page = ctl_call(l->ctl, NULL, "/api/v1/jobs", NULL, NULL);
    const struct json *items = js_get(page, "items");

    for (size_t i = 0; i < js_len(items); i++) {
        const struct json *job = js_at(items, i);
        char *what = str_fmt("%s, %s", js_string(js_get(job, "name"), ""),
                             js_string(js_get(job, "state"), ""));

        add(l, js_string(js_get(job, "id"), ""), what);
        free(what);
    }
    js_free(page);
}

static void add_artifacts(const struct line *l)
{
    struct json *list = ctl_job(l->ctl, NULL, l->first, "/artifacts", NULL);
    const struct json *items = js_get(list, "items");
    char size[OUT_TEXT];

    for (size_t i = 0; i < js_len(items); i++)
        add(l, js_string(js_get(js_at(items, i), "name"), ""),
            out_bytes(js_int(js_get(js_at(items, i), "size_bytes"), -1), size));
    js_free(list);
}

/* A member of all items of a list, and another that tells more. */
static void add_items(const struct line *l, const char *path, const char *name, const char *what)
{
    struct json *page = ctl_call(l->ctl, NULL, path, NULL, NULL);
    const struct json *items = js_get(page, "items");

    for (size_t i = 0; i < js_len(items); i++)
        add(l, js_string(js_get(js_at(items, i), name), ""),
            js_string(js_get(js_at(items, i), what), ""));
    js_free(page);
}

static void add_models(const struct line *l)
{
    add_items(l, "/api/v1/models", "name", "architecture");
}

static void add_datasets(const struct line *l)
{
    add_items(l, "/api/v1/datasets", "name", "source");
}

static void add_tokens(const struct line *l)
{
    add_items(l, "/api/v1/tokens", "id", "name");
}

static void add_token_actions(const struct line *l)
{
    static const char *const actions[] = {"list", "create", "revoke", "rotate"};

    for (size_t i = 0; i < ARRAY_LEN(actions); i++)
        add(l, actions[i], "");
}

static void add_scopes(const struct line *l)
{
    static const char *const scopes[] = {"read", "submit", "operate", "admin"};

    for (size_t i = 0; i < ARRAY_LEN(scopes); i++)
        add(l, scopes[i], "");
}

static void add_actions(const struct line *l)
{
    static const char *const actions[] = {"list", "show", "add", "fetch", "rm"};

    for (size_t i = 0; i < ARRAY_LEN(actions); i++)
        add(l, actions[i], "");
}

static void add_changes(const struct line *l)
{
    static const char *const changes[] = {"pin", "unpin", "rm"};

    for (size_t i = 0; i < ARRAY_LEN(changes); i++)
        add(l, changes[i], "");
}

static void add_checkpoints(const struct line *l)
{
    struct json *list = ctl_job(l->ctl, NULL, l->first, "/checkpoints", NULL);
    const struct json *items = js_get(list, "items");

    for (size_t i = 0; i < js_len(items); i++)
        add(l, js_string(js_get(js_at(items, i), "name"), ""),
            js_bool(js_get(js_at(items, i), "pinned"), false) ? "pinned" : "");
    js_free(list);
}

static void add_presets(const struct line *l)
{
    for (size_t i = 0; i < n_presets; i++)
        add(l, presets[i].name, "");
}

static void add_shells(const struct line *l)
{
    add(l, "bash", "");
    add(l, "fish", "");
    add(l, "zsh", "");
}

/* By the name that the usage has for an argument or a value. */
static void add_values(const struct line *l, const char *name)
{
    static const struct {
        const char *name;
        void (*add)(const struct line *l);
    } rows[] = {
        {"ID", add_jobs},          {"A", add_jobs},
        {"B", add_jobs},           {"NAME", add_artifacts},
        {"SPEC", add_files},       {"F", add_files},
        {"DIR", add_dirs},         {"SHELL", add_shells},
        {"FILE", add_files},       {"MODEL", add_models},
        {"DATASET", add_datasets}, {"ACTION", add_actions},
        {"PRESET", add_presets},   {"TOKEN", add_tokens},
        {"SCOPE", add_scopes},     {"WHAT", add_token_actions},
        {"CHANGE", add_changes},   {"CHECKPOINT", add_checkpoints},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (strcmp(rows[i].name, name) == 0)
            rows[i].add(l);
}

static void add_commands(const struct line *l)
{
    for (size_t i = 0; i < n_commands; i++)
        add(l, commands[i]->name, commands[i]->summary);
    if (!l->help)
        add(l, "help", "Print the help of a command");
}

static void add_options(const struct line *l, const struct opt_set *sets, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < sets[i].n; k++) {
            const struct opt *o = &sets[i].rows[k];
            char *word = str_fmt("--%s", o->name);

            if (!opt_is_argument(o))
                add(l, word, o->help);
            free(word);
        }
}

static void take_command(struct line *l, const char *name)
{
    l->named = true;
    l->help = strcmp(name, "help") == 0;
    l->command = l->help ? NULL : command_find(name, NULL);
}

static void take_argument(struct line *l, const char *word)
{
    if (l->given++ == 0)
        l->first = word;
}

/* An option, with its value if that stands there; the number of words. Those that say where the server
 * is are heeded. */
static size_t take_option(struct line *l, const struct opt *o, const char **at, size_t left)
{
    struct opt_set global = {ctl_options, ctl_n_options, l->ctl};
    bool apart = o->kind != OPT_FLAG && !strchr(at[0], '=');
    size_t n = apart && left > 1 ? 2 : 1;

    if (apart && n == 1)
        l->pending = o;
    else if (o->kind == OPT_TEXT && opt_named(&global, 1, at[0]))
        opt_leading(&global, 1, &(struct opt_words){(char **)(uintptr_t)at, n}, NULL);
    return n;
}

static size_t own_sets(const struct line *l, struct opt_set sets[2])
{
    sets[0] = (struct opt_set){ctl_options, ctl_n_options, NULL};
    if (!l->command)
        return 1;
    sets[1] = sets[0];
    sets[0] = (struct opt_set){l->command->rows, l->command->n_rows, NULL};
    return 2;
}

static size_t take(struct line *l, const char **at, size_t left)
{
    struct opt_set sets[2];
    const struct opt *o = l->words_only ? NULL : opt_named(sets, own_sets(l, sets), at[0]);

    if (o)
        return take_option(l, o, at, left);
    if (!l->words_only && at[0][0] == '-')
        l->words_only = strcmp(at[0], "--") == 0;
    else if (!l->named)
        take_command(l, at[0]);
    else
        take_argument(l, at[0]);
    return 1;
}

void complete(struct ctl *c, const opt_list *words, struct buf *out)
{
    struct line l = {.ctl = c, .word = "", .out = out};
    const struct opt *argument;
    struct opt_set sets[2];
    size_t last = words->n ? words->n - 1 : 0, n;

    for (size_t i = 1; i < last;)
        i += take(&l, words->at + i, last - i);
    if (last)
        l.word = words->at[last];
    n = own_sets(&l, sets);
    if (l.pending)
        add_values(&l, l.pending->value);
    else if (l.word[0] == '-' && !l.words_only)
        add_options(&l, sets, n);
    else if (!l.named || (l.help && l.given == 0))
        add_commands(&l);
    else if (l.command && (argument = opt_argument(sets, 1, l.given)))
        add_values(&l, argument->name);
}
