// Operators of our own, for sessions on CUDA: what the runtime's provider has no kernel
// for, or a slow one; over cuDNN (opconv.c) or by kernels of our own (kernels.h). They are in the domain "vicreg.cuda", version 1. Activations are
// channels last, [N, H, W, C], weights [M, KH, KW, C]; both are float32, float16 or
// bfloat16, all of a node alike. Source: ONNX Runtime's C API, struct OrtCustomOp.
//
// Here is what the operators share: a node of a session (vr_node), one run of it
// (vr_call), and the description of an operator (vr_operator) from which the rest is
// made. As in shim.h, a char * is NULL on success, else a message that is freed.
#ifndef VICREG_CUSTOMOP_H
#define VICREG_CUSTOMOP_H

#include "cudnn.h"
#include "shim.h"

#define VR_DOMAIN "vicreg.cuda"

// Element types, as ONNX numbers them.
enum { VR_FLOAT = 1, VR_UINT8 = 2, VR_FLOAT16 = 10, VR_BFLOAT16 = 16 };

// The attributes of all operators; a node has those that its operator names.
typedef struct {
  int64_t pads[2], kernel[2], size[2]; // by height and width
  int64_t stride, channels, groups, tf32, relu, residual;
  float eps, momentum;
  float fresh[2]; // of Adam, what each new gradient weighs in a mean, and its square: 1 - beta
  // How many inputs a node has in its list; 0 where its operator has none.
  int64_t listed;
} vr_attributes;

// The attributes that an operator needs. groups, tf32, relu and residual are 0 when left out.
enum { VR_PADS = 1, VR_KERNEL = 2, VR_SIZE = 4, VR_STRIDE = 8, VR_EPS = 16, VR_MOMENTUM = 32, VR_CHANNELS = 64, VR_FRESH = 128 };

typedef struct vr_node vr_node;

// vr_call is one run of a node. An input or output that was left out has no data, and
// a rank of 0.
typedef struct {
  vr_node *node;
  void *context;
  void *cudnn; // the runtime's handle of cuDNN, on the stream
  void *stream;
  vr_shape *in, *out;
  void **x, **y;
  size_t outputs; // for which there is room
} vr_call;

typedef struct {
  const char *name;
  // A letter an input or output: t for the activations' type, f float32, b bytes;
  // a capital where it may be left out. The last one may have a * behind it: it is a list
  // then, of one or more.
  const char *inputs, *outputs;
  int attributes;
  // shapes works out the outputs' dimensions from the inputs'; it leaves at rank 0 what
  // is known only when run asks for it with vr_output.
  char *(*shapes)(const vr_attributes *a, const vr_shape *in, vr_shape *out);
  char *(*run)(vr_call *run);
  void (*forget)(void *state); // may be NULL
} vr_operator;

extern const vr_operator vr_conv, vr_conv_input_grad, vr_conv_weight_grad, vr_conv_moments;
extern const vr_operator vr_batch_norm, vr_batch_norm_grad, vr_normalize, vr_max_pool, vr_max_pool_grad, vr_pixels;
extern const vr_operator vr_dots, vr_momentum, vr_adam, vr_blend, vr_sums, vr_halves;

// vr_node is one node of a session, which runs on one thread at a time.
struct vr_node {
  const vr_operator *operator;
  vr_attributes attributes;
  int type; // of the activations, as ONNX numbers it
  void *allocator, *memory;
  void *state; // the operator's own, from one run to the next
};

// vr_output allocates an output. Its data is NULL where the graph has left it out.
char *vr_output(vr_call *run, size_t index, const vr_shape *shape);

// vr_scratch allocates memory of the device for the rest of the run, none for 0 bytes.
// What is in flight on the stream may still use it after vr_release_scratch; nothing
// else will. Where the device has not so much, the run fails; with a runtime before 1.28
// the process ends.
char *vr_scratch(vr_call *run, size_t bytes, void **memory);
void vr_release_scratch(vr_call *run, void *memory);

// vr_set_shape fills in an output's shape of rank 1 to 4.
void vr_set_shape(vr_shape *shape, int rank, int64_t a, int64_t b, int64_t c, int64_t d);

// vr_slide gives how many places a window has along one axis.
int64_t vr_slide(int64_t size, int64_t window, int64_t pad, int64_t stride);

// What customop.c registers; in opnode.c and opattributes.c.

// vr_node_make makes a node from what the runtime tells of it.
char *vr_node_make(const vr_operator *op, int type, void *info, vr_node **node);
void vr_node_forget(vr_node *node);
char *vr_node_run(vr_node *node, void *context);

// vr_node_attributes and vr_inferred_attributes read the attributes of a node that is
// made, and of one whose shapes are worked out.
char *vr_node_attributes(void *info, int which, vr_attributes *a);
char *vr_inferred_attributes(void *inference, int which, vr_attributes *a);

// vr_infer tells the runtime the shapes of the outputs where those of all inputs are
// known. It says nothing of a node that is wrong: that is said when it is made or run.
void vr_infer(const vr_operator *op, void *inference);

// vr_places is how many inputs or outputs an operator has, by its letters. A list is one.
size_t vr_places(const char *letters);

// vr_letter is that of an input or output of a node, which may be in a list.
char vr_letter(const char *letters, size_t i);

// vr_listed tells whether a place of an operator is that of a list.
int vr_listed(const char *letters, size_t i);

// vr_room is how many inputs to make room for where a node has so many, and vr_outputs
// how many outputs: a list of them is no longer than all inputs together.
size_t vr_room(const vr_operator *op, size_t inputs);
size_t vr_outputs(const vr_operator *op, size_t inputs);

// vr_list_length is how many of so many inputs are in the operator's list.
int64_t vr_list_length(const vr_operator *op, size_t inputs);

// vr_type is the element type that a letter of an operator stands for.
int vr_type(char letter, int activations);

// vr_bytes is the size of a number of the activations.
int vr_bytes(int type);

// vr_add_operators makes the operators known to the sessions of these options.
char *vr_add_operators(void *session_options);

#endif
