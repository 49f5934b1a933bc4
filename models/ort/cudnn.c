#define _GNU_SOURCE // RTLD_DEFAULT
#include "cudnn.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "api.h"

struct vr_cudnn vr_cudnn;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char *missing;
static const char *(*error_string)(int status);
static void (*last_error)(char *text, size_t size);

// The library that the CUDA provider has opened under the same name, if it has.
static void *open_first(const char *const *names) {
  for (; *names != NULL; names++) {
    void *library = dlopen(*names, RTLD_LAZY | RTLD_LOCAL);
    if (library != NULL) return library;
  }
  return NULL;
}

static void look_up(void *library, const char *name, void **function) {
  *function = dlsym(library, name);
  if (*function == NULL && missing == NULL) missing = vr_error("cuDNN cannot be used: %s is missing", name);
}

static void load(void) {
  static const char *const cudnn_names[] = {"libcudnn.so.9", NULL};
  static const char *const cudart_names[] = {"libcudart.so.13", "libcudart.so.12", NULL};
  void *cudnn = open_first(cudnn_names);
  if (cudnn == NULL) {
    missing = vr_error("cuDNN cannot be used: %s", dlerror());
    return;
  }
  void *cudart = RTLD_DEFAULT;
  if (dlsym(cudart, "cudaEventCreate") == NULL && (cudart = open_first(cudart_names)) == NULL) {
    missing = vr_error("CUDA's runtime library cannot be used: %s", dlerror());
    return;
  }
#define LOOK_UP_CUDNN(name, arguments) look_up(cudnn, #name, (void **)&vr_cudnn.name);
#define LOOK_UP_CUDART(name, arguments) look_up(cudart, #name, (void **)&vr_cudnn.name);
  VR_CUDNN_FUNCTIONS(LOOK_UP_CUDNN)
  VR_CUDART_FUNCTIONS(LOOK_UP_CUDART)
  look_up(cudnn, "cudnnGetErrorString", (void **)&error_string);
  look_up(cudnn, "cudnnGetLastErrorString", (void **)&last_error);
}

char *vr_cudnn_load(void) {
  pthread_once(&once, load);
  return missing ? strdup(missing) : NULL;
}

char *vr_cudnn_failed(int status, const char *function) {
  if (status == 0) return NULL;
  char detail[512] = "";
  last_error(detail, sizeof detail);
  return vr_error("%s: %s%s%s", function, error_string(status), *detail ? ": " : "", detail);
}
