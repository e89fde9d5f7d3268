/* What computes: a table of functions behind which kernels live. A back end knows operators, shapes
 * and layouts; it knows no plan, no job and no other thread. */
#ifndef WORKER_ENGINE_BACKEND_BACKEND_H
#define WORKER_ENGINE_BACKEND_BACKEND_H

#include "worker/engine/ir/graph.h"

/* Layouts of values are small numbers: 0 is plain (row-major, as the shape says); all others belong to
 * the back end that made them. */
enum {
    LAYOUT_PLAIN = 0
};

/* One node, ready to run any number of times. */
struct kernel {
    /* args: the node's inputs, its outputs, then scratch_bytes of scratch. Aligned to 64 bytes, except
     * inputs and outputs that the caller binds. */
    void (*run)(struct kernel *k, void *const *args);
    void (*free)(struct kernel *k);
    size_t scratch_bytes;
    const char *impl; /* which implementation it is, for people */
};

struct backend;

struct backend_def {
    const char *name;
    size_t real_size; /* bytes of a DT_REAL element */
    struct backend *(*open)(int threads, struct error *err);
    void (*close)(struct backend *b);

    /* The layouts in which node n reads its inputs and writes its outputs, given the layouts that the
     * inputs have now. ERR_UNSUPPORTED names operator and shapes. */
    bool (*layouts)(struct backend *b, const struct graph *g, const struct node *n, int *in,
                    int *out, struct error *err);
    /* Bytes of a value in its layout. */
    size_t (*bytes)(struct backend *b, const struct value *v);
    /* Bit i: output 0 may share memory with input i, which then is gone. */
    unsigned (*inplace)(struct backend *b, const struct graph *g, const struct node *n);
    struct kernel *(*kernel)(struct backend *b, const struct graph *g, const struct node *n,
                             struct error *err);
    /* "plain", "nChw16c", ...; valid as long as the back end. */
    const char *(*layout_name)(struct backend *b, int layout);
};

/* Common head of every back end. */
struct backend {
    const struct backend_def *def;
    int threads;
};

extern const struct backend_def backend_ref_f32, backend_ref_f64, backend_cpu;

/* "cpu", "ref" (float) or "ref64" (double). threads is part of the result (contract: threads). */
struct backend *backend_open(const char *name, int threads, struct error *err);
void backend_close(struct backend *b); /* NULL is fine */
/* Instruction set, and versions of the library and of our own kernels, that this process computes with: results are bit-identical only
 * where this is equal. Valid for the life of the process. */
const char *backend_isa(void);
/* Whether this processor multiplies bytes fast and exactly: without VNNI, sums of two products saturate at 16 bits, and
 * convolutions of bytes are left to plain loops. ERR_UNSUPPORTED names what it has. */
bool backend_multiplies_bytes(struct error *err);

#endif
