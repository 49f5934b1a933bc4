#include "device.h"

#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "cudnn.h"

char *vr_register_provider(const char *name, const char *path) {
  return vr_failed(STATUS(REGISTER_PROVIDER_LIBRARY, void *, const char *, const char *)(vr_environment, name, path));
}

char *vr_allocator(void *session, const char *name, int index, int kind, void **allocator) {
  void *info = NULL;
  // 0: memory of the device itself; the session puts its arena in front of it.
  char *error = vr_failed(STATUS(CREATE_MEMORY_INFO, const char *, int, int, int, void **)(name, 0, index, kind, &info));
  if (error != NULL) return error;
  error = vr_failed(STATUS(CREATE_ALLOCATOR, void *, void *, void **)(session, info, allocator));
  RELEASE(RELEASE_MEMORY_INFO, info);
  return error;
}

void vr_release_allocator(void *allocator) { RELEASE(RELEASE_ALLOCATOR, allocator); }

char *vr_allocate(void *allocator, const vr_shape *shape, void **value, void **memory) {
  char *error = vr_failed(STATUS(CREATE_TENSOR, void *, const int64_t *, size_t, int, void **)(
      allocator, shape->dims, shape->rank, shape->type, value));
  if (error != NULL) return error;
  return vr_failed(STATUS(TENSOR_DATA, void *, void **)(*value, memory));
}

char *vr_use_device(int index) {
  char *error = vr_cudnn_load();
  if (error == NULL && vr_cudnn.cudaSetDevice(index) != 0) error = vr_error("device %d cannot be used", index);
  return error;
}

char *vr_capability(int index, int *major, int *minor) {
  char *error = vr_cudnn_load();
  if (error != NULL) return error;
  int status = vr_cudnn.cudaDeviceGetAttribute(major, CUDA_MAJOR, index);
  if (status == 0) status = vr_cudnn.cudaDeviceGetAttribute(minor, CUDA_MINOR, index);
  return status ? vr_error("device %d does not tell its compute capability: CUDA's error %d", index, status) : NULL;
}

char *vr_copy(void *const *from, void **to, size_t count) {
  return vr_failed(STATUS(COPY_TENSORS, void *, void *const *, void **, void *, size_t)(
      vr_environment, from, to, NULL, count));
}

char *vr_allocator_stat(void *allocator, const char *key, int64_t *value) {
  void *pairs = NULL;
  char *error = vr_failed(STATUS(ALLOCATOR_STATS, void *, void **)(allocator, &pairs));
  if (error != NULL) return error;
  const char *text = CALL(GET_KEY_VALUE, const char *, void *, const char *)(pairs, key);
  *value = text ? strtoll(text, NULL, 10) : -1;
  RELEASE(RELEASE_KEY_VALUE_PAIRS, pairs);
  return NULL;
}

char *vr_run_config(void *options, const char *key, const char *value) {
  return vr_failed(STATUS(ADD_RUN_CONFIG_ENTRY, void *, const char *, const char *)(options, key, value));
}

// vr_each_node calls back for every node of a session's graph.
char *vr_each_node(void *session, uintptr_t context) {
  void *const *parts = NULL;
  size_t count = 0;
  char *error = vr_failed(STATUS(GRAPH_ASSIGNMENT, void *, void *const **, size_t *)(session, &parts, &count));
  for (size_t i = 0; error == NULL && i < count; i++) {
    const char *provider = NULL;
    void *const *nodes = NULL;
    size_t n = 0;
    error = vr_failed(STATUS(SUBGRAPH_PROVIDER, void *, const char **)(parts[i], &provider));
    if (error == NULL) error = vr_failed(STATUS(SUBGRAPH_NODES, void *, void *const **, size_t *)(parts[i], &nodes, &n));
    for (size_t j = 0; error == NULL && j < n; j++) {
      const char *domain = NULL, *op = NULL;
      error = vr_failed(STATUS(NODE_DOMAIN, void *, const char **)(nodes[j], &domain));
      if (error == NULL) error = vr_failed(STATUS(NODE_OPERATOR, void *, const char **)(nodes[j], &op));
      if (error == NULL) vicregNode(context, (char *)provider, (char *)domain, (char *)op);
    }
  }
  return error;
}
