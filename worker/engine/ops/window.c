#include <inttypes.h>

#include "worker/engine/ops/ops.h"
#include "worker/engine/ops/util.h"

static const struct attr_spec window_attrs[] = {
    ATTR_IS("kernel_shape", struct window_attr, kernel_shape, 2, 1),
    ATTR_IS("strides", struct window_attr, strides, 2, 1),
    ATTR_IS("pads", struct window_attr, pads, 4, 0),
    ATTR_I("count_include_pad", struct window_attr, count_include_pad, 0),
    ATTR_IS("output", struct window_attr, output, 2, 0),
    ATTR_IS("input", struct window_attr, input, 2, 0),
    ATTR_END,
};

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static struct window sliding(const struct window_attr *a, int axis, int64_t i, int64_t n)
{
    int64_t lo = i * a->strides[axis] - a->pads[axis], hi = lo + a->kernel_shape[axis];
    struct window w = {.lo = lo < 0 ? 0 : lo, .hi = hi > n ? n : hi};

    w.size = a->count_include_pad ? hi - lo : w.hi - w.lo;
    return w;
}

static struct window cell(const struct window_attr *a, int axis, int64_t i, int64_t n)
{
    int64_t lo = i * n / a->output[axis], hi = divide_up((i + 1) * n, a->output[axis]);

    return (struct window){lo, hi, hi - lo};
}

static struct window nearest(const struct window_attr *a, int axis, int64_t i, int64_t n)
{
    int64_t at = i * n / a->output[axis];

    return (struct window){at, at + 1, 1};
}

struct window window_of(const struct op_def *op, const struct window_attr *a, int axis, int64_t i,
                        int64_t n)
{
    if (op == &op_adaptive_average_pool || op == &op_adaptive_average_pool_grad)
        return cell(a, axis, i, n);
    if (op == &op_resize_nearest || op == &op_resize_nearest_grad)
        return nearest(a, axis, i, n);
    return sliding(a, axis, i, n);
}

/* A window of padding alone would have no maximum and no mean. */
static bool check_axis(struct graph *g, const struct window_attr *a, int axis)
{
    int64_t kernel = a->kernel_shape[axis], before = a->pads[axis], after = a->pads[axis + 2];

    if (kernel >= 1 && a->strides[axis] >= 1 && before >= 0 && after >= 0 && before < kernel &&
        after < kernel)
        return true;
    graph_fail(g, ERR_INVALID,
               "kernel %" PRId64 ", stride %" PRId64 ", pads %" PRId64 " and %" PRId64
               "; expected kernel and stride of 1 or more and pads below the kernel",
               kernel, a->strides[axis], before, after);
    return false;
}

static void infer_sliding(struct graph *g, struct node *n)
{
    const struct window_attr *a = n->attr;
    struct shape s = *in_shape(g, n, 0);

    if (!need_rank(g, n, 0, 4) || !check_axis(g, a, 0) || !check_axis(g, a, 1))
        return;
    for (int i = 0; i < 2; i++) {
        int64_t room = s.dim[2 + i] + a->pads[i] + a->pads[i + 2] - a->kernel_shape[i];

        if (room < 0) {
            graph_fail(g, ERR_INVALID, "the window is larger than the padded input");
            return;
        }
        s.dim[2 + i] = room / a->strides[i] + 1;
    }
    set_shape(g, n, 0, s);
}

static void set_size(struct graph *g, struct node *n, const int64_t size[2])
{
    const struct shape *s = in_shape(g, n, 0);

    if (!need_rank(g, n, 0, 4))
        return;
    if (size[0] < 1 || size[1] < 1)
        graph_fail(g, ERR_INVALID, "a size of %" PRId64 " by %" PRId64 " pixels", size[0], size[1]);
    else
        set_shape(g, n, 0, shape4(s->dim[0], s->dim[1], size[0], size[1]));
}

static void infer_output(struct graph *g, struct node *n)
{
    set_size(g, n, ((const struct window_attr *)n->attr)->output);
}

static void infer_input(struct graph *g, struct node *n)
{
    set_size(g, n, ((const struct window_attr *)n->attr)->input);
}

static void infer_like_first(struct graph *g, struct node *n)
{
    set_shape(g, n, 0, *in_shape(g, n, 0));
}

