#include "kernels.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "nvrtc.h"

// What is compiled is kept for the life of the process: a handful of programs.

typedef struct text {
  const char *file, *text;
  struct text *next;
} text;

typedef struct compiled {
  vr_program program;
  int device;
  void *library;
  struct compiled *next;
} compiled;

typedef struct found {
  const compiled *in;
  const char *name;
  void *kernel;
  struct found *next;
} found;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static text *texts;
static compiled *libraries;
static found *kernels;

void vr_kernel_source(const char *file, const char *source) {
  text *t = malloc(sizeof *t);
  *t = (text){file, source, texts};
  texts = t;
}

static const char *text_of(const char *file) {
  for (const text *t = texts; t != NULL; t = t->next)
    if (strcmp(t->file, file) == 0) return t->text;
  return "";
}

static int attribute(int which, int device) {
  int value = 0;
  vr_cudnn.cudaDeviceGetAttribute(&value, which, device);
  return value;
}

static int this_device(void) {
  int device = 0;
  vr_cudnn.cudaGetDevice(&device);
  return device;
}

int vr_multiprocessors(void) {
  int count = attribute(CUDA_MULTIPROCESSORS, this_device());
  return count > 0 ? count : 1;
}

static char *compile(compiled *c) {
  const vr_program *p = &c->program;
  char *source = vr_error("#define TYPE %d\n#define VECTOR %d\n%s", p->type, p->vector, text_of("prelude"));
  for (int i = 0; p->files[i] != NULL; i++) {
    char *longer = vr_error("%s\n%s", source, text_of(p->files[i]));
    free(source);
    source = longer;
  }
  char *code = NULL;
  int architecture = 10 * attribute(CUDA_MAJOR, c->device) + attribute(CUDA_MINOR, c->device);
  char *error = vr_compile(source, p->files[0], architecture, &code);
  if (error == NULL)
    error = vr_driver_failed(vr_nvrtc.cuLibraryLoadData(&c->library, code, NULL, NULL, 0, NULL, NULL, 0),
                             "cuLibraryLoadData");
  free(source);
  free(code);
  return error;
}

static int same(const vr_program *a, const vr_program *b) {
  if (a->type != b->type || a->vector != b->vector) return 0;
  int i = 0;
  for (; a->files[i] != NULL && b->files[i] != NULL; i++)
    if (strcmp(a->files[i], b->files[i]) != 0) return 0;
  return a->files[i] == b->files[i];
}

static char *library_of(const vr_program *p, int device, compiled **to) {
  for (compiled *c = libraries; c != NULL; c = c->next)
    if (c->device == device && same(&c->program, p)) return *to = c, NULL;
  compiled *c = calloc(1, sizeof *c);
  c->program = *p;
  c->device = device;
  char *error = compile(c);
  if (error != NULL) return free(c), error;
  c->next = libraries;
  libraries = *to = c;
  return NULL;
}

// fits reports a size mismatch of the kernel's argument: the struct is declared twice, here and
// in the kernel's file.
static char *fits(void *kernel, const char *name, size_t bytes) {
  size_t offset = 0, size = 0;
  char *error = vr_driver_failed(vr_nvrtc.cuKernelGetParamInfo(kernel, 0, &offset, &size), "cuKernelGetParamInfo");
  if (error == NULL && size != bytes) error = vr_error("%s takes an argument of %zu bytes, not %zu", name, size, bytes);
  return error;
}

static char *find(const vr_program *p, const char *name, size_t bytes, int device, void **kernel) {
  compiled *in = NULL;
  char *error = library_of(p, device, &in);
  if (error != NULL) return error;
  for (const found *f = kernels; f != NULL; f = f->next)
    if (f->in == in && strcmp(f->name, name) == 0) return *kernel = f->kernel, NULL;
  found *f = malloc(sizeof *f);
  *f = (found){.in = in, .name = name, .next = kernels};
  error = vr_driver_failed(vr_nvrtc.cuLibraryGetKernel(&f->kernel, in->library, name), "cuLibraryGetKernel");
  if (error == NULL) error = fits(f->kernel, name, bytes);
  if (error != NULL) return free(f), error;
  kernels = f;
  *kernel = f->kernel;
  return NULL;
}

char *vr_launch_sized(const vr_call *run, const vr_program *p, const char *name, int64_t x, int64_t y, int64_t z,
                      const void *argument, size_t bytes) {
  void *kernel = NULL, *arguments[] = {(void *)argument};
  if (x > INT32_MAX || y > UINT16_MAX || z > UINT16_MAX) return vr_error("%s: %lld x %lld x %lld blocks", name, (long long)x, (long long)y, (long long)z);
  pthread_mutex_lock(&lock);
  char *error = find(p, name, bytes, this_device(), &kernel);
  pthread_mutex_unlock(&lock);
  if (error != NULL) return error;
  return vr_driver_failed(
      vr_nvrtc.cuLaunchKernel(kernel, x, y, z, VR_THREADS, 1, 1, 0, run->stream, arguments, NULL), name);
}
