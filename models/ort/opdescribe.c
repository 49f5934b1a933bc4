#include <stdlib.h>
#include <string.h>

#include "opconv.h"

// Descriptors of cuDNN's graph library. Source: its documentation's table for each kind of
// descriptor, with the types and the numbers of the attributes.

void *vr_descriptor_begin(vr_descriptors *d, int kind) {
  void *made = NULL;
  if (d->error != NULL) return NULL;
  d->error = vr_cudnn_failed(vr_cudnn.cudnnBackendCreateDescriptor(kind, &made), "cudnnBackendCreateDescriptor");
  if (d->error == NULL) d->all[d->count++] = made;
  return made;
}

void vr_descriptor_set(vr_descriptors *d, void *descriptor, int name, int type, int64_t count, const void *values) {
  if (d->error != NULL) return;
  d->error = vr_cudnn_failed(vr_cudnn.cudnnBackendSetAttribute(descriptor, name, type, count, values),
                             "cudnnBackendSetAttribute");
}

void vr_descriptor_end(vr_descriptors *d, void *descriptor) {
  if (d->error != NULL) return;
  d->error = vr_cudnn_failed(vr_cudnn.cudnnBackendFinalize(descriptor), "cudnnBackendFinalize");
}

void vr_descriptors_free(vr_descriptors *d) {
  while (d->count > 0) vr_cudnn.cudnnBackendDestroyDescriptor(d->all[--d->count]);
  free(d->error);
  d->error = NULL;
}

// The runtime's allocators align to more.
static const int64_t alignment = 16;

