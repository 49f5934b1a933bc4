// How convolutions are computed: cuDNN's graph library offers many kernels for each, of
// which the fastest is found by trying those that it thinks best.
#ifndef VICREG_OPCONV_H
#define VICREG_OPCONV_H

#include "customop.h"

enum { VR_FORWARD, VR_INPUT_GRAD, VR_WEIGHT_GRAD };

// vr_conv_shape is all that the choice of a kernel depends on. It has no padding.
typedef struct {
  int64_t direction, type, tf32; // type: as cuDNN numbers it
  int64_t x[4], w[4], y[4]; // [N, H, W, C], [M, KH, KW, C], [N, OH, OW, M]
  int64_t pads[2], stride;
  // Where y's sums are taken, too, into how many groups N is divided, which are convolved one
  // after the other; else 0.
  int64_t groups;
  void *cudnn; // plans belong to a handle, and so to one device and thread
} vr_conv_shape;

// The tensors of a convolution, by the names they have in the forward pass. The sums of y's
// channels and of their squares are [groups, M].
typedef struct {
  void *x, *w, *y;
  float *sum, *squares;
} vr_conv_data;

// vr_descriptors is a list of descriptors of the graph library, which are freed
// together, and the first error that came of making them.
typedef struct {
  void *all[16];
  int count;
  char *error;
} vr_descriptors;

// vr_plan is a convolution that has been prepared. Nodes with equal convolutions share it.
typedef struct vr_plan {
  vr_conv_shape shape;
  vr_descriptors graph, own; // what plan refers to, and itself
  void *plan;                // NULL where sums are to be taken and cuDNN has no kernel for that
  size_t workspace;
  int way; // how a convolution whose sums are taken is computed, once that is known; see opmoments.c
  int users;
  struct vr_plan *next;
} vr_plan;

// vr_plan_take finds the plan for a shape. When there is none yet it tries some, with
// which it computes on the data, waits for the device and takes memory of it, which it
// gives back. A run that is captured may do none of this, and need not: the runtime
// captures the third.
char *vr_plan_take(vr_call *run, const vr_conv_shape *shape, const vr_conv_data *data, vr_plan **plan);
void vr_plan_leave(vr_plan *plan);

// vr_conv_plan has *kept be the plan for a shape, whichever it was for.
char *vr_conv_plan(vr_call *run, const vr_conv_shape *shape, const vr_conv_data *data, vr_plan **kept);

// vr_conv_run computes with a plan, in workspace of the run.
char *vr_conv_run(vr_call *run, const vr_plan *plan, const vr_conv_data *data);

// vr_conv_shapes works out y's shape from those of x and w, and vr_conv_forward describes that
// convolution for the node of the run.
char *vr_conv_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out);
vr_conv_shape vr_conv_forward(vr_call *run);

// vr_plan_search makes a plan for a shape, as vr_plan_take does.
char *vr_plan_search(vr_call *run, const vr_conv_shape *shape, const vr_conv_data *data, vr_plan *plan);

// vr_searches is what searches took that found a kernel: how many, their time and that of the
// longest, in seconds, and what that one was for; and of convolutions whose statistics are
// wanted, of how many kinds they are and how many take them as they write. vr_take_searches
// gives those since its last call.
typedef struct {
  int64_t count, moments, fused;
  double seconds, longest;
  vr_conv_shape of;
} vr_searches;
void vr_take_searches(vr_searches *to);

// vr_moments_chosen adds to the account how statistics will be taken for a kind of convolution.
void vr_moments_chosen(int fused);

// vr_execute computes with a plan of the graph library.
char *vr_execute(const vr_conv_shape *shape, void *plan, const vr_conv_data *data, void *workspace);

// Between vr_descriptor_begin and vr_descriptor_end the attributes of a descriptor are
// set. Each of the three does nothing after an error.
void *vr_descriptor_begin(vr_descriptors *d, int kind);
void vr_descriptor_set(vr_descriptors *d, void *descriptor, int name, int type, int64_t count, const void *values);
void vr_descriptor_end(vr_descriptors *d, void *descriptor);
void vr_descriptors_free(vr_descriptors *d);

// vr_describe_conv describes a convolution, of one group: what a plan is made for.
void *vr_describe_conv(vr_descriptors *d, const vr_conv_shape *shape);

#endif
