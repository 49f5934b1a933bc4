// Types and shapes of outputs. Source: ONNX Runtime's C API, ShapeInferContext.
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "customop.h"

int vr_type(char letter, int activations) {
  switch (letter) {
    case 'f':
    case 'F': return VR_FLOAT;
    case 'b':
    case 'B': return VR_UINT8;
    default: return activations;
  }
}

int vr_bytes(int type) { return type == VR_FLOAT ? 4 : 2; }

static char *set_inferred(void *inference, size_t i, const vr_shape *shape) {
  void *info = NULL;
  char *error = vr_failed(STATUS(CREATE_TYPE_AND_SHAPE, void **)(&info));
  if (error != NULL) return error;
  error = vr_failed(STATUS(SET_ELEMENT_TYPE, void *, int)(info, shape->type));
  if (error == NULL)
    error = vr_failed(STATUS(SET_DIMENSIONS, void *, const int64_t *, size_t)(info, shape->dims, shape->rank));
  if (error == NULL) error = vr_failed(STATUS(INFERENCE_OUTPUT, void *, size_t, void *)(inference, i, info));
  RELEASE(RELEASE_TENSOR_TYPE, info);
  return error;
}

// activations returns the element type of the first input that has the activations' type.
static int activations(const vr_operator *op, const vr_shape *in) {
  size_t i = strcspn(op->inputs, "t");
  return op->inputs[i] ? in[i].type : VR_FLOAT;
}

static char *known_inputs(void *inference, size_t count, vr_shape *in) {
  char *error = NULL;
  for (size_t i = 0; error == NULL && i < count; i++) {
    void *info = NULL; // stays the runtime's
    error = vr_failed(STATUS(INFERENCE_INPUT, void *, size_t, void **)(inference, i, &info));
    if (error == NULL) error = vr_shape_of(info, &in[i]);
    for (size_t d = 0; error == NULL && d < in[i].rank; d++)
      if (in[i].dims[d] < 0) error = strdup("a dimension is open");
  }
  return error;
}

void vr_infer(const vr_operator *op, void *inference) {
  vr_attributes a;
  size_t count = 0;
  char *error = vr_inferred_attributes(inference, op->attributes, &a);
  if (error == NULL) error = vr_failed(STATUS(INFERENCE_INPUT_COUNT, void *, size_t *)(inference, &count));
  size_t outputs = vr_outputs(op, count);
  vr_shape *in = calloc(vr_room(op, count), sizeof *in), *out = calloc(outputs, sizeof *out);
  a.listed = vr_list_length(op, count);
  if (error == NULL) error = known_inputs(inference, count, in);
  if (error == NULL) error = op->shapes(&a, in, out);
  for (size_t i = 0; error == NULL && i < outputs; i++) {
    out[i].type = vr_type(vr_letter(op->outputs, i), activations(op, in));
    // Errors are ignored: an output that is left out has no place.
    if (out[i].rank > 0) free(set_inferred(inference, i, &out[i]));
  }
  free(in);
  free(out);
  free(error);
}
