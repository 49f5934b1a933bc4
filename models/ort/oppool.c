#include <string.h>

#include "customop.h"
#include "kernels.h"

// Max pooling and its gradient, by kernels/maxpool.cu. Padding never wins.
//
// MaxPool(x) returns y and, in a byte each, the place in its window that every y came from.
// MaxPoolGrad(dy, places) returns dx.

enum { MOST_PLACES = 256, MOST_VECTORS = INT32_MAX };

// The kernels' argument.
typedef struct {
  const void *x, *dy;
  void *y, *dx, *tap;
  int images, height, width, channels, out_height, out_width;
  int kernel_height, kernel_width, pad_height, pad_width, stride;
} max_pool;

// slide computes the shape of y for x.
static char *slide(const vr_attributes *a, const vr_shape *x, vr_shape *y) {
  if (x->rank != 4) return strdup("x is not [N, H, W, C]");
  if (x->dims[0] < 1 || x->dims[3] < 1) return strdup("x is empty");
  int64_t h = vr_slide(x->dims[1], a->kernel[0], a->pads[0], a->stride);
  int64_t w = vr_slide(x->dims[2], a->kernel[1], a->pads[1], a->stride);
  if (h < 1 || w < 1) return strdup("the kernel is larger than the padded x");
  if (a->kernel[0] * a->kernel[1] > MOST_PLACES) return strdup("the kernel has more than 256 places");
  if (a->pads[0] >= a->kernel[0] || a->pads[1] >= a->kernel[1]) return strdup("a window would see nothing but padding");
  vr_set_shape(y, 4, x->dims[0], h, w, x->dims[3]);
  return NULL;
}

static char *pool_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out) {
  char *error = slide(a, &in[0], &out[0]);
  if (error == NULL) out[1] = out[0];
  return error;
}

static char *pool_grad_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out) {
  const int64_t *y = in[0].dims;
  vr_shape from[1];
  if (in[0].rank != 4) return strdup("dy is not [N, H, W, C]");
  vr_set_shape(&out[0], 4, y[0], a->size[0], a->size[1], y[3]);
  char *error = slide(a, &out[0], from);
  if (error != NULL) return error;
  for (int i = 0; i < 2; i++)
    if (in[i].rank != 4 || memcmp(in[i].dims, from->dims, 4 * sizeof *y) != 0)
      return strdup("dy or the places are not of the shape that an x of this size gives");
  return NULL;
}

// launch runs a kernel with one thread per vector of a tensor shaped like of.
static char *launch(vr_call *run, const char *kernel, const vr_shape *x, const vr_shape *y, const vr_shape *of, max_pool *p) {
  const vr_attributes *a = &run->node->attributes;
  int type = run->node->type, wide = 16 / vr_bytes(type);
  vr_program program = {{"maxpool"}, type, x->dims[3] % wide == 0 ? wide : 1};
  p->images = x->dims[0], p->height = x->dims[1], p->width = x->dims[2], p->channels = x->dims[3];
  p->out_height = y->dims[1], p->out_width = y->dims[2], p->stride = a->stride;
  p->kernel_height = a->kernel[0], p->kernel_width = a->kernel[1], p->pad_height = a->pads[0], p->pad_width = a->pads[1];
  int64_t vectors = of->dims[0] * of->dims[1] * of->dims[2] * of->dims[3] / program.vector;
  if (vectors > MOST_VECTORS) return strdup("x is too large");
  return vr_launch(run, &program, kernel, (vectors + VR_THREADS - 1) / VR_THREADS, 1, 1, p);
}

static char *pool_run(vr_call *run) {
  max_pool p = {.x = run->x[0], .y = run->y[0], .tap = run->y[1]};
  return launch(run, "max_pool_forward", &run->in[0], &run->out[0], &run->out[0], &p);
}

static char *pool_grad_run(vr_call *run) {
  max_pool p = {.dy = run->x[0], .tap = run->x[1], .dx = run->y[0]};
  return launch(run, "max_pool_backward", &run->out[0], &run->in[0], &run->out[0], &p);
}

const vr_operator vr_max_pool = {"MaxPool", "t", "tb", VR_PADS | VR_KERNEL | VR_STRIDE, pool_shapes, pool_run};
const vr_operator vr_max_pool_grad = {
    "MaxPoolGrad", "tb", "t", VR_PADS | VR_KERNEL | VR_STRIDE | VR_SIZE, pool_grad_shapes, pool_grad_run};
