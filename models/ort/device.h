// The calls of ONNX Runtime's C API that concern a device: memory on it, copies to and from it,
// and where the nodes of a graph run. As in shim.h, a char * is NULL on success, else a message
// that the caller frees.
#ifndef VICREG_DEVICE_H
#define VICREG_DEVICE_H

#include "shim.h"

// vr_register_provider registers a provider with the environment, which can then copy to its
// devices.
char *vr_register_provider(const char *name, const char *path);

// vr_allocator returns the session's allocator for the memory of that name ("Cuda", "CudaPinned",
// "Cpu") and kind (OrtMemType) on the device with that index.
char *vr_allocator(void *session, const char *name, int index, int kind, void **allocator);
void vr_release_allocator(void *allocator);
// vr_allocator_stat reads one of an allocator's statistics; -1 if it is not kept.
char *vr_allocator_stat(void *allocator, const char *key, int64_t *value);

// vr_allocate makes a value that owns its memory, and returns both.
char *vr_allocate(void *allocator, const vr_shape *shape, void **value, void **memory);
// vr_use_device makes a CUDA device current on the calling thread; by default it is the first
// one.
char *vr_use_device(int index);
// vr_capability returns the compute capability of a CUDA device.
char *vr_capability(int index, int *major, int *minor);
// vr_copy copies the contents of values, each to one of the same size. It is synchronous.
char *vr_copy(void *const *from, void **to, size_t count);

char *vr_run_config(void *options, const char *key, const char *value);

// vr_each_node calls vicregNode, which is in Go, for every node of a session that was created
// with session.record_ep_graph_assignment_info.
char *vr_each_node(void *session, uintptr_t context);
void vicregNode(uintptr_t context, char *provider, char *domain, char *op);

#endif
