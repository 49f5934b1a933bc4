#include "opconv.h"

#include <stdlib.h>
#include <string.h>

// Convolutions and their two gradients. All three name their data as in the forward pass: x, w
// and y, one of which is the output.

static void copy_dims(int64_t to[4], const vr_shape *from) { memcpy(to, from->dims, 4 * sizeof *to); }

// fits reports whether the three shapes belong to one convolution.
static int fits(const vr_attributes *a, const int64_t x[4], const int64_t w[4], const int64_t y[4]) {
  return y[0] == x[0] && y[3] == w[0] && x[3] == w[3] && y[1] == vr_slide(x[1], w[1], a->pads[0], a->stride) &&
         y[2] == vr_slide(x[2], w[2], a->pads[1], a->stride) && y[1] > 0 && y[2] > 0;
}

char *vr_conv_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out) {
  const int64_t *x = in[0].dims, *w = in[1].dims;
  if (in[0].rank != 4 || in[1].rank != 4) return strdup("x or w has not 4 dimensions");
  vr_set_shape(&out[0], 4, x[0], vr_slide(x[1], w[1], a->pads[0], a->stride),
               vr_slide(x[2], w[2], a->pads[1], a->stride), w[0]);
  return fits(a, x, w, out[0].dims) ? NULL : strdup("x and w have other channels, or w is larger than the padded x");
}

static char *input_grad_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out) {
  const int64_t *y = in[0].dims, *w = in[1].dims;
  if (in[0].rank != 4 || in[1].rank != 4) return strdup("dy or w has not 4 dimensions");
  vr_set_shape(&out[0], 4, y[0], a->size[0], a->size[1], w[3]);
  return fits(a, out[0].dims, w, y) ? NULL : strdup("an x of this size and w do not give a y of the shape of dy");
}

static char *weight_grad_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out) {
  const int64_t *y = in[0].dims, *x = in[1].dims;
  if (in[0].rank != 4 || in[1].rank != 4) return strdup("dy or x has not 4 dimensions");
  vr_set_shape(&out[0], 4, y[3], a->kernel[0], a->kernel[1], x[3]);
  return fits(a, x, out[0].dims, y) ? NULL : strdup("x and this kernel do not give a y of the shape of dy");
}

static int64_t cudnn_type(int type) {
  return type == VR_FLOAT16 ? CUDNN_HALF : type == VR_BFLOAT16 ? CUDNN_BFLOAT16 : CUDNN_FLOAT;
}

char *vr_conv_plan(vr_call *run, const vr_conv_shape *s, const vr_conv_data *data, vr_plan **kept) {
  vr_plan *other = NULL;
  if (*kept != NULL && memcmp(&(*kept)->shape, s, sizeof *s) == 0) return NULL;
  char *error = vr_plan_take(run, s, data, &other);
  if (error != NULL) return error;
  if (*kept != NULL) vr_plan_leave(*kept);
  *kept = other;
  return NULL;
}

char *vr_conv_run(vr_call *run, const vr_plan *plan, const vr_conv_data *data) {
  void *workspace = NULL;
  char *error = vr_scratch(run, plan->workspace, &workspace);
  if (error == NULL) error = vr_execute(&plan->shape, plan->plan, data, workspace);
  vr_release_scratch(run, workspace);
  return error;
}

// shape_of describes the node's convolution, without its dimensions.
static vr_conv_shape shape_of(const vr_call *run, int direction) {
  const vr_attributes *a = &run->node->attributes;
  vr_conv_shape s = {.direction = direction, .type = cudnn_type(run->node->type), .stride = a->stride, .cudnn = run->cudnn};
  s.tf32 = s.type != CUDNN_FLOAT || a->tf32;
  memcpy(s.pads, a->pads, sizeof s.pads);
  return s;
}

// compute runs a convolution with the node's plan, or with another if the shape has changed.
static char *compute(vr_call *run, const vr_conv_shape *s, const vr_conv_data *data) {
  vr_plan *plan = run->node->state;
  char *error = vr_conv_plan(run, s, data, &plan);
  run->node->state = plan;
  return error != NULL ? error : vr_conv_run(run, plan, data);
}

vr_conv_shape vr_conv_forward(vr_call *run) {
  vr_conv_shape s = shape_of(run, VR_FORWARD);
  copy_dims(s.x, &run->in[0]), copy_dims(s.w, &run->in[1]), copy_dims(s.y, &run->out[0]);
  return s;
}

static char *forward_run(vr_call *run) {
  const vr_conv_shape s = vr_conv_forward(run);
  return compute(run, &s, &(vr_conv_data){run->x[0], run->x[1], run->y[0]});
}

static char *input_grad_run(vr_call *run) {
  vr_conv_shape s = shape_of(run, VR_INPUT_GRAD);
  copy_dims(s.y, &run->in[0]), copy_dims(s.w, &run->in[1]), copy_dims(s.x, &run->out[0]);
  return compute(run, &s, &(vr_conv_data){run->y[0], run->x[1], run->x[0]});
}

static char *weight_grad_run(vr_call *run) {
  vr_conv_shape s = shape_of(run, VR_WEIGHT_GRAD);
  copy_dims(s.y, &run->in[0]), copy_dims(s.x, &run->in[1]), copy_dims(s.w, &run->out[0]);
  return compute(run, &s, &(vr_conv_data){run->x[1], run->y[0], run->x[0]});
}

static void forget(void *state) { vr_plan_leave(state); }

const vr_operator vr_conv = {"Conv", "tt", "t", VR_PADS | VR_STRIDE, vr_conv_shapes, forward_run, forget};
const vr_operator vr_conv_input_grad = {"ConvInputGrad",   "tt",           "t",   VR_PADS | VR_STRIDE | VR_SIZE,
                                        input_grad_shapes, input_grad_run, forget};
const vr_operator vr_conv_weight_grad = {
    "ConvWeightGrad", "tt", "t", VR_PADS | VR_STRIDE | VR_KERNEL, weight_grad_shapes, weight_grad_run, forget};
