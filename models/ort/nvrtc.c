#include "nvrtc.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"

struct vr_nvrtc vr_nvrtc;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char *missing;
static const char *(*error_string)(int status);

static void *open_library(const char *name) {
  void *library = missing ? NULL : dlopen(name, RTLD_LAZY | RTLD_LOCAL);
  if (library == NULL && missing == NULL) missing = vr_error("kernels cannot be compiled: %s", dlerror());
  return library;
}

static void look_up(void *library, const char *name, void **function) {
  if (library != NULL) *function = dlsym(library, name);
  if (*function == NULL && missing == NULL) missing = vr_error("kernels cannot be compiled: %s is missing", name);
}

static void load(void) {
  void *compiler = open_library("libnvrtc.so.13"), *driver = open_library("libcuda.so.1");
#define LOOK_UP_COMPILER(name, arguments) look_up(compiler, #name, (void **)&vr_nvrtc.name);
#define LOOK_UP_DRIVER(name, arguments) look_up(driver, #name, (void **)&vr_nvrtc.name);
  VR_NVRTC_FUNCTIONS(LOOK_UP_COMPILER)
  VR_DRIVER_FUNCTIONS(LOOK_UP_DRIVER)
  look_up(compiler, "nvrtcGetErrorString", (void **)&error_string);
}

char *vr_nvrtc_load(void) {
  pthread_once(&once, load);
  return missing ? strdup(missing) : NULL;
}

char *vr_driver_failed(int status, const char *function) {
  const char *text = NULL;
  if (status == 0) return NULL;
  vr_nvrtc.cuGetErrorString(status, &text);
  return vr_error("%s: %s", function, text ? text : "unknown error");
}

static char *failed(int status, const char *function) {
  return status == 0 ? NULL : vr_error("%s: %s", function, error_string(status));
}

// why appends the compiler's log to the error of a compilation.
static char *why(void *program, const char *name, char *error) {
  size_t size = 0;
  char *log = NULL;
  if (vr_nvrtc.nvrtcGetProgramLogSize(program, &size) == 0 && (log = calloc(1, size + 1)) != NULL)
    vr_nvrtc.nvrtcGetProgramLog(program, log);
  char *whole = vr_error("compile the kernels %s: %s: %s", name, error, log ? log : "");
  free(error);
  free(log);
  return whole;
}

static char *code_of(void *program, char **code) {
  size_t size = 0;
  char *error = failed(vr_nvrtc.nvrtcGetCUBINSize(program, &size), "nvrtcGetCUBINSize");
  if (error != NULL) return error;
  *code = malloc(size);
  error = failed(vr_nvrtc.nvrtcGetCUBIN(program, *code), "nvrtcGetCUBIN");
  if (error != NULL) free(*code), *code = NULL;
  return error;
}

char *vr_compile(const char *source, const char *name, int architecture, char **code) {
  char target[40];
  const char *const options[] = {target};
  void *program = NULL;
  snprintf(target, sizeof target, "--gpu-architecture=sm_%d", architecture);
  char *error = failed(vr_nvrtc.nvrtcCreateProgram(&program, source, name, 0, NULL, NULL), "nvrtcCreateProgram");
  if (error != NULL) return error;
  error = failed(vr_nvrtc.nvrtcCompileProgram(program, 1, options), "nvrtcCompileProgram");
  error = error ? why(program, name, error) : code_of(program, code);
  vr_nvrtc.nvrtcDestroyProgram(&program);
  return error;
}
