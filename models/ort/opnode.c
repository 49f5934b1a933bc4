// A node of a session and its runs, through the kernel part of ONNX Runtime's C API:
// KernelInfo and KernelContext.
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "customop.h"
#include "nvrtc.h"

void vr_node_forget(vr_node *node) {
  if (node == NULL) return;
  if (node->state != NULL && node->operator->forget != NULL) node->operator->forget(node->state);
  if (node->allocator != NULL) RELEASE(RELEASE_ALLOCATOR, node->allocator);
  free(node);
}

static char *make(vr_node *node, void *info) {
  char *error = vr_cudnn_load();
  if (error == NULL) error = vr_nvrtc_load();
  if (error == NULL) error = vr_node_attributes(info, node->operator->attributes, &node->attributes);
  // 0: memory of the device itself.
  if (error == NULL) error = vr_failed(STATUS(NODE_ALLOCATOR, void *, int, void **)(info, 0, &node->allocator));
  if (error == NULL) error = vr_failed(STATUS(ALLOCATOR_MEMORY, void *, void **)(node->allocator, &node->memory));
  return error;
}

char *vr_node_make(const vr_operator *op, int type, void *info, vr_node **to) {
  vr_node *node = calloc(1, sizeof *node);
  node->operator = op;
  node->type = type;
  char *error = make(node, info);
  if (error != NULL) {
    vr_node_forget(node);
    node = NULL;
  }
  *to = node;
  return error;
}

// The cuDNN handle among the resources of a stream of the CUDA provider.
enum { RESOURCE_VERSION = 1, CUDNN_HANDLE = 10001 };

// make_room allocates inputs and outputs, in one block that run->in points to.
static void make_room(vr_call *run, size_t inputs) {
  const vr_operator *op = run->node->operator;
  run->outputs = vr_outputs(op, inputs);
  size_t room = vr_room(op, inputs), all = room + run->outputs;
  run->in = calloc(all, sizeof *run->in + sizeof *run->x);
  run->out = run->in + room;
  run->x = (void **)(run->in + all);
  run->y = run->x + room;
  run->node->attributes.listed = vr_list_length(op, inputs);
}

static char *begin(vr_call *run) {
  size_t count = 0;
  char *error = vr_failed(STATUS(RUN_INPUT_COUNT, void *, size_t *)(run->context, &count));
  if (error == NULL) make_room(run, count);
  for (size_t i = 0; error == NULL && i < count; i++) {
    void *value = NULL;
    error = vr_failed(STATUS(RUN_INPUT, void *, size_t, void **)(run->context, i, &value));
    if (error == NULL && value != NULL) error = vr_look(value, &run->in[i], &run->x[i]);
  }
  if (error != NULL) return error;
  error = vr_failed(STATUS(RUN_STREAM, void *, void **)(run->context, &run->stream));
  if (error != NULL) return error;
  error = vr_failed(
      STATUS(RUN_RESOURCE, void *, int, int, void **)(run->context, RESOURCE_VERSION, CUDNN_HANDLE, &run->cudnn));
  if (error == NULL && run->cudnn == NULL) error = strdup("the runtime does not use cuDNN");
  return error;
}

char *vr_output(vr_call *run, size_t i, const vr_shape *shape) {
  void *value = NULL;
  char *error = vr_failed(STATUS(RUN_OUTPUT, void *, size_t, const int64_t *, size_t, void **)(
      run->context, i, shape->dims, shape->rank, &value));
  if (error != NULL || value == NULL) return error;
  return vr_failed(STATUS(TENSOR_DATA, void *, void **)(value, &run->y[i]));
}

static char *outputs(vr_call *run) {
  const vr_operator *op = run->node->operator;
  char *error = op->shapes(&run->node->attributes, run->in, run->out);
  size_t count = 0;
  if (error == NULL) error = vr_failed(STATUS(RUN_OUTPUT_COUNT, void *, size_t *)(run->context, &count));
  for (size_t i = 0; error == NULL && i < count && i < run->outputs; i++)
    if (run->out[i].rank > 0) error = vr_output(run, i, &run->out[i]);
  return error;
}

char *vr_node_run(vr_node *node, void *context) {
  vr_call run = {.node = node, .context = context};
  char *error = begin(&run);
  if (error == NULL) error = outputs(&run);
  if (error == NULL) error = vr_cudnn_failed(vr_cudnn.cudnnSetStream(run.cudnn, run.stream), "cudnnSetStream");
  if (error == NULL) error = node->operator->run(&run);
  free(run.in);
  return error;
}

void vr_set_shape(vr_shape *shape, int rank, int64_t a, int64_t b, int64_t c, int64_t d) {
  *shape = (vr_shape){.rank = rank, .dims = {a, b, c, d}};
}

int64_t vr_slide(int64_t size, int64_t window, int64_t pad, int64_t stride) {
  return size + 2 * pad < window ? 0 : (size + 2 * pad - window) / stride + 1;
}
