/* What the files of the convolutions share. */
#ifndef WORKER_ENGINE_BACKEND_CPU_CONV_H
#define WORKER_ENGINE_BACKEND_CPU_CONV_H

#include "worker/engine/backend/cpu/cpu.h"
#include "worker/engine/ops/ops.h"

/* The three tensors of a convolution, whichever of them the node computes. */
struct conv_case {
    struct shape x, w, y;
    const struct conv_attr *attr;
    dnnl_dims_t strides, pads_before, pads_after;
    int x_layout, y_layout;
};

/* conv_wide.c: the forward convolution that sums in double (conv_kernels.h tells why). It serves what the
 * kernels can: blocked output, blocked input or a first layer's plain one, one group, no bias. */
bool conv_wide_serves(const struct cpu *c, const struct conv_case *k, const struct node *n);
/* The layout in which it reads weights. */
int conv_wide_weights(struct cpu *c, const struct conv_case *k);
struct kernel *conv_wide_kernel(const struct cpu *c, const struct conv_case *k);
/* conv_pixels.c: likewise, of what conv_wide.c serves the single pixels. */
bool conv_pixels_serves(const struct conv_case *k);
struct kernel *conv_pixels_kernel(const struct cpu *c, const struct conv_case *conv);

/* conv_depthwise.c: a group for each channel, in training, without a bias. Weights are plain. */
bool conv_depthwise_serves(const struct conv_case *k, const struct node *n);
struct kernel *conv_depthwise_kernel(const struct cpu *c, const struct conv_case *conv);
struct kernel *conv_depthwise_input_grad(const struct cpu *c, const struct conv_case *conv);
struct kernel *conv_depthwise_weight_grad(const struct cpu *c, const struct conv_case *conv);

/* conv_grouped.c: of one pixel, in groups that do not fill blocks, in training, without a bias. Images are blocked,
 * weights plain. */
bool conv_grouped_serves(const struct cpu *c, const struct conv_case *k, const struct node *n);
struct kernel *conv_grouped_kernel(const struct cpu *c, const struct conv_case *conv);
struct kernel *conv_grouped_input_grad(const struct cpu *c, const struct conv_case *conv);
struct kernel *conv_grouped_weight_grad(const struct cpu *c, const struct conv_case *conv);

/* winograd.h: three by three with stride 1 and one group. Whether it can serve, and, by the shapes alone,
 * whether that is faster. `turned`: the weights' layout for the gradient of the input. */
bool conv_winograd_can(const struct cpu *c, const struct conv_case *k);
bool conv_winograd_pays(const struct conv_case *k);
int conv_winograd_weights(struct cpu *c, const struct conv_case *k, bool turned);
struct kernel *conv_winograd_kernel(const struct cpu *c, const struct conv_case *conv,
                                    const struct node *n);
struct kernel *conv_winograd_input_grad(const struct cpu *c, const struct conv_case *conv);
struct kernel *conv_winograd_weight_grad(const struct cpu *c, const struct conv_case *conv);

#endif
