#include "shim.h"

#include "api.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  const void *(*get_api)(uint32_t version);
  const char *(*get_version)(void);
} api_base;

// Set once by vr_attach, before any other call.
void *const *vr_api;
int vr_api_version;
void *vr_environment;
static void *cpu_memory;
static void *allocator;

char *vr_failed(void *status) {
  if (status == NULL) return NULL;
  char *message = strdup(CALL(GET_ERROR_MESSAGE, const char *, void *)(status));
  RELEASE(RELEASE_STATUS, status);
  return message;
}

char *vr_error(const char *format, ...) {
  va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  size_t size = vsnprintf(NULL, 0, format, arguments) + 1;
  char *text = malloc(size);
  vsnprintf(text, size, format, again);
  va_end(again);
  va_end(arguments);
  return text;
}

void *vr_status(const char *op, const char *domain, char *message) {
  if (message == NULL) return NULL;
  char *whole = vr_error("%s of %s: %s", op, domain, message);
  void *s = CALL(CREATE_STATUS, void *, int, const char *)(1, whole); // 1: failed
  free(message);
  free(whole);
  return s;
}

static api_base *base_of(void *library, char **error) {
  void *get = library ? dlsym(library, "OrtGetApiBase") : NULL;
  if (get == NULL) {
    const char *why = dlerror();
    *error = strdup(why ? why : "cannot be loaded");
    return NULL;
  }
  return ((api_base * (*)(void)) get)();
}

// vr_version loads a library, writes its version and unloads it again.
char *vr_version(const char *path, char *version, size_t size) {
  void *library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
  char *error = NULL;
  api_base *base = base_of(library, &error);
  if (base != NULL) snprintf(version, size, "%s", base->get_version());
  if (library != NULL) dlclose(library);
  return error;
}

// vr_attach loads a library permanently.
char *vr_attach(const char *path) {
  char *error = NULL;
  api_base *base = base_of(dlopen(path, RTLD_LAZY | RTLD_LOCAL), &error);
  if (base == NULL) return error;
  vr_api = base->get_api(API_VERSION);
  if (vr_api == NULL) return strdup("the library does not offer C API version 24");
  // A release 1.N has version N of the interface, and all earlier ones in the same table.
  if (sscanf(base->get_version(), "1.%d", &vr_api_version) != 1) vr_api_version = API_VERSION;
  // There is one environment per process; this takes another reference to it. 3: errors only.
  error = vr_failed(STATUS(CREATE_ENV, int, const char *, void **)(3, "vicreg", &vr_environment));
  if (error != NULL) return error;
  // Arena allocator, default memory.
  error = vr_failed(STATUS(CREATE_CPU_MEMORY_INFO, int, int, void **)(1, 0, &cpu_memory));
  if (error != NULL) return error;
  return vr_failed(STATUS(DEFAULT_ALLOCATOR, void **)(&allocator));
}

char *vr_providers(char ***names, int *count) {
  return vr_failed(STATUS(AVAILABLE_PROVIDERS, char ***, int *)(names, count));
}

void vr_release_providers(char **names, int count) {
  free(vr_failed(STATUS(RELEASE_PROVIDERS, char **, int)(names, count)));
}

char *vr_count(void *session, int output, size_t *count) {
  int slot = output ? SESSION_OUTPUT_COUNT : SESSION_INPUT_COUNT;
  return vr_failed(STATUS(slot, void *, size_t *)(session, count));
}

char *vr_shape_of(void *info, vr_shape *shape) {
  char *error = vr_failed(STATUS(TENSOR_ELEMENT_TYPE, void *, int *)(info, &shape->type));
  if (error == NULL) error = vr_failed(STATUS(DIMENSIONS_COUNT, void *, size_t *)(info, &shape->rank));
  if (error != NULL) return error;
  if (shape->rank > VR_MAX_RANK) return strdup("more than 16 dimensions");
  return vr_failed(STATUS(DIMENSIONS, void *, int64_t *, size_t)(info, shape->dims, shape->rank));
}