// describe_tensor describes [a, h, w, c], whose dimensions cuDNN lists as a, c, h, w.
static void *describe_tensor(vr_descriptors *d, int64_t id, int64_t type, const int64_t s[4]) {
  void *t = vr_descriptor_begin(d, CUDNN_DESCRIBE_TENSOR);
  const int64_t dims[] = {s[0], s[3], s[1], s[2]};
  const int64_t strides[] = {s[1] * s[2] * s[3], 1, s[2] * s[3], s[3]};
  const int element = type;
  vr_descriptor_set(d, t, CUDNN_TENSOR_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &element);
  vr_descriptor_set(d, t, CUDNN_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
  vr_descriptor_set(d, t, CUDNN_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
  vr_descriptor_set(d, t, CUDNN_TENSOR_ID, CUDNN_TYPE_INT64, 1, &id);
  vr_descriptor_set(d, t, CUDNN_TENSOR_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
  vr_descriptor_end(d, t);
  return t;
}

// describe_window describes how the filter moves. Sums are in float32 for every type.
static void *describe_window(vr_descriptors *d, const vr_conv_shape *s) {
  void *c = vr_descriptor_begin(d, CUDNN_DESCRIBE_CONVOLUTION);
  const int compute = CUDNN_FLOAT, mode = CUDNN_CROSS_CORRELATION;
  const int64_t axes = 2, dilations[] = {1, 1}, strides[] = {s->stride, s->stride};
  vr_descriptor_set(d, c, CUDNN_CONVOLUTION_COMPUTE_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute);
  vr_descriptor_set(d, c, CUDNN_CONVOLUTION_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
  vr_descriptor_set(d, c, CUDNN_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &axes);
  vr_descriptor_set(d, c, CUDNN_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilations);
  vr_descriptor_set(d, c, CUDNN_CONVOLUTION_STRIDES, CUDNN_TYPE_INT64, 2, strides);
  vr_descriptor_set(d, c, CUDNN_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, s->pads);
  vr_descriptor_set(d, c, CUDNN_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, s->pads);
  vr_descriptor_end(d, c);
  return c;
}

// By direction: the operation, its first attribute, and those of its tensors.
static const struct {
  int kind, alpha, x, w, y;
} operations[] = {
    [VR_FORWARD] = {CUDNN_DESCRIBE_FORWARD, CUDNN_FORWARD_ALPHA, CUDNN_FORWARD_X, CUDNN_FORWARD_W, CUDNN_FORWARD_Y},
    [VR_INPUT_GRAD] = {CUDNN_DESCRIBE_BACKWARD_DATA, CUDNN_BACKWARD_DATA_ALPHA, CUDNN_BACKWARD_DATA_DX,
                       CUDNN_BACKWARD_DATA_W, CUDNN_BACKWARD_DATA_DY},
    [VR_WEIGHT_GRAD] = {CUDNN_DESCRIBE_BACKWARD_FILTER, CUDNN_BACKWARD_FILTER_ALPHA, CUDNN_BACKWARD_FILTER_X,
                        CUDNN_BACKWARD_FILTER_DW, CUDNN_BACKWARD_FILTER_DY},
};

// describe_conv describes the operation on the tensors.
static void *describe_conv(vr_descriptors *d, const vr_conv_shape *s, void *x, void *w, void *y) {
  void *window = describe_window(d, s);
  int first = operations[s->direction].alpha;
  void *op = vr_descriptor_begin(d, operations[s->direction].kind);
  const float one = 1, zero = 0;
  vr_descriptor_set(d, op, first, CUDNN_TYPE_FLOAT, 1, &one);
  vr_descriptor_set(d, op, first + 1, CUDNN_TYPE_FLOAT, 1, &zero);
  vr_descriptor_set(d, op, first + 2, CUDNN_TYPE_DESCRIPTOR, 1, &window);
  vr_descriptor_set(d, op, operations[s->direction].x, CUDNN_TYPE_DESCRIPTOR, 1, &x);
  vr_descriptor_set(d, op, operations[s->direction].w, CUDNN_TYPE_DESCRIPTOR, 1, &w);
  vr_descriptor_set(d, op, operations[s->direction].y, CUDNN_TYPE_DESCRIPTOR, 1, &y);
  vr_descriptor_end(d, op);
  return op;
}

// describe_sums describes the sums of y's channels and of their squares, in float32.
static void *describe_sums(vr_descriptors *d, const vr_conv_shape *s, void *y) {
  const int64_t channels[] = {1, 1, 1, s->y[3]};
  void *sum = describe_tensor(d, 's', CUDNN_FLOAT, channels), *squares = describe_tensor(d, 'q', CUDNN_FLOAT, channels);
  void *op = vr_descriptor_begin(d, CUDNN_DESCRIBE_STATISTICS);
  const int mode = CUDNN_SUM_AND_SQUARES, compute = CUDNN_FLOAT;
  vr_descriptor_set(d, op, CUDNN_STATISTICS_MODE, CUDNN_TYPE_STATISTICS_MODE, 1, &mode);
  vr_descriptor_set(d, op, CUDNN_STATISTICS_COMPUTE_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute);
  vr_descriptor_set(d, op, CUDNN_STATISTICS_X, CUDNN_TYPE_DESCRIPTOR, 1, &y);
  vr_descriptor_set(d, op, CUDNN_STATISTICS_SUM, CUDNN_TYPE_DESCRIPTOR, 1, &sum);
  vr_descriptor_set(d, op, CUDNN_STATISTICS_SQUARES, CUDNN_TYPE_DESCRIPTOR, 1, &squares);
  vr_descriptor_end(d, op);
  return op;
}

void *vr_describe_conv(vr_descriptors *d, const vr_conv_shape *s) {
  vr_conv_shape one = *s; // a single group
  if (s->groups) one.x[0] /= s->groups, one.y[0] /= s->groups;
  void *x = describe_tensor(d, 'x', s->type, one.x);
  void *w = describe_tensor(d, 'w', s->type, one.w);
  void *y = describe_tensor(d, 'y', s->type, one.y);
  void *ops[] = {describe_conv(d, s, x, w, y), s->groups ? describe_sums(d, s, y) : NULL};
  void *graph = vr_descriptor_begin(d, CUDNN_DESCRIBE_GRAPH);
  vr_descriptor_set(d, graph, CUDNN_GRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &s->cudnn);
  vr_descriptor_set(d, graph, CUDNN_GRAPH_OPERATIONS, CUDNN_TYPE_DESCRIPTOR, s->groups ? 2 : 1, ops);
  vr_descriptor_end(d, graph);
  return graph;
}
