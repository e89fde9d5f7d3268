#include "proto/wire/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"
#include "proto/base/table.h"

static const char *const section_names[CATALOG_SECTION_COUNT] = {
    [CATALOG_MODELS] = "models",         [CATALOG_LOSSES] = "losses",       [CATALOG_DATA] = "data",
    [CATALOG_OPTIMIZERS] = "optimizers", [CATALOG_SCHEDULES] = "schedules",
};

void catalog_init(struct catalog *c)
{
    *c = (struct catalog){0};
}

void catalog_free(struct catalog *c)
{
    for (int s = 0; s < CATALOG_SECTION_COUNT; s++) {
        for (size_t i = 0; i < c->sections[s].n; i++) {
            free((char *)(uintptr_t)c->sections[s].at[i].name);
            free((char *)(uintptr_t)c->sections[s].at[i].params);
        }
        vec_free(&c->sections[s]);
    }
}

void catalog_add(struct catalog *c, enum catalog_section s, struct catalog_entry e)
{
    e.name = str_dup(e.name);
    e.params = str_dup(e.params ? e.params : "");
    vec_push(&c->sections[s], e);
}

static struct table section_table(const struct catalog *c, enum catalog_section s)
{
    return (struct table){c->sections[s].at, c->sections[s].n, sizeof(struct catalog_entry)};
}

const struct catalog_entry *catalog_find(const struct catalog *c, enum catalog_section s,
                                         const char *name)
{
    return table_find(section_table(c, s), name);
}

bool catalog_unknown(const struct catalog *c, enum catalog_section s, const char *what,
                     const char *name, struct error *err)
{
    return table_unknown(section_table(c, s), what, name, err);
}

bool catalog_takes(const struct catalog_entry *e, const char *param)
{
    size_t n = strlen(param);

    for (const char *p = e->params; *p;) {
        size_t k = strcspn(p, ",");

        if (k == n && strncmp(p, param, n) == 0)
            return true;
        p += k + (p[k] == ',');
    }
    return false;
}

struct json *catalog_json(const struct catalog *c)
{
    struct json *doc = js_new_object();

    for (int s = 0; s < CATALOG_SECTION_COUNT; s++) {
        struct json *list = js_new_array();

        for (size_t i = 0; i < c->sections[s].n; i++) {
            const struct catalog_entry *e = &c->sections[s].at[i];
            struct json *row = js_new_object();

            js_set(row, "name", js_new_string(e->name));
            if (e->params[0])
                js_set(row, "params", js_new_string(e->params));
            if (e->needs_teacher)
                js_set(row, "needs_teacher", js_new_bool(true));
            js_push(list, row);
        }
        js_set(doc, section_names[s], list);
    }
    return doc;
}

bool catalog_from_json(struct catalog *c, const struct json *j, struct error *err)
{
    catalog_init(c);
    for (enum catalog_section s = 0; s < CATALOG_SECTION_COUNT; s++) {
        const struct json *list = js_get(j, section_names[s]);

        if (js_kind(list) != JS_ARRAY || !js_len(list)) {
            catalog_free(c);
            return err_set(err, ERR_INVALID, "catalog: no section \"%s\"", section_names[s]);
        }
        for (size_t i = 0; i < js_len(list); i++) {
            const struct json *row = js_at(list, i);

            catalog_add(c, s,
                        (struct catalog_entry){
                            .name = js_string(js_get(row, "name"), ""),
                            .params = js_string(js_get(row, "params"), ""),
                            .needs_teacher = js_bool(js_get(row, "needs_teacher"), false),
                        });
        }
    }
    return true;
}
