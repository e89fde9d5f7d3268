/* distillctl: the command line of distilld. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"
#include "client/ctl.h"
#include "client/problem.h"
#include "proto/base/mem.h"

static void global_help(struct buf *b)
{
    struct opt_set all = {ctl_options, ctl_n_options, NULL};

    buf_str(b, "\nEvery command:\n");
    opt_help(&all, b);
}

static bool print_overview(void)
{
    struct buf b = buf_new(0);

    buf_str(&b,
            "usage: distillctl COMMAND [ARGUMENT]...\n\n"
            "Submits knowledge-distillation jobs to distilld, watches them, gets the results.\n\n"
            "Commands:\n");
    for (size_t i = 0; i < n_commands; i++)
        buf_fmt(&b, "  %-11s  %s\n", commands[i]->name, commands[i]->summary);
    buf_str(&b, "  help         print the help of a command\n");
    global_help(&b);
    buf_str(&b, "\n");
    opt_fold(&b, 0,
             "Exit status: 0 ok, 1 failed, 2 wrong usage, invalid job or no such job, 3 cancelled, "
             "4 timed out, 5 unreachable.");
    out_print(&b);
    buf_free(&b);
    return true;
}

static bool print_help(const struct command *cmd)
{
    struct opt_set own = {cmd->rows, cmd->n_rows, NULL};
    struct buf b = buf_new(0);

    buf_fmt(&b, "usage: distillctl %s%s", cmd->name, cmd->n_rows ? " " : "");
    opt_usage(&own, &b);
    buf_fmt(&b, "\n\n%s.\n%s", cmd->summary, cmd->text ? "\n" : "");
    if (cmd->text)
        opt_fold(&b, 0, cmd->text);
    buf_str(&b, cmd->n_rows ? "\n" : "");
    opt_help(&own, &b);
    global_help(&b);
    out_print(&b);
    buf_free(&b);
    return true;
}

static bool run_command(struct ctl *c, const struct command *cmd, struct opt_words *words,
                        struct error *err)
{
    void *opts = mem_calloc(1, cmd->size ? cmd->size : 1);
    struct opt_set sets[] = {{cmd->rows, cmd->n_rows, opts}, {ctl_options, ctl_n_options, c}};
    bool ok = opt_defaults(&sets[0], err) && opt_parse(sets, ARRAY_LEN(sets), words, err);

    if (c->help)
        ok = print_help(cmd);
    else if (ok)
        ok = cmd->run(c, opts, err);
    else
        err_wrap(err, "%s", cmd->name);
    opt_free(&sets[0]);
    free(opts);
    return ok;
}

static bool help_command(const struct opt_words *words, struct error *err)
{
    const struct command *cmd;

    if (!words->n)
        return print_overview();
    cmd = command_find(words->at[0], err);
    return cmd && print_help(cmd);
}

static bool dispatch(struct ctl *c, struct opt_words *words, struct error *err)
{
    struct opt_set global = {ctl_options, ctl_n_options, c};
    const struct command *cmd;
    const char *name;

    if (!opt_defaults(&global, err) || !opt_leading(&global, 1, words, err))
        return false;
    if (c->version)
        return puts("distillctl " PACKAGE_VERSION) >= 0;
    if (!words->n)
        return c->help ? print_overview()
                       : err_set(err, ERR_INVALID, "no command given; see distillctl --help");
    name = *words->at++;
    words->n--;
    if (strcmp(name, "help") == 0)
        return help_command(words, err);
    cmd = command_find(name, err);
    return cmd && run_command(c, cmd, words, err);
}

/* Text for people on standard error; for programs also an object on standard output. */
static void report(const struct ctl *c, const struct error *err)
{
    struct buf b = buf_new(0);

    problem_add_lines(c->errors, c->lines);
    buf_fmt(&b, "distillctl: %s\n", err->msg);
    problem_list(c->errors, &b);
    fputs(buf_text(&b), stderr);
    buf_free(&b);
    if (c->json) {
        struct json *all = js_new_object(), *e = js_new_object();

        js_set(e, "code", js_new_string(err_name(err->code)));
        js_set(e, "message", js_new_string(err->msg));
        js_set(e, "errors", c->errors ? js_copy(c->errors) : js_new_array());
        js_set(all, "error", e);
        out_json_line(all);
        js_free(all);
    }
}

int main(int argc, char **argv)
{
    struct ctl c = {.out = term_of(stdout), .err = term_of(stderr)};
    struct opt_words words = {argv + 1, argc > 0 ? (size_t)argc - 1 : 0};
    struct error err = {0};
    bool ok = dispatch(&c, &words, &err);

    if (ok && (fflush(stdout) != 0 || ferror(stdout)))
        ok = err_set(&err, ERR_IO, "writing to standard output failed");
    if (!ok)
        report(&c, &err);
    ctl_fini(&c);
    return ok ? 0 : err_exit_status(err.code);
}
