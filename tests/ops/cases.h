/* One row for each operator and class of shapes. A case builds a graph on the given inputs; the modes
 * in test_ops.c do the rest. */
#ifndef TESTS_OPS_CASES_H
#define TESTS_OPS_CASES_H

#include "worker/engine/ir/graph.h"

struct op_case {
    const char *name;
    /* Makes its inputs with case_input() and returns what is differentiated. */
    value_id (*build)(struct graph *g);
    bool no_grad; /* the inference-only forms */
};

extern const struct op_case op_cases[];
extern const size_t n_op_cases;

#endif
