// The forms that cuDNN's batch normalisation comes in. Which it supports depends on the
// type and the shape, and is known for certain only when it has run, forward and
// backward. VICREG_CUDNN_FUSION=0 leaves the fused ones out.
#ifndef VICREG_OPNORM_H
#define VICREG_OPNORM_H

#include "customop.h"

// One way to do it: how the channels are reduced, and how much is done in one kernel.
typedef struct {
  int mode, ops;
  size_t reserve; // bytes that go from the forward to the backward pass
} vr_norm_way;

// vr_norm_form is shared by all nodes of the same shape, type, relu and residual, in
// all sessions, so that a gradient goes the way of what it is the gradient of.
typedef struct vr_norm_form {
  vr_shape shape;
  int type;
  int64_t relu, residual;
  size_t workspace, reserve; // enough for every way that is left
  int ways, now;
  vr_norm_way way[3]; // the fastest first
  struct vr_norm_form *next;
} vr_norm_form;

char *vr_norm_form_of(vr_call *run, const vr_shape *shape, void *x, void *channel, void *activation,
                      vr_norm_form **form);

const vr_norm_way *vr_norm_way_of(vr_norm_form *form);

// vr_norm_next gives up a way that cuDNN has refused. It reports whether another is left.
int vr_norm_next(vr_norm_form *form, const vr_norm_way *refused);

// vr_norm_next_gradient does so for a way that was refused for the gradient. What is in
// the reserve is of the way that was refused, so it is left for one that has no reserve.
int vr_norm_next_gradient(vr_norm_form *form, const vr_norm_way *refused);

int vr_not_supported(int status);

#endif
