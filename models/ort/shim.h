// The few calls of ONNX Runtime's C API that onnxruntime_go does not offer:
// input and output types of an open session, values over memory that the caller
// owns, bindings with outputs of unknown shape, and runs that can be stopped.
//
// Every function that returns char * returns NULL on success, else a message
// that the caller frees.
#ifndef VICREG_SHIM_H
#define VICREG_SHIM_H

#include <stddef.h>
#include <stdint.h>

// Tensors of higher rank are rejected.
#define VR_MAX_RANK 16

typedef struct {
  int type;
  size_t rank;
  int64_t dims[VR_MAX_RANK];
} vr_shape;

char *vr_version(const char *path, char *version, size_t size);
char *vr_attach(const char *path);
char *vr_providers(char ***names, int *count);
void vr_release_providers(char **names, int count);

char *vr_count(void *session, int output, size_t *count);
char *vr_describe(void *session, int output, size_t index, char **name, vr_shape *shape);

char *vr_tensor(void *data, size_t bytes, const vr_shape *shape, void **value);
char *vr_look(void *value, vr_shape *shape, void **data);
void vr_release_value(void *value);

char *vr_binding(void *session, void **binding);
char *vr_bind_input(void *binding, const char *name, void *value);
char *vr_bind_output(void *binding, const char *name, void *value);
char *vr_bind_output_anywhere(void *binding, const char *name);
char *vr_bound_outputs(void *binding, void **values, size_t count);
void vr_release_binding(void *binding);

char *vr_run_options(void **options);
char *vr_terminate(void *options);
void vr_release_run_options(void *options);
char *vr_run(void *session, void *options, void *binding);

#endif
