// How convolutions are computed: cuDNN's graph library offers many kernels for each, of which the
// fastest is found by timing those that it ranks best.
#ifndef VICREG_OPCONV_H
#define VICREG_OPCONV_H

#include "customop.h"

enum { VR_FORWARD, VR_INPUT_GRAD, VR_WEIGHT_GRAD };

// vr_conv_shape is all that the choice of a kernel depends on. The struct has no padding, as
// memcmp compares it.
typedef struct {
  int64_t direction, type, tf32; // type: as cuDNN numbers it
  int64_t x[4], w[4], y[4]; // [N, H, W, C], [M, KH, KW, C], [N, OH, OW, M]
  int64_t pads[2], stride;
  // If the sums of y are computed as well, the number of groups that N is divided into, which are
  // convolved one after the other; else 0.
  int64_t groups;
  void *cudnn; // plans belong to a handle, and so to one device and thread
} vr_conv_shape;

// The tensors of a convolution, named as in the forward pass. The sums of y's channels and of
// their squares are [groups, M].
typedef struct {
  void *x, *w, *y;
  float *sum, *squares;
} vr_conv_data;

// vr_descriptors is a list of descriptors of the graph library that are freed together, and the
// first error in making them.
typedef struct {
  void *all[16];
  int count;
  char *error;
} vr_descriptors;

// vr_plan is a prepared convolution. Nodes with equal convolutions share it.
typedef struct vr_plan {
  vr_conv_shape shape;
  vr_descriptors graph, own; // graph: what plan refers to; own: plan itself
  void *plan;                // NULL if sums are wanted and cuDNN has no kernel for them
  size_t workspace;
  int way; // how a convolution with sums is computed, once that is known; see opmoments.c
  int users;
  struct vr_plan *next;
} vr_plan;

// vr_plan_take finds the plan for a shape. If there is none yet it tries several: it computes on
// the data, waits for the device, and allocates device memory, which it frees again. A captured
// run may do none of this, and need not: the runtime captures the third run.
char *vr_plan_take(vr_call *run, const vr_conv_shape *shape, const vr_conv_data *data, vr_plan **plan);
void vr_plan_leave(vr_plan *plan);

// vr_conv_plan makes *kept the plan for a shape, replacing that for another.
char *vr_conv_plan(vr_call *run, const vr_conv_shape *shape, const vr_conv_data *data, vr_plan **kept);

// vr_conv_run runs a plan, with workspace of the run.
char *vr_conv_run(vr_call *run, const vr_plan *plan, const vr_conv_data *data);

// vr_try_memory allocates device memory outside the runtime's arena, which would keep for good what
// a search needs once; NULL if there is too little. cudaFree releases it. Must not be captured.
void *vr_try_memory(size_t bytes);

// vr_conv_shapes computes y's shape from those of x and w, and vr_conv_forward describes the
// convolution of the run's node.
char *vr_conv_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out);
vr_conv_shape vr_conv_forward(vr_call *run);

// vr_plan_search makes a plan for a shape, as vr_plan_take does.
char *vr_plan_search(vr_call *run, const vr_conv_shape *shape, const vr_conv_data *data, vr_plan *plan);

// vr_searches accounts for the searches that found a kernel: how many, their time and that of the
// longest, in seconds, and the convolution it was for; and for the convolutions whose statistics
// are wanted: how many kinds there are, and how many compute them as they write. vr_take_searches
// returns the account since its last call.
typedef struct {
  int64_t count, moments, fused;
  double seconds, longest;
  vr_conv_shape of;
} vr_searches;
void vr_take_searches(vr_searches *to);

// vr_moments_chosen records how the statistics of a kind of convolution will be computed.
void vr_moments_chosen(int fused);

// vr_execute runs a plan of the graph library.
char *vr_execute(const vr_conv_shape *shape, void *plan, const vr_conv_data *data, void *workspace);

// The attributes of a descriptor are set between vr_descriptor_begin and vr_descriptor_end. After
// an error all three are no-ops.
void *vr_descriptor_begin(vr_descriptors *d, int kind);
void vr_descriptor_set(vr_descriptors *d, void *descriptor, int name, int type, int64_t count, const void *values);
void vr_descriptor_end(vr_descriptors *d, void *descriptor);
void vr_descriptors_free(vr_descriptors *d);

// vr_describe_conv describes a convolution, of one group, for a plan to be made.
void *vr_describe_conv(vr_descriptors *d, const vr_conv_shape *shape);

#endif
