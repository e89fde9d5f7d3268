/* What the parts of the import share: the state of one replay, and how a rule reads a node. */
#ifndef WORKER_ONNX_REPLAY_H
#define WORKER_ONNX_REPLAY_H

#include "worker/models/net.h"
#include "worker/onnx/model.h"

enum {
    MAX_INTS = 64
};

/* A short list of whole numbers that is known, such as a shape; in rows of so many columns, or (0) one
 * after the other. */
struct ints {
    bool known;
    int64_t n, columns;
    int64_t at[MAX_INTS];
};

/* What a value of the file is by now. */
struct item {
    value_id value;    /* NO_VALUE: not (yet) a value of the graph */
    value_id param;    /* of a tensor that was declared as a parameter; NO_VALUE: not yet */
    struct ints *ints; /* NULL: no such list */
};

struct replay {
    const struct onnx_model *m;
    const struct net *net;
    struct graph *g;
    int64_t batch, file_batch; /* file_batch 0: any */
    struct item *items;        /* by the number of the value */
};

enum {
    MAX_ATTRIBUTES = 8
};

/* How an operator is replayed. Nodes with other attributes, or fewer or more inputs, are refused before
 * `apply` sees them; a failure is left in the graph. */
struct rule {
    const char *op;
    int min_in, max_in;
    void (*apply)(struct replay *r, const Onnx__Node *n, const struct rule *rule);
    const struct op_def *def; /* for rules that several operators share */
    const char *attributes[MAX_ATTRIBUTES];
};

/* import_rules.c and import_views.c */
extern const struct rule import_rules[], import_view_rules[];
extern const size_t n_import_rules, n_import_view_rules;

/* fold.c */
/* Computes what is known without an image. False: it is a node for the graph. */
bool fold(struct replay *r, const Onnx__Node *n);
void fold_free(struct replay *r);

/* Inputs, by place. An input that is left out reads as NO_VALUE, NULL or unknown. */
bool node_has(const Onnx__Node *n, size_t i);
value_id input_value(struct replay *r, const Onnx__Node *n, size_t i);
const struct st_tensor *input_tensor(const struct replay *r, const Onnx__Node *n, size_t i);
struct ints input_ints(const struct replay *r, const Onnx__Node *n, size_t i);
/* The only number of a tensor; false when the input is none. */
bool input_number(const struct replay *r, const Onnx__Node *n, size_t i, double *out);
/* The tensor as a parameter of the network in this role; reports unless it is one. */
value_id input_param(struct replay *r, const Onnx__Node *n, size_t i, enum param_role role);

/* A place among n that may be counted from the end, as slices have it: 0 to n. */
int64_t ints_within(int64_t at, int64_t n);

void set_output(struct replay *r, const Onnx__Node *n, size_t k, value_id v);
void set_ints(struct replay *r, const Onnx__Node *n, size_t k, const struct ints *x);

const Onnx__Attribute *attribute(const Onnx__Node *n, const char *name); /* or NULL */
int64_t attribute_int(const Onnx__Node *n, const char *name, int64_t fallback);
double attribute_real(const Onnx__Node *n, const char *name, double fallback);
/* Exactly `count` numbers from lo to hi; reports others. Left out: all `fallback`. */
bool attribute_ints(struct replay *r, const Onnx__Node *n, const char *name, int64_t *out,
                    size_t count, int64_t fallback, int64_t lo, int64_t hi);
/* Reports unless an attribute has the only value that is known here. */
bool attribute_is(struct replay *r, const Onnx__Node *n, const char *name, int64_t fallback,
                  int64_t only);

#endif
