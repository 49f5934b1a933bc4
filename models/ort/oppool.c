#include <string.h>

#include "customop.h"

// Largest of a window, and its gradient: each dy goes to one place of its window that
// holds y. Padding never wins. Source: the documentation of cuDNN's ops library,
// cudnnPoolingForward and cudnnPoolingBackward.

static char *pool_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out) {
  const int64_t *x = in[0].dims;
  if (in[0].rank != 4) return strdup("x is not [N, H, W, C]");
  int64_t h = vr_slide(x[1], a->kernel[0], a->pads[0], a->stride);
  int64_t w = vr_slide(x[2], a->kernel[1], a->pads[1], a->stride);
  if (h < 1 || w < 1) return strdup("the kernel is larger than the padded x");
  vr_set_shape(&out[0], 4, x[0], h, w, x[3]);
  return NULL;
}

static char *pool_grad_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out) {
  vr_shape y[1];
  char *error = pool_shapes(a, &in[2], y);
  if (error != NULL) return error;
  for (int i = 0; i < 2; i++)
    if (in[i].rank != 4 || memcmp(in[i].dims, y->dims, 4 * sizeof *y->dims) != 0)
      return strdup("dy or y is not of the shape that x gives");
  out[0] = in[2];
  return NULL;
}

// pool is what cuDNN is told of a node.
typedef struct {
  void *window, *x, *y;
} pool;

static char *describe(pool *p, const vr_call *run, const vr_shape *x, const vr_shape *y) {
  const vr_attributes *a = &run->node->attributes;
  VR_TRY(cudnnCreatePoolingDescriptor, &p->window);
  VR_TRY(cudnnSetPooling2dDescriptor, p->window, CUDNN_MAX_POOLING, CUDNN_PROPAGATE_NAN, a->kernel[0], a->kernel[1],
         a->pads[0], a->pads[1], a->stride, a->stride);
  char *error = vr_describe_activations(run, x, &p->x);
  return error ? error : vr_describe_activations(run, y, &p->y);
}

static void forget(pool *p) {
  if (p->window != NULL) vr_cudnn.cudnnDestroyPoolingDescriptor(p->window);
  if (p->x != NULL) vr_cudnn.cudnnDestroyTensorDescriptor(p->x);
  if (p->y != NULL) vr_cudnn.cudnnDestroyTensorDescriptor(p->y);
}

static const float one = 1, zero = 0;

static char *forward(vr_call *run, pool *p) {
  char *error = describe(p, run, &run->in[0], &run->out[0]);
  if (error != NULL) return error;
  VR_TRY(cudnnPoolingForward, run->cudnn, p->window, &one, p->x, run->x[0], &zero, p->y, run->y[0]);
  return NULL;
}

static char *backward(vr_call *run, pool *p) {
  char *error = describe(p, run, &run->in[2], &run->in[1]);
  if (error != NULL) return error;
  VR_TRY(cudnnPoolingBackward, run->cudnn, p->window, &one, p->y, run->x[1], p->y, run->x[0], p->x, run->x[2], &zero,
         p->x, run->y[0]);
  return NULL;
}

static char *pool_run(vr_call *run) {
  pool p = {0};
  char *error = forward(run, &p);
  forget(&p);
  return error;
}

static char *pool_grad_run(vr_call *run) {
  pool p = {0};
  char *error = backward(run, &p);
  forget(&p);
  return error;
}

const vr_operator vr_max_pool = {"MaxPool", "t", "t", VR_PADS | VR_KERNEL | VR_STRIDE, pool_shapes, pool_run};
const vr_operator vr_max_pool_grad = {"MaxPoolGrad",    "ttt",        "t", VR_PADS | VR_KERNEL | VR_STRIDE,
                                      pool_grad_shapes, pool_grad_run};
