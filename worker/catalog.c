#include "worker/catalog.h"

#include <stdlib.h>

#include "proto/base/str.h"
#include "worker/data/dataset.h"
#include "worker/losses/loss.h"
#include "worker/models/model.h"
#include "worker/optim/optim.h"

/* Under each of its names. */
static void add_model(struct catalog *c, const struct model_def *m)
{
    char *second;

    catalog_add(c, CATALOG_MODELS, (struct catalog_entry){.name = m->name});
    if (!m->facts->prefix)
        return;
    second = str_fmt("%s%s", m->facts->prefix, m->name);
    catalog_add(c, CATALOG_MODELS, (struct catalog_entry){.name = second});
    free(second);
}

void worker_catalog(struct catalog *c)
{
    catalog_init(c);
    for (size_t i = 0; i < model_registry_len; i++)
        add_model(c, &model_registry[i]);
    catalog_add(c, CATALOG_MODELS, (struct catalog_entry){.name = "onnx"});
    for (size_t i = 0; i < loss_registry_len; i++)
        catalog_add(c, CATALOG_LOSSES,
                    (struct catalog_entry){.name = loss_registry[i]->name,
                                           .params = loss_registry[i]->params,
                                           .needs_teacher = loss_registry[i]->uses != 0});
    for (size_t i = 0; i < n_data_sources; i++)
        catalog_add(c, CATALOG_DATA,
                    (struct catalog_entry){.name = data_sources[i].name,
                                           .params = data_sources[i].encoded ? "image_size" : ""});
    for (size_t i = 0; i < optim_registry_len; i++)
        catalog_add(c, CATALOG_OPTIMIZERS,
                    (struct catalog_entry){.name = optim_registry[i].name,
                                           .params = optim_registry[i].params});
    for (size_t i = 0; i < schedule_registry_len; i++)
        catalog_add(c, CATALOG_SCHEDULES,
                    (struct catalog_entry){.name = schedule_registry[i].name,
                                           .params = schedule_registry[i].params});
}
