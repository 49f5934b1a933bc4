// The part of CUDA's driver that loads and launches kernels. The kernels are those compiled by
// the stand-in for NVRTC; threads.c runs them. Signatures and numbers are from NVIDIA's
// documentation of the driver API.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cubin.h"
#include "launch.h"

enum { SUCCESS = 0, INVALID_VALUE = 1, INVALID_IMAGE = 200, NOT_FOUND = 500, NOT_IN_CAPTURE = 900 };

typedef struct kernel {
  char *name;
  void (*run)(const void *);
  size_t bytes; // of its argument
  standin_threads *threads;
  struct kernel *next;
} kernel;
typedef struct {
  void *code;
  kernel *first;
} library;

int cuInit(unsigned flags) { return flags == 0 ? SUCCESS : INVALID_VALUE; }

int cuGetErrorString(int error, const char **text) {
  switch (error) {
    case SUCCESS: return *text = "no error", SUCCESS;
    case INVALID_VALUE: return *text = "invalid argument", SUCCESS;
    case INVALID_IMAGE: return *text = "device kernel image is invalid", SUCCESS;
    case NOT_FOUND: return *text = "named symbol not found", SUCCESS;
    case NOT_IN_CAPTURE: return *text = "operation not permitted when stream is capturing", SUCCESS;
  }
  return *text = NULL, INVALID_VALUE;
}

static void *cudart(const char *name) { return dlsym(dlopen("libcudart.so.13", RTLD_NOW | RTLD_NOLOAD), name); }

static int capturing(void) {
  int (*ask)(void *, int *) = cudart("cudaStreamIsCapturing"), status = 0;
  return ask(NULL, &status), status;
}

// load opens a library from memory, via a temporary file.
static void *load(const cubin *c) {
  const char *tmp = getenv("TMPDIR");
  char path[4096];
  snprintf(path, sizeof path, "%s/cubin-XXXXXX", tmp && *tmp ? tmp : "/tmp");
  int file = mkstemp(path);
  if (file < 0) return NULL;
  void *code = write(file, c->library, c->size) == (ssize_t)c->size ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
  return close(file), unlink(path), code;
}

int cuLibraryLoadData(library **l, const void *code) {
  if (capturing()) return NOT_IN_CAPTURE;
  if (memcmp(code, MARK, sizeof MARK) != 0) return INVALID_IMAGE;
  library made = {load(code), NULL};
  if (made.code == NULL) return INVALID_IMAGE;
  return *(*l = malloc(sizeof made)) = made, SUCCESS;
}

int cuLibraryUnload(library *l) {
  for (kernel *k; (k = l->first) != NULL; free(k)) l->first = k->next, free(k->name);
  return dlclose(l->code), free(l), SUCCESS;
}

// A kernel is accompanied by a symbol with the size of its argument, which identifies it as one.
int cuLibraryGetKernel(kernel **k, library *l, const char *name) {
  char with[256];
  snprintf(with, sizeof with, "%s_size", name);
  const unsigned long *bytes = dlsym(l->code, with);
  standin_threads *(*of)(void) = dlsym(l->code, "standin_of");
  if (bytes == NULL) return NOT_FOUND;
  *k = malloc(sizeof **k);
  **k = (kernel){strdup(name), dlsym(l->code, name), *bytes, of(), l->first};
  return l->first = *k, SUCCESS;
}

int cuKernelGetParamInfo(const kernel *k, size_t index, size_t *offset, size_t *size) {
  return index == 0 ? (*offset = 0, *size = k->bytes, SUCCESS) : INVALID_VALUE;
}

static int fits(dim3 grid, dim3 block) {
  return grid.x > 0 && grid.y > 0 && grid.z > 0 && block.x > 0 && block.y > 0 && block.z > 0 && grid.x <= 2147483647 &&
         grid.y <= 65535 && grid.z <= 65535 && block.x <= MOST_THREADS && block.y <= MOST_THREADS && block.z <= 64 &&
         block.x * block.y * block.z <= MOST_THREADS;
}

// A launch copies its argument, and runs when its stream reaches it. There is no dynamic shared
// memory.
int cuLaunchKernel(const kernel *k, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **arguments, void **extra) {
  static int (*give)(void *, void (*)(const launch *), launch *);
  dim3 grid = {gx, gy, gz}, block = {bx, by, bz};
  if (!fits(grid, block) || shared != 0 || arguments == NULL || extra != NULL) return INVALID_VALUE;
  launch *l = malloc(sizeof *l + k->bytes);
  *l = (launch){k->name, k->run, k->threads, grid, block};
  memcpy(l->argument, arguments[0], k->bytes);
  if (give == NULL) give = cudart("standin_launch");
  return give(stream, run_launch, l);
}
