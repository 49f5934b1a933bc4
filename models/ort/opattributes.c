// The attributes of nodes. Source: ONNX Runtime's C API, KernelInfoGetAttribute and
// ShapeInferContext_GetAttribute.
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "customop.h"

// Attributes are read in two situations: when a node is made, and during the inference of a
// graph's types and shapes.
typedef struct {
  void *info, *inference;
} source;

// Kinds of attributes, as the runtime numbers them.
enum { INT = 1, INTS = 2, FLOAT = 3 };

static char *read_inferred(source from, const char *name, int kind, void *to, size_t bytes) {
  void *attribute = NULL;
  size_t n = 0;
  char *error = vr_failed(STATUS(INFERENCE_ATTRIBUTE, void *, const char *, void **)(from.inference, name, &attribute));
  if (error != NULL) return error;
  return vr_failed(STATUS(READ_ATTRIBUTE, void *, int, void *, size_t, size_t *)(attribute, kind, to, bytes, &n));
}

static char *read_int(source from, const char *name, int64_t *to) {
  if (from.inference != NULL) return read_inferred(from, name, INT, to, sizeof *to);
  return vr_failed(STATUS(NODE_INT, void *, const char *, int64_t *)(from.info, name, to));
}

static char *read_pair(source from, const char *name, int64_t to[2]) {
  to[1] = -1; // to detect a list that is too short
  if (from.inference != NULL) return read_inferred(from, name, INTS, to, 2 * sizeof *to);
  size_t n = 2;
  return vr_failed(STATUS(NODE_INTS, void *, const char *, int64_t *, size_t *)(from.info, name, to, &n));
}

static char *read_float(source from, const char *name, float *to) {
  if (from.inference != NULL) return read_inferred(from, name, FLOAT, to, sizeof *to);
  return vr_failed(STATUS(NODE_FLOAT, void *, const char *, float *)(from.info, name, to));
}

// read_flag reads an optional number, 0 if it is left out.
static int64_t read_flag(source from, const char *name) {
  int64_t flag = 0;
  char *error = read_int(from, name, &flag);
  free(error);
  return error ? 0 : flag;
}

static char *read_attributes(source from, int which, vr_attributes *a) {
  char *error = NULL;
  memset(a, 0, sizeof *a);
  if (which & VR_PADS) error = read_pair(from, "pads", a->pads);
  if (error == NULL && which & VR_KERNEL) error = read_pair(from, "kernel", a->kernel);
  if (error == NULL && which & VR_SIZE) error = read_pair(from, "size", a->size);
  if (error == NULL && which & VR_STRIDE) error = read_int(from, "stride", &a->stride);
  if (error == NULL && which & VR_CHANNELS) error = read_int(from, "channels", &a->channels);
  if (error == NULL && which & VR_EPS) error = read_float(from, "eps", &a->eps);
  if (error == NULL && which & VR_MOMENTUM) error = read_float(from, "momentum", &a->momentum);
  if (error == NULL && which & VR_FRESH) error = read_float(from, "fresh1", &a->fresh[0]);
  if (error == NULL && which & VR_FRESH) error = read_float(from, "fresh2", &a->fresh[1]);
  if (error != NULL) return error;
  a->groups = read_flag(from, "groups");
  a->tf32 = read_flag(from, "tf32");
  a->relu = read_flag(from, "relu");
  a->residual = read_flag(from, "residual");
  if (a->pads[0] < 0 || a->pads[1] < 0) return strdup("pads are not two numbers from 0");
  if (which & VR_KERNEL && (a->kernel[0] < 1 || a->kernel[1] < 1)) return strdup("kernel is not two numbers from 1");
  if (which & VR_SIZE && (a->size[0] < 1 || a->size[1] < 1)) return strdup("size is not two numbers from 1");
  if (which & VR_STRIDE && a->stride < 1) return strdup("stride is not a number from 1");
  if (a->residual && !a->relu) return strdup("a residual is added before a relu only");
  return NULL;
}

char *vr_node_attributes(void *info, int which, vr_attributes *a) {
  return read_attributes((source){.info = info}, which, a);
}

char *vr_inferred_attributes(void *inference, int which, vr_attributes *a) {
  return read_attributes((source){.inference = inference}, which, a);
}
