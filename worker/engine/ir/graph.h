/* The computation as data: values and nodes in arrays, referred to by number. Nodes stand in an order
 * in which they can be run; passes keep it so.
 *
 * Errors while a graph is defined are sticky: the first one is kept with the node's name, builders go
 * on with NO_VALUE, and graph_ok tells at the end. So code that builds reads like the formula. */
#ifndef WORKER_ENGINE_IR_GRAPH_H
#define WORKER_ENGINE_IR_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/error.h"
#include "proto/base/vec.h"
#include "worker/engine/ir/shape.h"

typedef int32_t value_id;
typedef int32_t node_id;
enum {
    NO_VALUE = -1,
    NO_NODE = -1,
    NODE_MAX_IN = 6,
    NODE_MAX_OUT = 3
};

enum dtype {
    DT_REAL,  /* float, or double where the back end computes in double */
    DT_INDEX, /* int32 */
    DT_U8,    /* whole numbers of 0 to 255, or */
    DT_S8     /* of -128 to 127, that stand for multiples of a step */
};
const char *dtype_name(enum dtype t);
/* Bytes of an element, where a DT_REAL has `real`. */
size_t dtype_bytes(enum dtype t, size_t real);

enum value_kind {
    VALUE_INPUT,  /* bound by the caller for each run */
    VALUE_PARAM,  /* trainable; lives in the flat parameter region */
    VALUE_BUFFER, /* running statistics; lives in the flat buffer region */
    VALUE_CONST,  /* known when the plan is made */
    VALUE_TEMP    /* computed by a node */
};

/* What a parameter or buffer is, for initialisation and reading. */
enum param_role {
    ROLE_NONE,
    ROLE_CONV_WEIGHT,
    ROLE_CONV_UNIFORM, /* convolutions of other first values */
    ROLE_CONV_SMALL,
    ROLE_LINEAR_WEIGHT,
    ROLE_LINEAR_SMALL, /* a linear layer's weight or bias that starts close to 0 */
    ROLE_BIAS,
    ROLE_ZERO_BIAS, /* one that starts at 0 */
    ROLE_BN_GAMMA,
    ROLE_BN_BETA,
    ROLE_BN_MEAN,
    ROLE_BN_VAR
};

struct value {
    char *name; /* unique among inputs, parameters and buffers; "" for most temporaries */
    enum value_kind kind;
    enum dtype dtype;
    enum param_role role;
    struct shape shape;
    node_id producer;  /* of a VALUE_TEMP */
    int uses;          /* node inputs that read it */
    const float *data; /* of a VALUE_CONST: borrowed, or the graph's if owned */
    float *owned;
    bool output;             /* must exist after a run, in plain layout */
    int layout;              /* set by the layout pass: 0 is plain, others belong to the back end */
    const char *layout_name; /* what the back end calls it, which lives as long; NULL: plain */
};

struct op_def;

struct node {
    const struct op_def *op; /* NULL: removed by a pass */
    char *name;
    int n_in, n_out;
    value_id in[NODE_MAX_IN], out[NODE_MAX_OUT];
    void *attr;
};

/* d(sum of value * seed) is what autodiff differentiates. */
struct grad_seed {
    value_id value, seed;
};
/* Wanted: the gradient with respect to `wrt`, a parameter (it becomes a sink) or any other value (it
 * becomes the output "grad/NAME"). */
struct grad_want {
    value_id wrt;
};

/* `value` is written to the gradient region, at the place that `like`, a parameter or buffer, has in
 * its own region: gradients, and the batch statistics that move running ones. */
struct sink {
    value_id value, like;
};

/* By which algorithm a back end that has both computes convolutions: `auto` goes by their shapes, `winograd`
 * is taken wherever it can be. */
enum convolution {
    CONVOLUTION_AUTO,
    CONVOLUTION_DIRECT,
    CONVOLUTION_WINOGRAD
};

struct graph {
    VEC(struct value) values;
    VEC(struct node) nodes;
    VEC(struct grad_seed) seeds;
    VEC(struct grad_want) wants;
    VEC(struct sink) sinks;
    enum convolution convolution;
    struct error err; /* the first failure, if any */
};

struct graph *graph_new(void);
void graph_free(struct graph *g); /* NULL is fine */
bool graph_ok(const struct graph *g, struct error *err);
/* Records a failure (the first one counts) and returns NO_VALUE. */
value_id graph_fail(struct graph *g, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

value_id graph_input(struct graph *g, const char *name, enum dtype dtype, struct shape shape);
/* Roles ROLE_BN_MEAN and ROLE_BN_VAR make buffers, others parameters. */
value_id graph_param(struct graph *g, const char *name, enum param_role role, struct shape shape);
/* take_data is released with the graph. */
value_id graph_const(struct graph *g, const char *name, struct shape shape, float *take_data);
/* Turns a parameter or buffer into a constant; data is borrowed until the plan is made. */
void graph_set_const(struct graph *g, value_id v, const float *data);

/* Appends a node; attr (of the operator's attr_size) is copied, NULL means the defaults. Returns its
 * first output. */
value_id graph_add(struct graph *g, const struct op_def *op, const char *name, const value_id *in,
                   int n_in, const void *attr);
/* The k-th output of the node that made v as its first. */
value_id graph_out(const struct graph *g, value_id v, int k);
/* What autodiff is to do: seed value with its gradient, find those of `wrt`. */
void graph_seed(struct graph *g, value_id value, value_id seed);
void graph_want_grad(struct graph *g, value_id wrt);
void graph_sink(struct graph *g, value_id value, value_id like);
void graph_rename(struct graph *g, value_id v, const char *name);
void graph_mark_output(struct graph *g, value_id v, const char *name);
void graph_name_node(struct graph *g, node_id n, const char *name);
/* Gives the nodes from `first` on that have no name the name of the layer that they belong to. */
void graph_name_layer(struct graph *g, size_t first, const char *layer);
/* Makes node n compute the same outputs by another operator. */
void graph_replace_node(struct graph *g, node_id n, const struct op_def *op, const value_id *in,
                        int n_in, const void *attr);
void graph_remove_node(struct graph *g, node_id n);
/* For passes that insert nodes: takes all from the graph (*n of them; free()), which then gets back, in order, those
 * that stay, under their new numbers, and others between them. One that is dropped has to be released. */
struct node *graph_take_nodes(struct graph *g, size_t *n);
void graph_put_node(struct graph *g, struct node take_node);
void graph_drop_node(struct node *n);

const struct shape *graph_shape(const struct graph *g, value_id v);
value_id graph_find(const struct graph *g, const char *name); /* NO_VALUE if there is none */
/* How many node inputs read v. */
int graph_uses(const struct graph *g, value_id v);
/* Makes the k-th input of a node, which need not be in the list, v. */
void graph_reread(struct graph *g, struct node *n, int k, value_id v);

/* Every node's inputs exist and come before it, shapes are set, names are unique. */
bool graph_verify(const struct graph *g, struct error *err);
/* One line a node: "%7 = Conv(%0, w) {strides=[2,2]} [5,16,16,16] u8 nChw16c conv1 -> y" (type if it is bytes,
 * layout if not plain, layer, name of the output), and one a sink. free(). */
char *graph_dump(const struct graph *g);
void graph_dump_node(const struct graph *g, const struct node *n, struct buf *out); /* no newline */

#endif