char *vr_describe(void *session, int output, size_t index, char **name, vr_shape *shape) {
  char *own = NULL;
  int slot = output ? SESSION_OUTPUT_NAME : SESSION_INPUT_NAME;
  char *error = vr_failed(STATUS(slot, void *, size_t, void *, char **)(session, index, allocator, &own));
  if (error != NULL) return error;
  *name = strdup(own);
  free(vr_failed(STATUS(ALLOCATOR_FREE, void *, void *)(allocator, own)));

  void *type = NULL, *info = NULL;
  slot = output ? SESSION_OUTPUT_TYPE : SESSION_INPUT_TYPE;
  error = vr_failed(STATUS(slot, void *, size_t, void **)(session, index, &type));
  if (error != NULL) return error;
  error = vr_failed(STATUS(CAST_TYPE_TO_TENSOR, void *, void **)(type, &info));
  if (error == NULL) error = info ? vr_shape_of(info, shape) : strdup("not a tensor");
  RELEASE(RELEASE_TYPE, type);
  return error;
}

char *vr_tensor(void *data, size_t bytes, const vr_shape *shape, void **value) {
  return vr_failed(STATUS(CREATE_TENSOR_WITH_DATA, void *, void *, size_t, const int64_t *, size_t, int, void **)(
      cpu_memory, data, bytes, shape->dims, shape->rank, shape->type, value));
}

// vr_look returns the shape of a value and its memory.
char *vr_look(void *value, vr_shape *shape, void **data) {
  void *info = NULL;
  char *error = vr_failed(STATUS(TENSOR_TYPE_AND_SHAPE, void *, void **)(value, &info));
  if (error != NULL) return error;
  error = vr_shape_of(info, shape);
  RELEASE(RELEASE_TENSOR_TYPE, info);
  if (error != NULL) return error;
  return vr_failed(STATUS(TENSOR_DATA, void *, void **)(value, data));
}

void vr_release_value(void *value) { RELEASE(RELEASE_VALUE, value); }

char *vr_binding(void *session, void **binding) {
  return vr_failed(STATUS(CREATE_BINDING, void *, void **)(session, binding));
}

char *vr_bind_input(void *binding, const char *name, void *value) {
  return vr_failed(STATUS(BIND_INPUT, void *, const char *, void *)(binding, name, value));
}

char *vr_bind_output(void *binding, const char *name, void *value) {
  return vr_failed(STATUS(BIND_OUTPUT, void *, const char *, void *)(binding, name, value));
}

// vr_bind_output_anywhere lets the runtime allocate an output in host memory.
char *vr_bind_output_anywhere(void *binding, const char *name) {
  return vr_failed(STATUS(BIND_OUTPUT_TO_DEVICE, void *, const char *, void *)(binding, name, cpu_memory));
}

// vr_bound_outputs returns the outputs of the last run, in the order they were bound; the caller
// releases each of them.
char *vr_bound_outputs(void *binding, void **values, size_t count) {
  void **all = NULL;
  size_t n = 0;
  char *error = vr_failed(STATUS(BOUND_OUTPUT_VALUES, void *, void *, void ***, size_t *)(binding, allocator, &all, &n));
  if (error != NULL) return error;
  for (size_t i = 0; i < n; i++) {
    if (n == count) values[i] = all[i];
    else vr_release_value(all[i]);
  }
  if (all != NULL) free(vr_failed(STATUS(ALLOCATOR_FREE, void *, void *)(allocator, all)));
  return n == count ? NULL : strdup("the run gave another number of outputs than were bound");
}

void vr_release_binding(void *binding) { RELEASE(RELEASE_BINDING, binding); }

char *vr_run_options(void **options) { return vr_failed(STATUS(CREATE_RUN_OPTIONS, void **)(options)); }

char *vr_terminate(void *options) { return vr_failed(STATUS(RUN_OPTIONS_TERMINATE, void *)(options)); }

void vr_release_run_options(void *options) { RELEASE(RELEASE_RUN_OPTIONS, options); }

char *vr_run(void *session, void *options, void *binding) {
  return vr_failed(STATUS(RUN_WITH_BINDING, void *, void *, void *)(session, options, binding));
}
