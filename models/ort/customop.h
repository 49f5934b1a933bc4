// Our own operators for sessions on CUDA: those for which the runtime's provider has no kernel,
// or a slow one. They use cuDNN (opconv.c) or our own kernels (kernels.h), and are in the domain
// "vicreg.cuda", version 1. Activations are channels last, [N, H, W, C], weights [M, KH, KW, C];
// both are float32, float16 or bfloat16, the same throughout a node. Source: ONNX Runtime's C
// API, struct OrtCustomOp.
//
// This header has what the operators share: a node of a session (vr_node), one run of it
// (vr_call), and the description of an operator (vr_operator) from which the rest is derived. As
// in shim.h, a char * is NULL on success, else a message that the caller frees.
#ifndef VICREG_CUSTOMOP_H
#define VICREG_CUSTOMOP_H

#include "cudnn.h"
#include "shim.h"

#define VR_DOMAIN "vicreg.cuda"

// Element types, as ONNX numbers them.
enum { VR_FLOAT = 1, VR_UINT8 = 2, VR_FLOAT16 = 10, VR_BFLOAT16 = 16 };

// The attributes of all operators; a node has those that its operator names.
typedef struct {
  int64_t pads[2], kernel[2], size[2]; // height, width
  int64_t stride, channels, groups, tf32, relu, residual;
  float eps, momentum;
  float fresh[2]; // of Adam: the weight of a new gradient, and of its square, in the running mean: 1 - beta
  // The number of inputs in a node's list; 0 if its operator has none.
  int64_t listed;
} vr_attributes;

// The attributes that an operator requires. groups, tf32, relu and residual default to 0.
enum { VR_PADS = 1, VR_KERNEL = 2, VR_SIZE = 4, VR_STRIDE = 8, VR_EPS = 16, VR_MOMENTUM = 32, VR_CHANNELS = 64, VR_FRESH = 128 };

typedef struct vr_node vr_node;

// vr_call is one run of a node. An input or output that is left out has no data and rank 0.
typedef struct {
  vr_node *node;
  void *context;
  void *cudnn; // the runtime's cuDNN handle, on the stream
  void *stream;
  vr_shape *in, *out;
  void **x, **y;
  size_t outputs; // capacity of out and y
} vr_call;

typedef struct {
  const char *name;
  // One letter per input or output: t for the activations' type, f for float32, b for bytes; a
  // capital if it is optional. A * after the last one makes it a list of at least one.
  const char *inputs, *outputs;
  int attributes;
  // shapes computes the outputs' shapes from the inputs'. It leaves at rank 0 those that are
  // known only at run time, which run allocates with vr_output.
  char *(*shapes)(const vr_attributes *a, const vr_shape *in, vr_shape *out);
  char *(*run)(vr_call *run);
  void (*forget)(void *state); // may be NULL
} vr_operator;

extern const vr_operator vr_conv, vr_conv_input_grad, vr_conv_weight_grad, vr_conv_moments;
extern const vr_operator vr_batch_norm, vr_batch_norm_grad, vr_normalize, vr_max_pool, vr_max_pool_grad, vr_pixels;
extern const vr_operator vr_dots, vr_momentum, vr_adam, vr_blend, vr_sums, vr_halves;

// vr_node is one node of a session. It runs on one thread at a time.
struct vr_node {
  const vr_operator *operator;
  vr_attributes attributes;
  int type; // of the activations, as ONNX numbers it
  void *allocator, *memory;
  void *state; // the operator's own, kept between runs
};

// vr_output allocates an output. Its data is NULL if the graph leaves it out.
char *vr_output(vr_call *run, size_t index, const vr_shape *shape);

// vr_scratch allocates device memory for the rest of the run, none for 0 bytes. Work in flight on
// the stream may still use it after vr_release_scratch; nothing else will. If the device has too
// little memory the run fails; with a runtime before 1.28 the process ends.
char *vr_scratch(vr_call *run, size_t bytes, void **memory);
void vr_release_scratch(vr_call *run, void *memory);

// vr_set_shape fills in a shape of rank 1 to 4.
void vr_set_shape(vr_shape *shape, int rank, int64_t a, int64_t b, int64_t c, int64_t d);

// vr_slide returns how many positions a window has along one axis.
int64_t vr_slide(int64_t size, int64_t window, int64_t pad, int64_t stride);

// For customop.c; in opnode.c and opattributes.c.

// vr_node_make makes a node from the runtime's kernel info.
char *vr_node_make(const vr_operator *op, int type, void *info, vr_node **node);
void vr_node_forget(vr_node *node);
char *vr_node_run(vr_node *node, void *context);

// vr_node_attributes and vr_inferred_attributes read a node's attributes while it is made and
// during shape inference.
char *vr_node_attributes(void *info, int which, vr_attributes *a);
char *vr_inferred_attributes(void *inference, int which, vr_attributes *a);

// vr_infer gives the runtime the shapes of the outputs if those of all inputs are known. It does
// not report errors in a node: they are reported when it is made or run.
void vr_infer(const vr_operator *op, void *inference);

// vr_places counts an operator's inputs or outputs by its letters. A list counts as one.
size_t vr_places(const char *letters);

// vr_letter returns the letter of input or output i of a node, which may be in a list.
char vr_letter(const char *letters, size_t i);

// vr_listed reports whether place i of an operator is a list.
int vr_listed(const char *letters, size_t i);

// vr_room and vr_outputs return how many inputs and outputs to allocate for a node with this many
// inputs: a list of outputs is no longer than all inputs together.
size_t vr_room(const vr_operator *op, size_t inputs);
size_t vr_outputs(const vr_operator *op, size_t inputs);

// vr_list_length returns how many of the inputs are in the operator's list.
int64_t vr_list_length(const vr_operator *op, size_t inputs);

// vr_type returns the element type that an operator's letter stands for.
int vr_type(char letter, int activations);

// vr_bytes returns the size of an element of the activations.
int vr_bytes(int type);

// vr_add_operators registers the operators with these session options.
char *vr_add_operators(void *session_options);

#endif
