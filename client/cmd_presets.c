#include <math.h>
#include <string.h>

#include "client/cmd.h"
#include "client/ctl.h"
#include "proto/base/mem.h"
#include "proto/wire/presets.h"

struct presets_options {
    const char *name;
};

static const struct opt rows[] = {
    OPT(struct presets_options, name, ARG_MAYBE, "PRESET", "print this one's job, as JSON"),
};

static const struct out_column columns[] = {
    {"PRESET", false, false}, {"EPOCHS", true, false}, {"BATCH", true, false},
    {"LANES", true, false},   {"LR", true, false},     {"LOSSES", false, false},
};

/* "ce 1 + dkd 1 (ramp_epochs 20, temperature 4, alpha 2.5, beta 4) + nd 3.5" */
static void losses_text(const struct json *losses, struct buf *b)
{
    for (size_t i = 0; i < js_len(losses); i++) {
        struct json *loss = js_at(losses, i);
        const char *between = " (";

        buf_fmt(b, "%s%s %g", i ? " + " : "", js_string(js_get(loss, "kind"), ""),
                js_real(js_get(loss, "weight"), 1));
        for (void *it = js_first(loss); it; it = js_next(loss, it)) {
            double v = js_real(js_value(it), NAN);

            if (strcmp(js_key(it), "weight") == 0 || isnan(v))
                continue;
            buf_fmt(b, "%s%s %g", between, js_key(it), v);
            between = ", ";
        }
        buf_str(b, between[0] == ',' ? ")" : "");
    }
}

static void add_row(struct out_table *t, const struct preset *p)
{
    struct json *job = preset_job(p);
    struct buf losses = buf_new(0);

    losses_text(js_get(job, "losses"), &losses);
    out_cell(t, "%s", p->name);
    out_cell(t, "%g", js_real(js_path(job, "train.epochs"), 0));
    out_cell(t, "%g", js_real(js_path(job, "train.batch"), 0));
    out_cell(t, "%g", js_real(js_path(job, "train.lanes"), 0));
    out_cell(t, "%g", js_real(js_path(job, "optimizer.lr"), 0));
    out_cell(t, "%s", buf_text(&losses));
    buf_free(&losses);
    js_free(job);
}

static void print_table(const struct ctl *c)
{
    struct out_table t = OUT_TABLE(columns);
    struct buf b = buf_new(0);

    for (size_t i = 0; i < n_presets; i++)
        add_row(&t, &presets[i]);
    out_table_write(&t, &c->out, &b);
    out_print(&b);
    buf_free(&b);
    out_table_free(&t);
}

/* {"NAME": job, ...} */
static void print_jobs(void)
{
    struct json *all = js_new_object();

    for (size_t i = 0; i < n_presets; i++)
        js_set(all, presets[i].name, preset_job(&presets[i]));
    out_json(all);
    js_free(all);
}

static bool print_one(const char *name, struct error *err)
{
    const struct preset *p = preset_find(name, err);
    struct json *job = p ? preset_job(p) : NULL;

    if (job)
        out_json(job);
    js_free(job);
    return p;
}

static bool run(struct ctl *c, const void *opts, struct error *err)
{
    const struct presets_options *o = opts;

    if (o->name)
        return print_one(o->name, err);
    if (c->json)
        print_jobs();
    else
        print_table(c);
    return true;
}

const struct command cmd_presets = {
    .name = "presets",
    .summary = "List the paper's experiments, or print one as a job",
    .text =
        "METHOD/TEACHER-STUDENT, with batch, learning rate and weights as the authors had them. "
        "`submit --preset NAME --data SOURCE --teacher FILE` runs one.",
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
    .size = sizeof(struct presets_options),
    .run = run,
};