static void max_pool_grad(struct graph *g, const struct node *n, const value_id *dout,
                          const bool *need, value_id *din)
{
    (void)need;
    din[0] = node2(g, &op_max_pool_grad, n->in[0], dout[0], n->attr);
}

/* What is linear in x needs no more than its size. */
static value_id linear_grad(struct graph *g, const struct node *n, const struct op_def *op,
                            value_id dy)
{
    struct window_attr a = *(const struct window_attr *)n->attr;
    const struct shape *x = in_shape(g, n, 0);

    a.input[0] = x->dim[2];
    a.input[1] = x->dim[3];
    return node1(g, op, dy, &a);
}

static void average_grad(struct graph *g, const struct node *n, const value_id *dout,
                         const bool *need, value_id *din)
{
    (void)need;
    din[0] = linear_grad(g, n, &op_average_pool_grad, dout[0]);
}

static void adaptive_grad(struct graph *g, const struct node *n, const value_id *dout,
                          const bool *need, value_id *din)
{
    (void)need;
    din[0] = linear_grad(g, n, &op_adaptive_average_pool_grad, dout[0]);
}

static void resize_grad(struct graph *g, const struct node *n, const value_id *dout,
                        const bool *need, value_id *din)
{
    (void)need;
    din[0] = linear_grad(g, n, &op_resize_nearest_grad, dout[0]);
}

#define WINDOW(op_name, inputs, ...)                                                            \
    {                                                                                           \
        .name = op_name, .min_in = inputs, .max_in = inputs, .n_out = 1, .attrs = window_attrs, \
        .attr_size = sizeof(struct window_attr), __VA_ARGS__                                    \
    }

const struct op_def op_max_pool =
    WINDOW("MaxPool", 1, .infer = infer_sliding, .grad = max_pool_grad);
const struct op_def op_max_pool_grad =
    WINDOW("MaxPoolGrad", 2, .infer = infer_like_first, .is_private = true);
const struct op_def op_average_pool =
    WINDOW("AveragePool", 1, .infer = infer_sliding, .grad = average_grad);
const struct op_def op_average_pool_grad =
    WINDOW("AveragePoolGrad", 1, .infer = infer_input, .is_private = true);
const struct op_def op_adaptive_average_pool = WINDOW(
    "AdaptiveAveragePool", 1, .infer = infer_output, .grad = adaptive_grad, .is_private = true);
const struct op_def op_adaptive_average_pool_grad =
    WINDOW("AdaptiveAveragePoolGrad", 1, .infer = infer_input, .is_private = true);
const struct op_def op_resize_nearest =
    WINDOW("ResizeNearest", 1, .infer = infer_output, .grad = resize_grad, .is_private = true);
const struct op_def op_resize_nearest_grad =
    WINDOW("ResizeNearestGrad", 1, .infer = infer_input, .is_private = true);

static struct window_attr square(int64_t kernel, int64_t stride, int64_t pad)
{
    return (struct window_attr){.kernel_shape = {kernel, kernel},
                                .strides = {stride, stride},
                                .pads = {pad, pad, pad, pad}};
}

value_id g_max_pool(struct graph *g, value_id x, int64_t kernel, int64_t stride, int64_t pad)
{
    const struct window_attr a = square(kernel, stride, pad);

    return node1(g, &op_max_pool, x, &a);
}

value_id g_average_pool(struct graph *g, value_id x, int64_t kernel, int64_t stride, int64_t pad)
{
    struct window_attr a = square(kernel, stride, pad);

    a.count_include_pad = 1;
    return node1(g, &op_average_pool, x, &a);
}

/* The same pixels, by whichever rule. */
static value_id to_size(struct graph *g, const struct op_def *op, value_id x, int64_t height,
                        int64_t width)
{
    const struct window_attr a = {
        .kernel_shape = {1, 1}, .strides = {1, 1}, .output = {height, width}};
    const struct shape *s = x < 0 ? NULL : graph_shape(g, x);

    if (s && s->rank == 4 && s->dim[2] == height && s->dim[3] == width)
        return x;
    return node1(g, op, x, &a);
}

value_id g_adaptive_average_pool(struct graph *g, value_id x, int64_t height, int64_t width)
{
    return to_size(g, &op_adaptive_average_pool, x, height, width);
}

value_id g_resize_nearest(struct graph *g, value_id x, int64_t height, int64_t width)
{
    return to_size(g, &op_resize_nearest, x, height, width);
}
