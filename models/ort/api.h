// What the parts of the shim share: the table of the C API and how to call it.
#ifndef VICREG_API_H
#define VICREG_API_H

#include "shim.h"

// The C API is one table of function pointers that only ever grows at its end, so a function's
// slot is part of the interface and no header is needed.
enum slot {
  CREATE_STATUS = 0,
  GET_ERROR_MESSAGE = 2,
  CREATE_ENV = 3,
  CREATE_OPERATOR_DOMAIN = 26,
  ADD_OPERATOR = 27,
  ADD_OPERATOR_DOMAIN = 28,
  SESSION_INPUT_COUNT = 30,
  SESSION_OUTPUT_COUNT = 31,
  SESSION_INPUT_TYPE = 33,
  SESSION_OUTPUT_TYPE = 34,
  SESSION_INPUT_NAME = 36,
  SESSION_OUTPUT_NAME = 37,
  CREATE_RUN_OPTIONS = 39,
  RUN_OPTIONS_TERMINATE = 46,
  CREATE_TENSOR = 48,
  CREATE_TENSOR_WITH_DATA = 49,
  TENSOR_DATA = 51,
  CAST_TYPE_TO_TENSOR = 55,
  CREATE_TYPE_AND_SHAPE = 57,
  SET_ELEMENT_TYPE = 58,
  SET_DIMENSIONS = 59,
  TENSOR_ELEMENT_TYPE = 60,
  DIMENSIONS_COUNT = 61,
  DIMENSIONS = 62,
  TENSOR_TYPE_AND_SHAPE = 65,
  CREATE_MEMORY_INFO = 68,
  CREATE_CPU_MEMORY_INFO = 69,
  ALLOCATOR_ALLOC = 75,
  ALLOCATOR_FREE = 76,
  ALLOCATOR_MEMORY = 77,
  DEFAULT_ALLOCATOR = 78,
  NODE_FLOAT = 85,
  NODE_INT = 86,
  RUN_INPUT_COUNT = 88,
  RUN_OUTPUT_COUNT = 89,
  RUN_INPUT = 90,
  RUN_OUTPUT = 91,
  RELEASE_STATUS = 93,
  RELEASE_MEMORY_INFO = 94,
  RELEASE_VALUE = 96,
  RELEASE_RUN_OPTIONS = 97,
  RELEASE_TYPE = 98,
  RELEASE_TENSOR_TYPE = 99,
  AVAILABLE_PROVIDERS = 125,
  RELEASE_PROVIDERS = 126,
  CREATE_ALLOCATOR = 131,
  RELEASE_ALLOCATOR = 132,
  RUN_WITH_BINDING = 133,
  CREATE_BINDING = 134,
  RELEASE_BINDING = 135,
  BIND_INPUT = 136,
  BIND_OUTPUT = 137,
  BIND_OUTPUT_TO_DEVICE = 138,
  BOUND_OUTPUT_VALUES = 140,
  NODE_INTS = 163,
  ADD_RUN_CONFIG_ENTRY = 165,
  RUN_STREAM = 193,
  RUN_RESOURCE = 265,
  INFERENCE_INPUT_COUNT = 267,
  INFERENCE_INPUT = 268,
  INFERENCE_ATTRIBUTE = 269,
  INFERENCE_OUTPUT = 270,
  READ_ATTRIBUTE = 272,
  RUN_SCRATCH = 277,
  NODE_ALLOCATOR = 278,
  GET_KEY_VALUE = 297,
  RELEASE_KEY_VALUE_PAIRS = 300,
  REGISTER_PROVIDER_LIBRARY = 301,
  ALLOCATOR_STATS = 319,
  COPY_TENSORS = 386,
  GRAPH_ASSIGNMENT = 407,
  SUBGRAPH_PROVIDER = 408,
  SUBGRAPH_NODES = 409,
  NODE_DOMAIN = 411,
  NODE_OPERATOR = 412,
  RUN_SYNC_STREAM = 423, // since API_SYNC_STREAM
};

// The first version of the interface that has every slot above, except where another is given.
// onnxruntime_go does not start below it.
#define API_VERSION 24

#define API_SYNC_STREAM 28

// The table, the latest version of the interface that it holds and the environment, set once by
// vr_attach before any other call.
extern void *const *vr_api;
extern int vr_api_version;
extern void *vr_environment;

#define CALL(slot, ret, ...) ((ret(*)(__VA_ARGS__))vr_api[slot])
#define STATUS(slot, ...) CALL(slot, void *, __VA_ARGS__)
#define RELEASE(slot, p) CALL(slot, void, void *)(p)

// vr_failed turns a status into a message, which the caller frees, and releases the status.
char *vr_failed(void *status);

// vr_status turns an operator's message, which it frees, into a status of the runtime; NULL stays
// NULL.
void *vr_status(const char *op, const char *domain, char *message);

// vr_error formats a message, as printf does.
char *vr_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

// vr_shape_of reads the type and dimensions from a tensor's type information.
char *vr_shape_of(void *info, vr_shape *shape);

#endif
