// The part of cuDNN 9 and of CUDA's runtime library that the operators of customop.h call,
// resolved at run time: neither headers nor libraries are needed to build. Names, arguments and
// numbers are from NVIDIA's documentation of the cuDNN API (graph library). All handles and
// descriptors are void *.
#ifndef VICREG_CUDNN_H
#define VICREG_CUDNN_H

#include <stddef.h>
#include <stdint.h>

// Element types.
enum { CUDNN_FLOAT = 0, CUDNN_HALF = 2, CUDNN_BFLOAT16 = 9 };

enum { CUDNN_CROSS_CORRELATION = 1 };

// Per-channel sums of the elements and of their squares.
enum { CUDNN_SUM_AND_SQUARES = 0 };

// The graph library: kinds of descriptors.
enum {
  CUDNN_DESCRIBE_CONVOLUTION = 1,
  CUDNN_DESCRIBE_ENGINE = 2,
  CUDNN_DESCRIBE_CONFIG = 3,
  CUDNN_DESCRIBE_HEURISTICS = 4,
  CUDNN_DESCRIBE_PLAN = 5,
  CUDNN_DESCRIBE_FORWARD = 10,
  CUDNN_DESCRIBE_BACKWARD_FILTER = 11,
  CUDNN_DESCRIBE_BACKWARD_DATA = 12,
  CUDNN_DESCRIBE_STATISTICS = 14,
  CUDNN_DESCRIBE_GRAPH = 15,
  CUDNN_DESCRIBE_PACK = 16,
  CUDNN_DESCRIBE_TENSOR = 17,
};

// Types of attributes.
enum {
  CUDNN_TYPE_HANDLE = 0,
  CUDNN_TYPE_DATA_TYPE = 1,
  CUDNN_TYPE_INT64 = 3,
  CUDNN_TYPE_FLOAT = 4,
  CUDNN_TYPE_POINTER = 6,
  CUDNN_TYPE_CONVOLUTION_MODE = 7,
  CUDNN_TYPE_HEURISTIC = 8,
  CUDNN_TYPE_NUMERICAL_NOTE = 11,
  CUDNN_TYPE_DESCRIPTOR = 15,
  CUDNN_TYPE_STATISTICS_MODE = 16,
};

// Attributes. Those of an operation follow its first in the order ALPHA, BETA, CONVOLUTION, then
// its tensors.
enum {
  CUDNN_CONVOLUTION_COMPUTE_TYPE = 100,
  CUDNN_CONVOLUTION_MODE = 101,
  CUDNN_CONVOLUTION_DILATIONS = 102,
  CUDNN_CONVOLUTION_STRIDES = 103,
  CUDNN_CONVOLUTION_POST_PADDINGS = 104,
  CUDNN_CONVOLUTION_PRE_PADDINGS = 105,
  CUDNN_CONVOLUTION_SPATIAL_DIMS = 106,
  CUDNN_HEURISTICS_MODE = 200,
  CUDNN_HEURISTICS_GRAPH = 201,
  CUDNN_HEURISTICS_RESULTS = 202,
  CUDNN_CONFIG_ENGINE = 300,
  CUDNN_PLAN_HANDLE = 400,
  CUDNN_PLAN_CONFIG = 401,
  CUDNN_PLAN_WORKSPACE_SIZE = 402,
  CUDNN_FORWARD_ALPHA = 700,
  CUDNN_FORWARD_W = 703,
  CUDNN_FORWARD_X = 704,
  CUDNN_FORWARD_Y = 705,
  CUDNN_BACKWARD_DATA_ALPHA = 706,
  CUDNN_BACKWARD_DATA_W = 709,
  CUDNN_BACKWARD_DATA_DX = 710,
  CUDNN_BACKWARD_DATA_DY = 711,
  CUDNN_BACKWARD_FILTER_ALPHA = 712,
  CUDNN_BACKWARD_FILTER_DW = 715,
  CUDNN_BACKWARD_FILTER_X = 716,
  CUDNN_BACKWARD_FILTER_DY = 717,
  CUDNN_STATISTICS_MODE = 770,
  CUDNN_STATISTICS_COMPUTE_TYPE = 771,
  CUDNN_STATISTICS_X = 772,
  CUDNN_STATISTICS_SUM = 773,
  CUDNN_STATISTICS_SQUARES = 774,
  CUDNN_GRAPH_HANDLE = 800,
  CUDNN_GRAPH_OPERATIONS = 801,
  CUDNN_TENSOR_ALIGNMENT = 900,
  CUDNN_TENSOR_TYPE = 901,
  CUDNN_TENSOR_DIMENSIONS = 902,
  CUDNN_TENSOR_STRIDES = 903,
  CUDNN_TENSOR_ID = 906,
  CUDNN_PACK_IDS = 1000,
  CUDNN_PACK_POINTERS = 1001,
  CUDNN_PACK_WORKSPACE = 1003,
  CUDNN_ENGINE_NUMERICAL_NOTES = 1303,
};

