#define _GNU_SOURCE
#include "worker/footprint.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "worker/collective/lane_tree.h"
#include "worker/data/loader.h"

enum {
    /* Stacks of threads, buffers of files and of messages: hardly a thing of the job. Measured with resnet8
     * to resnet110 on one and two ranks. */
    REST = 200 << 10
};

static size_t optimiser_states(const struct replica *r)
{
    size_t n = 0;

    while (r->cfg.optim && n < OPTIM_MAX_STATES && r->cfg.optim->states[n])
        n++;
    return n;
}

/* Of the tree inside a rank; the first is shared with the ranks of the host. */
static size_t gradient_regions(const struct replica *r, int lanes)
{
    return r->cfg.n_lane_sizes ? (size_t)lane_tree_regions(lanes) : 0;
}

/* Of a class's direction, what it is the direction of; running ones also as the sum of a step. */
static size_t direction_bytes(const struct replica *r, const JobSpec *job)
{
    size_t kept = sizeof(double) + sizeof(float);
    size_t all = (size_t)(r->cfg.nets.classes * r->cfg.nets.teacher_width);

    if (job->teacher && job->teacher->directions == DISTILLD__TEACHER_SPEC__DIRECTIONS__EMA)
        kept += sizeof(__int128);
    return all * kept;
}

void footprint_plan(struct footprint *f, const struct replica *r, const JobSpec *job, int ranks,
                    const struct dataset *train, const struct dataset *val,
                    const struct dataset *test)
{
    const int lanes = job->train->lanes;
    const size_t params = r->flat.param_count * sizeof(float);
    const struct mix mix = {.prob = 0};
    const struct train_loader_config loader = {.data = train,
                                               .mix = r->cfg.nets.mixes ? &mix : NULL,
                                               .batch = job->train->batch,
                                               .lanes = lanes,
                                               .lane_hi = lanes / ranks};

    *f = (struct footprint){
        .rows = {
            {"activations and scratch of all plans", replica_arena(r)},
            {"constants and prepared weights", replica_constants(r)},
            {"steps and kernels", r->record_bytes},
            {"parameters", params},
            {"running statistics", r->flat.buffer_count * sizeof(float)},
            {"optimiser", optimiser_states(r) * params},
            {"gradient regions",
             gradient_regions(r, lanes / ranks) * flat_grad_count(&r->flat) * sizeof(float)},
            {"between plans", replica_staged(r)},
            {"class means", direction_bytes(r, job)},
            {"loader", r->cfg.n_lane_sizes && train ? loader_memory(&loader) : 0},
            {"threads and buffers", REST},
            {"data", dataset_memory(train) + dataset_memory(val) + dataset_memory(test)},
        }};
    for (size_t i = 0; i < FOOTPRINT_ROWS; i++)
        f->total += f->rows[i].bytes;
}

/* Lines of /proc/self/smaps: "FROM-TO rwxp ... FILE" begins a mapping, "Anonymous: N kB" is one of its facts;
 * of memory that ranks share each has its part, "Pss". */
static size_t sum_of_data(const char *line)
{
    const char *fact = NULL;
    size_t kb = 0;

    for (; line && *line; line = strchr(line, '\n'), line += line != NULL) {
        size_t length = strcspn(line, "\n");
        const char *flags = line + strcspn(line, " \n");

        if (memchr(line, '-', (size_t)(flags - line)) && flags[0] == ' ')
            fact = flags[3] == 'x'                               ? NULL
                   : memmem(line, length, "/memfd:distill-", 15) ? "Pss:"
                                                                 : "Anonymous:";
        else if (fact && strncmp(line, fact, strlen(fact)) == 0)
            kb += strtoull(line + strlen(fact), NULL, 10);
    }
    return kb * 1024;
}

size_t footprint_now(void)
{
    struct buf text = buf_new(64u << 20);
    size_t bytes = file_read("/proc/self/smaps", &text, NULL) ? sum_of_data(buf_text(&text)) : 0;

    buf_free(&text);
    return bytes;
}
