#include "client/cmd.h"
#include "client/complete.h"
#include "client/ctl.h"
#include "proto/base/mem.h"
#include "proto/base/table.h"

struct completion {
    const char *shell;
    opt_list words;
};

static const struct opt rows[] = {
    OPT(struct completion, shell, ARG_ONE, "SHELL", "bash, zsh or fish"),
    OPT(struct completion, words, ARG_ANY, "WORD",
        "after --: a command line; prints what may come next, as the scripts do"),
};

/* Each script hands the line over and turns the answer into what its shell wants. */
static const struct shell {
    const char *name, *script;
} shells[] = {
    {"bash", "# bash completion for distillctl\n"
             "_distillctl() {\n"
             "    local candidate cur=${COMP_WORDS[COMP_CWORD]}\n"
             "    COMPREPLY=()\n"
             "    while IFS=$'\\t' read -r candidate _; do\n"
             "        case $candidate in\n"
             "        :files) mapfile -t COMPREPLY < <(compgen -f -- \"$cur\") ;;\n"
             "        :dirs) mapfile -t COMPREPLY < <(compgen -d -- \"$cur\") ;;\n"
             "        *) COMPREPLY+=(\"$candidate\") && continue ;;\n"
             "        esac\n"
             "        compopt -o filenames 2>/dev/null\n"
             "    done < <(\"${COMP_WORDS[0]}\" completion bash -- \\\n"
             "        \"${COMP_WORDS[@]:0:COMP_CWORD+1}\" 2>/dev/null)\n"
             "}\n"
             "complete -F _distillctl distillctl\n"},
    {"zsh", "#compdef distillctl\n"
            "_distillctl() {\n"
            "    local line\n"
            "    local -a found\n"
            "    for line in \"${(@f)$($words[1] completion zsh -- \"${(@)words[1,CURRENT]}\" "
            "2>/dev/null)}\"; do\n"
            "        case $line in\n"
            "        '') ;;\n"
            "        :files) _files ;;\n"
            "        :dirs) _files -/ ;;\n"
            "        *) found+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\") ;;\n"
            "        esac\n"
            "    done\n"
            "    (( ! $#found )) || _describe distillctl found\n"
            "}\n"
            "if [[ $funcstack[1] == _distillctl ]]; then\n"
            "    _distillctl \"$@\"\n"
            "else\n"
            "    compdef _distillctl distillctl\n"
            "fi\n"},
    {"fish", "# fish completion for distillctl\n"
             "function __distillctl\n"
             "    set -l words (commandline -opc)\n"
             "    set -l word (commandline -ct)\n"
             "    for line in ($words[1] completion fish -- $words \"$word\" 2>/dev/null)\n"
             "        switch $line\n"
             "            case :files\n"
             "                __fish_complete_path \"$word\"\n"
             "            case :dirs\n"
             "                __fish_complete_directories \"$word\"\n"
             "            case '*'\n"
             "                echo $line\n"
             "        end\n"
             "    end\n"
             "end\n"
             "complete -c distillctl -f -a '(__distillctl)'\n"},
};

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct completion *o = opts;
    const struct shell *shell = table_find(TABLE(shells), o->shell);
    struct buf b = buf_new(0);

    if (!shell)
        return table_unknown(TABLE(shells), "shell", o->shell, err);
    if (o->words.n)
        complete(c, &o->words, &b);
    else
        buf_str(&b, shell->script);
    out_print(&b);
    buf_free(&b);
    return true;
}

const struct command cmd_completion = {
    .name = "completion",
    .summary = "Print the completions for a shell",
    .text = "To try them: eval \"$(distillctl completion bash)\", or zsh; distillctl completion "
            "fish | source. `make install` puts them where the shells look.",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct completion),
    .run = run,
};
