// The part of CUDA's runtime library that has to answer for a session to open and
// for copies to be made: one device of compute capability 9.0 whose memory is the
// host's. What is not here does nothing and succeeds. Arguments as in CUDA's
// documentation of its runtime API; only those that matter have names.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, OUT_OF_MEMORY = 2, CAPABILITY_MAJOR = 9, MULTIPROCESSORS = 132 };

static int object; // stands for streams, events and the like

int cudaGetDeviceCount(int *count) { return *count = 1, SUCCESS; }
int cudaGetDevice(int *device) { return *device = 0, SUCCESS; }
int cudaDriverGetVersion(int *version) { return *version = 13000, SUCCESS; }
int cudaRuntimeGetVersion(int *version) { return *version = 13000, SUCCESS; }

// The places of struct cudaDeviceProp of CUDA 13 that are read.
int cudaGetDeviceProperties(char *p) {
  memset(p, 0, 1008);
  strcpy(p, "stand-in");
  *(uint64_t *)(p + 288) = 80ull << 30; // memory
  *(uint64_t *)(p + 296) = 49152;       // shared memory a block
  *(int *)(p + 304) = 65536;            // registers a block
  *(int *)(p + 308) = 32;               // threads a warp
  *(int *)(p + 320) = 1024;             // threads a block
  int most[6] = {1024, 1024, 64, 2147483647, 65535, 65535};
  memcpy(p + 324, most, sizeof most); // of a block and of a grid, by axis
  *(int *)(p + 360) = CAPABILITY_MAJOR;
  *(int *)(p + 384) = MULTIPROCESSORS;
  *(int *)(p + 604) = 2048; // threads a multiprocessor
  return SUCCESS;
}

int cudaDeviceGetAttribute(int *value, int attribute) {
  switch (attribute) {
  case 1: *value = 1024; break;                // threads a block
  case 10: *value = 32; break;                 // threads a warp
  case 16: *value = MULTIPROCESSORS; break;
  case 75: *value = CAPABILITY_MAJOR; break;
  case 76: *value = 0; break;                  // minor
  case 8: case 97: *value = 49152; break;      // shared memory a block
  default: *value = 1;
  }
  return SUCCESS;
}

static int allocate(void **p, size_t bytes) {
  *p = NULL;
  return posix_memalign(p, 256, bytes ? bytes : 1) ? OUT_OF_MEMORY : SUCCESS;
}
int cudaMalloc(void **p, size_t bytes) { return allocate(p, bytes); }
int cudaMallocHost(void **p, size_t bytes) { return allocate(p, bytes); }
int cudaHostAlloc(void **p, size_t bytes) { return allocate(p, bytes); }
int cudaMallocFromPoolAsync(void **p, size_t bytes) { return allocate(p, bytes); }
int cudaFree(void *p) { return free(p), SUCCESS; }
int cudaFreeHost(void *p) { return free(p), SUCCESS; }
int cudaFreeAsync(void *p) { return free(p), SUCCESS; }
int cudaMemGetInfo(size_t *unused, size_t *all) { return *unused = 79ull << 30, *all = 80ull << 30, SUCCESS; }

// Launches are captured once and replayed: of what is launched only copies do
// anything, so a graph is a list of them.
typedef struct copy {
  void *to;
  const void *from;
  size_t bytes;
  struct copy *next;
} copy;
typedef struct {
  copy *first, **end;
} graph;
static graph *capturing; // one stream at a time

int cudaStreamBeginCapture(void) {
  capturing = calloc(1, sizeof *capturing);
  capturing->end = &capturing->first;
  return SUCCESS;
}
int cudaStreamIsCapturing(void *stream, int *status) { return *status = capturing != NULL, SUCCESS; }
int cudaStreamEndCapture(void *stream, graph **g) { return *g = capturing, capturing = NULL, SUCCESS; }
int cudaGraphInstantiate(graph **launchable, graph *g) { return *launchable = g, SUCCESS; }
int cudaGraphLaunch(graph *g) {
  for (copy *c = g->first; c != NULL; c = c->next) memmove(c->to, c->from, c->bytes);
  return SUCCESS;
}

int cudaMemcpy(void *to, const void *from, size_t bytes) { return memmove(to, from, bytes), SUCCESS; }
int cudaMemcpyAsync(void *to, const void *from, size_t bytes) {
  if (capturing == NULL) return cudaMemcpy(to, from, bytes);
  copy *c = *capturing->end = calloc(1, sizeof *c);
  *c = (copy){to, from, bytes, NULL};
  capturing->end = &c->next;
  return SUCCESS;
}
int cudaMemset(void *p, int value, size_t bytes) { return memset(p, value, bytes), SUCCESS; }
int cudaMemsetAsync(void *p, int value, size_t bytes) { return memset(p, value, bytes), SUCCESS; }
int cudaMemcpy2DAsync(char *to, size_t to_pitch, const char *from, size_t from_pitch, size_t width, size_t rows) {
  for (size_t i = 0; i < rows; i++) memmove(to + i * to_pitch, from + i * from_pitch, width);
  return SUCCESS;
}

int cudaLibraryLoadData(void **library) { return *library = &object, SUCCESS; }
int cudaLibraryGetKernel(void **kernel) { return *kernel = &object, SUCCESS; }
int __cudaGetKernel(void **kernel) { return *kernel = &object, SUCCESS; }
void *__cudaRegisterFatBinary(void) { return &object; }
int cudaLaunchHostFunc(void *stream, void (*f)(void *), void *with) { return f(with), SUCCESS; }
int cudaEventElapsedTime(float *ms) { return *ms = 0, SUCCESS; }
int cudaMemPoolGetAttribute(void *pool, int attribute, uint64_t *value) { return *value = 0, SUCCESS; }
int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks) { return *blocks = 1, SUCCESS; }
int cudaFuncGetAttributes(void *attributes) { return memset(attributes, 0, 64), SUCCESS; }
int cudaGetDriverEntryPointByVersion(const char *name, void **f) { return *f = NULL, SUCCESS; }
const char *cudaGetErrorName(int error) { return "stand-in"; }
const char *cudaGetErrorString(int error) { return "stand-in"; }

// All memory is a device's to whoever asks.
int cudaPointerGetAttributes(char *attributes, void *p) {
  memset(attributes, 0, 32);
  *(int *)attributes = 2;
  *(void **)(attributes + 8) = p;
  return SUCCESS;
}
