#ifdef __linux__
#define _GNU_SOURCE // for dlinfo
#include <link.h>
#endif

#include "loader.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static char *why(void) {
  const char *text = dlerror();
  return strdup(text ? text : "cannot be loaded");
}

// path_of returns a copy of the path that a library was loaded from by a name.
static char *path_of(void *library, const char *name) {
#ifdef __linux__
  struct link_map *map = NULL;
  if (dlinfo(library, RTLD_DI_LINKMAP, &map) == 0 && map->l_name[0] != '\0') name = map->l_name;
#endif
  return strdup(name);
}

// vr_load loads a library permanently, a name without a slash from the loader's search path, and
// returns the path of the file, which the caller frees. Libraries loaded later find it by its
// name, wherever it lies.
char *vr_load(const char *name, char **path) {
  void *library = dlopen(name, RTLD_NOW | RTLD_GLOBAL);
  if (library == NULL) return why();
  *path = path_of(library, name);
  return NULL;
}

// vr_cuda queries the CUDA runtime, which must be loaded, for the CUDA version that the driver
// supports, 13010 for 13.1 and 0 without a driver, and counts the devices.
char *vr_cuda(int *version, int *devices) {
  void *runtime = dlopen("libcudart.so.13", RTLD_NOW | RTLD_NOLOAD);
  if (runtime == NULL) return strdup("libcudart.so.13 is not loaded");
  int (*driver_version)(int *) = (int (*)(int *))dlsym(runtime, "cudaDriverGetVersion");
  int (*device_count)(int *) = (int (*)(int *))dlsym(runtime, "cudaGetDeviceCount");
  const char *(*error_string)(int) = (const char *(*)(int))dlsym(runtime, "cudaGetErrorString");
  dlclose(runtime); // vr_load keeps it loaded
  if (driver_version == NULL || device_count == NULL || error_string == NULL)
    return strdup("libcudart.so.13 is not the CUDA runtime");
  int code = driver_version(version);
  if (code == 0 && *version > 0) code = device_count(devices);
  return code == 0 ? NULL : strdup(error_string(code));
}

// vr_cudnn_cuda returns the CUDA version that a cuDNN is built for, 13000 for 13.0 and 0 if it
// does not say, and the path of the file, which the caller frees. A library that was not loaded
// before is unloaded again, so that another can take its name.
char *vr_cudnn_cuda(const char *name, char **path, int *version) {
  void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) return why();
  size_t (*ask)(void) = (size_t(*)(void))dlsym(library, "cudnnGetCudartVersion");
  *version = ask ? (int)ask() : 0;
  *path = path_of(library, name);
  dlclose(library);
  return NULL;
}