// Heuristics, which list configurations, best first, and an engine's notes on its arithmetic.
enum { CUDNN_HEURISTIC_B = 1, CUDNN_HEURISTIC_FALLBACK = 2, CUDNN_HEURISTIC_A = 3 };
enum {
  CUDNN_NOTE_TENSOR_CORE = 0,
  CUDNN_NOTE_DOWN_CONVERT = 1,
  CUDNN_NOTE_REDUCED_SUMS = 2,
  CUDNN_NOTE_STRICT_NAN = 9,
  CUDNN_NOTES = 16
};

// Every function that is called, with its arguments. They return 0 on success.
#define VR_CUDNN_FUNCTIONS(F) \
  F(cudnnSetStream, (void *handle, void *stream)) \
  F(cudnnBackendCreateDescriptor, (int kind, void **d)) \
  F(cudnnBackendDestroyDescriptor, (void *d)) \
  F(cudnnBackendSetAttribute, (void *d, int name, int type, int64_t count, const void *values)) \
  F(cudnnBackendGetAttribute, (void *d, int name, int type, int64_t room, int64_t *count, void *values)) \
  F(cudnnBackendFinalize, (void *d)) \
  F(cudnnBackendExecute, (void *handle, void *plan, void *pack))

// Device attributes; the last two are the compute capability.
enum { CUDA_MULTIPROCESSORS = 16, CUDA_MAJOR = 75, CUDA_MINOR = 76 };

#define VR_CUDART_FUNCTIONS(F) \
  F(cudaMalloc, (void **memory, size_t bytes)) \
  F(cudaFree, (void *memory)) \
  F(cudaMemsetAsync, (void *memory, int value, size_t bytes, void *stream)) \
  F(cudaSetDevice, (int device)) \
  F(cudaGetDevice, (int *device)) \
  F(cudaDeviceGetAttribute, (int *value, int attribute, int device)) \
  F(cudaEventCreate, (void **event)) \
  F(cudaEventDestroy, (void *event)) \
  F(cudaEventRecord, (void *event, void *stream)) \
  F(cudaEventSynchronize, (void *event)) \
  F(cudaEventElapsedTime, (float *ms, void *from, void *to)) \
  F(cudaGetLastError, (void))

// The functions, valid after vr_cudnn_load.
#define VR_DECLARE(name, arguments) int(*name) arguments;
extern struct vr_cudnn {
  VR_CUDNN_FUNCTIONS(VR_DECLARE)
  VR_CUDART_FUNCTIONS(VR_DECLARE)
} vr_cudnn;

// vr_cudnn_load resolves the functions, once; the message says what is missing.
char *vr_cudnn_load(void);

// vr_cudnn_failed turns a function's status into a message; NULL on success.
char *vr_cudnn_failed(int status, const char *function);

#endif
